"""What a client meets in each situation, row by row of the table that the docs show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts import states
from tests import raw_http
from tests import running as runs
from tests.free_ports import free_port
from tests.supervisor.test_overlaps import HANGS, begin, code, command, save, until
from webdemo.supervisor.clients import MEETINGS

pytestmark = pytest.mark.process

BROKEN = "def app(:"


def meets(url: str, seconds: float = 1.0) -> str:
    """What a new client meets, in the words of the table."""
    try:
        with raw_http.Connection(url, seconds=seconds) as connection:
            status = connection.request("/").status
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "waits"
    return "503" if status == 503 else "a response"


Situation = Callable[[runs.Start, int], Iterator[runs.Running]]
SITUATIONS: dict[str, Situation] = {}


def situation(name: str) -> Callable[[Situation], Situation]:
    def register(make: Situation) -> Situation:
        SITUATIONS[name] = make
        return make

    return register


@situation("the app is being loaded for the first time")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    yield start("-b", f"waitress://127.0.0.1:{port}", app=code("one", HANGS), wait=False)


@situation("the same, with --health")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    yield start("-b", f"waitress://127.0.0.1:{port}", "--health", app=code("one", HANGS), wait=False)


@situation("the first load failed")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    run = start("-b", f"waitress://127.0.0.1:{port}", app=BROKEN, wait=False)
    assert run.wait() == 1
    yield run


@situation("the first load failed, with --reload")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    run = start("-b", f"waitress://127.0.0.1:{port}", "--reload", app=BROKEN, wait=False)
    run.wait_for("cannot be loaded")
    yield run


@situation("a reload, a restart or a swap is under way")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    run = start("-b", f"waitress://127.0.0.1:{port}", app=code("one"))
    save(run, code("two", HANGS))
    with begin(run, "reload") as reload:
        until(lambda: len(run.loaders()) == 2, run)
        yield run
        reload.kill()


@situation("one of several processes of a service died")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    run = start("-b", f"waitress://127.0.0.1:{port}?workers=2", app=code("one"))
    run.servers()[0].kill()
    yield run


@situation("the only process of a service died")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    run = start("-b", f"gevent://127.0.0.1:{port}", app=code("one"))
    save(run, code("two", HANGS))  # so that the next one is not up at once
    run.servers()[0].kill()
    run.wait_for("is started again")
    yield run


@situation("a service is given up")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    run = start("-b", "waitress://127.0.0.1:0", "-b", f"gevent://127.0.0.1:{port}", app=ONLY_IN_LOADER)
    run.wait_for("is given up")
    yield run


@situation("a service is given up, with --reload")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    run = start(
        "-b", "waitress://127.0.0.1:0", "-b", f"gevent://127.0.0.1:{port}", "--reload", app=ONLY_IN_LOADER
    )
    run.wait_for("is given up")
    yield run


@situation("the port was stopped")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    run = start("-b", "waitress://127.0.0.1:0", "-b", f"werkzeug://127.0.0.1:{port}", app=code("one"))
    assert command(run, "stop", str(port))[0] == 0
    yield run


@situation("a stop, a moment later")
def _(start: runs.Start, port: int) -> Iterator[runs.Running]:
    run = start("-b", f"waitress://127.0.0.1:{port}", app=SLOW)
    with raw_http.Connection(f"http://127.0.0.1:{port}/", seconds=60) as busy:
        busy.send_head("GET", "/slow")
        time.sleep(0.5)
        with begin(run, "stop") as stop:
            run.wait_for("Stopping")
            until(lambda: meets(f"http://127.0.0.1:{port}/") == "refused", run)
            yield run
            stop.wait(60)


# It can be imported with threading unpatched, as the loader does, and not after gevent's patches.
ONLY_IN_LOADER = code("one", "import sys\nassert 'gevent' not in sys.modules")
SLOW = """
import time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(3)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""


@pytest.mark.parametrize(
    "row", [row for row in MEETINGS if row.situation in SITUATIONS], ids=lambda r: r.situation
)
def test_a_client_meets_what_the_table_says(row: object, running: runs.Start, tmp_path: Path) -> None:
    meeting = next(each for each in MEETINGS if each is row)

    def start(*arguments: str, **options: object) -> runs.Running:
        runtime = {"XDG_RUNTIME_DIR": str(tmp_path / "run1")}
        return running(*arguments, environment=runtime, **options)

    port = free_port()  # given, because some situations have no start table to read it from
    url = f"http://127.0.0.1:{port}/"
    with contextmanager(SITUATIONS[meeting.situation])(start, port) as run:
        until(lambda: meets(url) == meeting.meets, run)


def test_the_connections_in_the_queue_when_a_run_stops_are_tested_elsewhere() -> None:
    """On every server, by tests/servers/test_draining.py and tests/deploy/test_activation.py."""
    assert {row.situation for row in MEETINGS} - SITUATIONS.keys() == {
        "a stop, and the client is in the accept queue",
        "the app is being loaded, on a socket from systemd",
        "the run stops, and systemd keeps the socket",
    }


def test_picture_of_the_states_is_drawn_from_the_table() -> None:
    assert states.PICTURE.read_text() == states.picture(), "draw it anew: python -m scripts.states"
