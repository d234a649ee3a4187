"""An app's own paths on real servers: differences are reported, values that change each time are not."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.running import Start
from webdemo.compare import runner
from webdemo.compare.behaviour import app_requests, hosts, own_paths
from webdemo.compare.results import Behaviour
from webdemo.errors import UsageError
from webdemo.worker.app_import import Target

SERVERS = ("waitress", "werkzeug", "wsgiref", "cheroot")

APP = """
import os, random, secrets, string, time

STARTED = time.time()
OWN = secrets.token_hex(8)
count = 0

def app(environ, start_response):
    global count
    count += 1
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain"), ("X-Instance", OWN)]
    body = {
        "/process": f"process {os.getpid()} of {os.getppid()}, {OWN}, up {time.time() - STARTED:.0f} s",
        "/clock": time.strftime("%H:%M:%S"),
        "/set": ",".join(set(string.ascii_letters)),
        "/lottery": "\\n".join(["drawn:", *(str(random.random()) for _ in range(random.randrange(2, 9)))]),
        "/count": f"visit {count}",
        "/software": environ["SERVER_SOFTWARE"] + f" at {time.time()}",
    }.get(path, path)
    if environ["REQUEST_METHOD"] == "POST":
        body = f"{secrets.token_hex(8)} got {environ['CONTENT_LENGTH']} bytes"
    start_response("200 OK", headers)
    return [body.encode("latin-1")]
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    (tmp_path / "changing.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return Target("changing:app")


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `webdemo compare --only behaviour` on three servers, as CI does."""
    words = [sys.executable, "-m", "webdemo", "compare", "--only", "behaviour", "--fail-on-difference"]
    servers = [f"--server={name}" for name in ("waitress", "wsgiref", "werkzeug")]
    return subprocess.run(
        [*words, *servers, *arguments],
        env=os.environ | {"XDG_STATE_HOME": str(folder / "state")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def compared(target: Target, requests: Sequence[app_requests.AppRequest]) -> Behaviour:
    with runner.running(runner.choose(SERVERS), target) as runs:
        assert [run.problem for run in runs if run.state != "up"] == []
        return own_paths.compare(
            runs,
            requests,
            start_again=lambda labels: runner.running(runner.choose(sorted(labels)), target),
        )


@pytest.mark.process
@pytest.mark.timeout(180)
def test_what_changes_on_the_same_server_is_no_difference_and_what_does_not_is_one(app: Target) -> None:
    changing = ("/process", "/clock", "/set", "/lottery", "/count", "/")
    requests = app_requests.of_paths([*changing, "/software", "/a%2Fb"])
    found = {(f.probe, f.server): f for f in compared(app, requests).findings}
    for path in changing:
        assert [f.what for f in found.values() if f.probe == f"GET {path}" and f.what] == []
    assert found["GET /software", "waitress"].what == "waitress sends a body of its own (‘waitress at …’)."
    assert found["GET /software", "waitress"].who_is_right == "No response is that of most servers."
    [slash] = [f for f in found.values() if f.probe == "GET /a%2Fb" and f.what]
    assert slash.what == "cheroot sends another body (‘/a%2Fb’ for ‘/a/b’)."
    assert slash.who_is_right.startswith(
        "Most servers respond differently. See target-encoded-slash: cheroot "
    )


@pytest.mark.process
@pytest.mark.timeout(180)
def test_what_is_asked_for_only_once_is_compared_with_a_second_start(app: Target, tmp_path: Path) -> None:
    request = {"method": "POST", "url": "http://x/form", "postData": {"text": "a=1"}}
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [{"request": request}]}}))
    findings = compared(app, app_requests.of_har(tmp_path / "a.har")).findings
    assert [finding.what for finding in findings] == [""] * len(SERVERS)


def test_requests_of_one_path_that_differ_in_their_headers_are_all_asked(tmp_path: Path) -> None:
    urls = ["http://x/a", "http://x/a", "http://x/a"]
    cookies = ["s=1", "s=2", "s=1"]
    entries = [
        {"request": {"method": "GET", "url": url, "headers": [{"name": "Cookie", "value": cookie}]}}
        for url, cookie in zip(urls, cookies, strict=True)
    ]
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": entries}}))
    requests = app_requests.of_har(tmp_path / "a.har")
    assert [(r.name, r.request.headers) for r in requests] == [
        ("GET /a", (("Cookie", "s=1"),)),
        ("GET /a (2)", (("Cookie", "s=2"),)),
    ]


@pytest.mark.process
@pytest.mark.timeout(180)
def test_a_build_is_told_what_fails_it_and_what_is_accepted_in_vain(app: Target, tmp_path: Path) -> None:
    paths = ("--app", app.app, "--path", "/software", "--path", "/process")
    run = command(tmp_path, *paths)
    assert run.returncode == 1
    assert "Neither known nor accepted: GET /software on waitress." in run.stderr
    assert "/process" not in run.stderr
    accepted = tmp_path / "accepted.toml"
    entries = (f'[[accepted]]\nserver = "*"\nprobe = "GET {p}"\nwhy = "So."\n' for p in ("/software", "/old"))
    accepted.write_text("".join(entries))
    run = command(tmp_path, *paths, "--accepted", str(accepted))
    assert "GET /software" not in run.stderr
    assert "Accepted, but no longer different: GET /old on *." in run.stderr


@pytest.mark.process
@pytest.mark.timeout(180)
@pytest.mark.deep
def test_of_the_demo_site_only_the_pages_that_show_the_server_differ(tmp_path: Path) -> None:
    run = command(tmp_path)
    # The pages about ports and servers show what else runs on this machine, which changes meanwhile.
    told = [line for line in run.stderr.splitlines() if " GET " in line]
    assert {line.split(" on ")[0] for line in told} <= {
        f"Neither known nor accepted: GET {path}"
        for path in ("/", "/inspect", "/ports", "/servers", "/servers/live")
    }


@pytest.mark.process
@pytest.mark.timeout(240)
def test_hosts_that_run_already_are_compared_without_changing_anything(
    tmp_path: Path, running: Start
) -> None:
    source = """
import os
def app(environ, start_response):
    print("asked", environ["REQUEST_METHOD"], flush=True)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Location", "http://" + environ["HTTP_HOST"])])
    return [os.environ["RELEASE"].encode() if environ["PATH_INFO"] == "/release" else b"the same"]
"""
    runs = [
        running("-b", "waitress://127.0.0.1:0", app=source, environment={"RELEASE": release})
        for release in ("one", "two", "two")
    ]
    hosts = [run.url.rstrip("/") for run in runs]
    request = {"method": "GET", "url": "http://x/release"}
    entries = [{"request": request}, {"request": request | {"method": "POST"}},
               {"request": request | {"url": "http://x/"}}]  # fmt: skip
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": entries}}))
    done = subprocess.run(
        [sys.executable, "-m", "webdemo", "compare", *(f"--at={host}" for host in hosts),
         "--har", str(tmp_path / "a.har"), "--fail-on-difference"],
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "No: 1 of 2 requests gets different responses." in done.stdout
    assert f"GET /release  {hosts[0]}: sends another body" in done.stdout
    assert "Not sent, because they may change something there: 1 request." in done.stderr
    for run in runs:
        assert run.terminate() == 0
        assert "asked POST" not in run.log()


@pytest.mark.parametrize(
    ("urls", "problem"),
    [
        (["http://a.example"], "--at compares two or more different hosts."),
        (["http://a.example", "http://a.example"], "--at compares two or more different hosts."),
        (["http://a.example", "http://b.example/path"],
         "'http://b.example/path' is not the URL of a host."),
        (["ftp://a.example", "http://b.example"], "'ftp://a.example' is not the URL of a host."),
        (["http://a:99999", "http://b.example"], "'http://a:99999' is not the URL of a host."),
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(urls: list[str], problem: str) -> None:
    with pytest.raises(UsageError) as refused:
        hosts.reach(urls)
    assert refused.value.problem == problem


@pytest.mark.process
@pytest.mark.deep
@pytest.mark.timeout(300)
def test_the_example_for_a_workflow_is_run_as_printed(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    [block] = re.findall(r"```yaml\n(name: servers.*?)```", (root / "docs/compare.md").read_text(), re.S)
    [install, command] = re.findall(r"- run: (?:>\n)?(.*?)(?=\n      - )", block, re.S)
    assert install == "pip install '.[servers]'"
    done = subprocess.run(
        shlex.split(command.replace("compare.xml", str(tmp_path / "a.xml"))
                    .replace("compare.html", str(tmp_path / "a.html"))),
        cwd=root,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path),
                          "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "a.html").stat().st_size < 1_000_000
