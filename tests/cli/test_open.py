"""What a start says about other machines, and --open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import running as runs
from tests.raw_http import get
from webdemo.net.addresses import machine_addresses
from webdemo.net.bindtext import authority

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_a_bind_on_every_address_is_printed_with_each_url_for_other_machines(running: runs.Start) -> None:
    run = running("-b", "waitress://*:0", "-b", "waitress://127.0.0.1:0?threads=2", app=APP)
    port = int(run.url.rstrip("/").rpartition(":")[2])
    expected = [f"http://{authority(host, port)}/" for host in machine_addresses()]
    for url in expected:
        assert get(url, "/").text == "ok"
    assert run.terminate() == 0
    found = re.findall(r"^Open to other machines: (.*)$", run.log(), re.MULTILINE)
    assert found == ([" ".join(expected)] if expected else [])


def test_a_bind_on_loopback_is_not_open(running: runs.Start) -> None:
    run = running("-b", "waitress://:0", app=APP)
    assert run.terminate() == 0
    assert "Open to other machines" not in run.log()


@pytest.mark.process
@pytest.mark.parametrize("arguments", [("--dashboard=0",), (), ("--in-process",)])
def test_open_opens_the_dashboard_with_its_key_or_the_app(arguments: tuple[str, ...], tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text('#!/bin/sh\necho "opened $1"\n')
    browser.chmod(0o755)
    run = runs.Running(
        tmp_path,
        ["--open", "-b", "waitress://127.0.0.1:0", *arguments],
        {"BROWSER": f"{browser} %s"},
    )
    try:
        [opened] = run.wait_for(r"^opened \S+$")
        dashboard, page = r"(?<=Dashboard: )\S+#key=\S+$", r"(?<!opened )http://127.0.0.1:\d+/"
        [url] = run.wait_for(dashboard if "--dashboard=0" in arguments else page)
        assert opened == f"opened {url}"
    finally:
        run.clean_up()


def test_open_says_that_there_is_no_browser(running: runs.Start, tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), "BROWSER": None, "DISPLAY": None, "WAYLAND_DISPLAY": None}
    run = running("--open", "-b", "waitress://127.0.0.1:0", app=APP, environment=nothing)
    run.wait_for(r"^--open: there is no browser on this machine\.")
