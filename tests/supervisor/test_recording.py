"""What a real run decides is decided again by a fresh reconciler, from the facts and their times alone."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests import leftovers
from tests import running as runs
from tests.supervisor import recording
from tests.supervisor.test_overlaps import code, command, save, serves
from webdemo.supervisor import facts
from webdemo.supervisor.desired import Restart, Start, Stop, Swap

BINDS = tuple(
    argument for name in ("werkzeug", "waitress", "gunicorn") for argument in ("-b", f"{name}://127.0.0.1:0")
)


@pytest.fixture
def recorded(running: runs.Start, tmp_path: Path) -> runs.Running:
    """A run whose reconciler is recorded, in tmp_path/recording, with its own runtime folder."""
    return running(
        *BINDS,
        "--reload",
        app=code("one"),
        command=(*recording.COMMAND, str(tmp_path / "recording")),
        environment={"XDG_RUNTIME_DIR": str(tmp_path / "run1")},
    )


def test_a_fresh_reconciler_orders_what_the_one_of_a_real_run_did(
    recorded: runs.Running, tmp_path: Path
) -> None:
    run = recorded
    ports = [url.rstrip("/").rpartition(":")[2] for url in run.urls]
    save(run, "def app(:")
    run.wait_for("SyntaxError")
    assert command(run, "reload")[0] == 2
    save(run, code("two"))
    runs.wait_until(serves(run, "two"), run.log_so_far)
    assert command(run, "swap", ports[0], "waitress")[0] == 0
    assert command(run, "stop", ports[1])[0] == 0
    for process in runs.children(psutil.Process(run.pid)):
        leftovers.kill_tree(process)
    runs.wait_until(serves(run, "two"), run.log_so_far)
    assert command(run, "start", ports[1])[0] == 0
    assert command(run, "restart")[0] == 0
    run.signal(signal.SIGHUP)
    assert run.terminate() == 0
    run.wait_until_gone()
    calls = recording.check(tmp_path / "recording")
    assert {"reload", "wish", "stop_all"} <= {call.name for call in calls}
    wished = {type(call.arguments[0]) for call in calls if call.name == "wish"}
    assert wished == {Restart, Start, Stop, Swap}
    happened = [call.arguments[0] for call in calls if call.name == "happened"]
    assert any(isinstance(fact, facts.LoaderEnded) and fact.error for fact in happened), "the broken code"
    assert {type(fact) for fact in happened} >= {
        facts.LoaderReady, facts.LoaderEnded, facts.ProcessReady, facts.ProcessUp,
        facts.ProcessEnded, facts.PortOpened, facts.QueueLength,
    }  # fmt: skip
