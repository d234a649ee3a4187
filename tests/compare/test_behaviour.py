"""webdemo compare on real servers: the pinned quirks, an app's own paths, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from webdemo.compare import runner
from webdemo.compare.behaviour import app_requests, known, own_paths, probing
from webdemo.compare.results import Comparison, Finding, from_json
from webdemo.errors import WebdemoError
from webdemo.worker.app_import import Target

pytestmark = pytest.mark.process

SECONDS = 90.0

APP = """
import os

def app(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain")]
    if path == "/software" and environ["SERVER_SOFTWARE"].startswith("waitress"):
        headers.append(("X-Made-By", "waitress"))
    body = {"/pid": str(os.getpid()), "/clock": os.urandom(8).hex()}.get(path, "the same")
    if path == "/fails" and "werkzeug" in environ["SERVER_SOFTWARE"].lower():
        raise RuntimeError("only here")
    start_response("200 OK", headers)
    return [body.encode()]
"""


def compare(folder: Path, *arguments: str, app: str | None = APP) -> subprocess.Popen[str]:
    if app is not None:
        (folder / "compared.py").write_text(app)
    chosen = ["--app", "compared:app"] if app is not None else []
    return subprocess.Popen(
        [sys.executable, "-m", "webdemo", "compare", *chosen, *arguments],
        cwd=folder,
        env=os.environ | {"XDG_STATE_HOME": str(folder / "state")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def compared(folder: Path, *arguments: str, app: str | None = APP, code: int = 0) -> Comparison:
    file = folder / "result.json"
    with compare(folder, *arguments, "--only", "behaviour", "--json", str(file), app=app) as process:
        output = process.communicate(timeout=SECONDS)
    assert process.returncode == code, output
    return from_json(file.read_text())


def of(findings: tuple[Finding, ...], probe: str) -> dict[str, str]:
    return {finding.server: finding.verdict for finding in findings if finding.probe == probe}


@pytest.mark.timeout(300)  # every server at once, on a machine that may be busy with other tests
def test_each_server_does_what_is_pinned_and_nothing_new() -> None:
    choices = runner.choose(sorted(known.quirks()))
    with runner.running(choices, probing.PROBE_APP) as runs:
        assert [run.problem for run in runs if run.state != "up"] == []
        versions = {run.choice.label: run.row().version for run in runs}
        found = probing.probe(runs, lambda: None)
    pinned = {label for label, quirks in known.quirks().items() if quirks.version == versions[label]}
    new = [f"{f.server} {f.probe}: {f.verdict}, {f.what}" for f in found.findings if f.is_new]
    assert [line for line in new if line.split()[0] in pinned] == []
    # A quirk that no longer occurs must be removed; one with several forms may be right by chance.
    right = {(f.server, f.probe) for f in found.findings if f.verdict == "right"}
    gone = [(label, probe) for label in pinned for probe, does in known.quirks()[label].does.items()
            if len(does) == 1 and (label, probe) in right]  # fmt: skip
    assert gone == []


def test_the_app_differs_only_where_it_does(tmp_path: Path) -> None:
    paths = ("/software", "/fails", "/pid", "/clock", "/")
    options = [option for path in paths for option in ("--path", path)]
    servers = ("waitress", "werkzeug", "wsgiref")
    comparison = compared(tmp_path, *options, *(f"--server={name}" for name in servers))
    assert comparison.behaviour is not None
    findings = comparison.behaviour.findings
    assert of(findings, "GET /software") == dict.fromkeys(servers, "right") | {"waitress": "differs"}
    assert of(findings, "GET /fails") == dict.fromkeys(servers, "right") | {"werkzeug": "differs"}
    for path in ("/pid", "/clock", "/"):
        assert set(of(findings, f"GET {path}").values()) == {"right"}, path
    [said] = [f for f in findings if f.probe == "GET /software" and f.verdict == "differs"]
    assert said.what == "waitress sends x-made-by: waitress."
    assert of(findings, "header-twice") == dict.fromkeys(servers, "right")


def test_the_routes_of_a_webdemo_app_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "routed.py").write_text(
        "from webdemo import App\napp = App()\n"
        "@app.get('/one')\ndef one(request): return '1'\n"
        "@app.get('/of/<name>')\ndef of(request, name): return name\n"
        "@app.post('/two')\ndef two(request): return '2'\n"
    )
    monkeypatch.chdir(tmp_path)
    assert [r.name for r in app_requests.of_routes(Target("routed:app"))] == ["GET /one"]
    with pytest.raises(WebdemoError) as failed:
        app_requests.of_routes(Target("missing:app"))
    assert failed.value.problem == "There is no module 'missing' for the app 'missing:app'."


def test_a_server_that_crashes_or_hangs_at_the_start_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing.py").write_text("raise RuntimeError('it cannot be')\n")
    (tmp_path / "hanging.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.chdir(tmp_path)
    with runner.running(runner.choose(["wsgiref"]), Target("crashing:app")) as [run]:
        assert run.state == "crashed"
        assert "crashing" in str(run.problem)
        findings = own_paths.compare([run], app_requests.of_paths(["/"]), lambda: None).findings
    assert [finding.verdict for finding in findings] == ["missing"]
    monkeypatch.setattr(runner, "START_SECONDS", 2.0)
    with runner.running(runner.choose(["wsgiref"]), Target("hanging:app")) as [run]:
        assert run.state == "hung"


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("raise RuntimeError('no')\n", "RuntimeError: no"),
        ("import os\nos._exit(3)\n", "Importing compared:app ends the process."),
        ("import os, sys\nif '-c' not in sys.argv[0]: raise RuntimeError('not when served')\n"
         "def app(e, s): pass\n", "No server runs compared:app: "),
    ],
)  # fmt: skip
def test_an_app_that_cannot_be_loaded_ends_it_in_two_lines_before_anything_else(
    tmp_path: Path, app: str, said: str
) -> None:
    with compare(tmp_path, "-s", "wsgiref", app=app) as process:
        output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert output == ""
    assert said in errors
    assert len([line for line in errors.splitlines() if not line.endswith(" ...")]) == 2, errors


def started_by(process: subprocess.Popen[Any]) -> set[psutil.Process]:
    return set(psutil.Process(process.pid).children(recursive=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_whatever_ends_it_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with compare(tmp_path, "-s", "waitress", "-s", "gunicorn", "--only", "behaviour") as process:
        deadline = time.monotonic() + SECONDS
        seen: set[psutil.Process] = set()
        while len(seen) < 6:  # for each server a supervisor, a loader and a server process
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            seen |= started_by(process)
            time.sleep(0.05)
        time.sleep(1)  # in the middle of the probes
        seen |= started_by(process)
        process.send_signal(number)
        assert process.wait(SECONDS) == (-signal.SIGKILL if number == signal.SIGKILL else 130)
        _, alive = psutil.wait_procs(list(seen), timeout=30)
        assert alive == []


def test_what_is_written_can_be_read_back(tmp_path: Path) -> None:
    comparison = compared(tmp_path, "-s", "wsgiref", "--path", "/")
    data = json.loads((tmp_path / "result.json").read_text())
    assert data["schema"] == comparison.schema
    assert [server.label for server in comparison.servers] == ["wsgiref"]
