"""Third-party apps with real clients, on every server."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from tests.servers.kinds import KINDS, bind
from webdemo.servers import registry

PYPISERVER = """
import pypiserver
app = pypiserver.app(roots=["packages"], password_file=".", authenticate=[], disable_fallback=True)
"""
RADICALE = """
from radicale import config
from radicale.app import Application
configuration = config.load()
configuration.update({
    "auth": {"type": "none"},
    "storage": {"filesystem_folder": "collections"},
    "rights": {"type": "owner_only"},
}, "test")
app = Application(configuration)
"""
EVENT = b"""BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//webdemo//tests//EN\r
BEGIN:VEVENT\r
UID:one\r
DTSTAMP:20260101T000000Z\r
DTSTART:20260101T100000Z\r
SUMMARY:Ports\r
END:VEVENT\r
END:VCALENDAR\r
"""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if registry.find(KINDS[name][0]).version() is None:
        pytest.skip(f"{KINDS[name][0]} is not installed")
    return name


def make_wheel(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "portnote-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("portnote.py", "HTTP = 80\n")
        wheel.writestr(
            "portnote-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: portnote\nVersion: 1.0\n"
        )
        wheel.writestr(
            "portnote-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(
            "portnote-1.0.dist-info/RECORD",
            "portnote.py,,\nportnote-1.0.dist-info/METADATA,,\n"
            "portnote-1.0.dist-info/WHEEL,,\nportnote-1.0.dist-info/RECORD,,\n",
        )


def test_pip_installs_from_pypiserver(kind: str, running: runs.Start, tmp_path: Path) -> None:
    make_wheel(tmp_path / "run1" / "packages")
    one = running("-b", bind(kind), app=PYPISERVER)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-cache-dir"),
            *(
                "--disable-pip-version-check",
                "--index-url",
                f"{one.url}simple/",
                "--target",
                str(tmp_path / "got"),
            ),
            "portnote",
        ],
        env=os.environ | {"PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got" / "portnote.py").read_text() == "HTTP = 80\n"


def test_a_calendar_is_kept_by_radicale(kind: str, running: runs.Start) -> None:
    one = running("-b", bind(kind), app=RADICALE)
    basic = [("Authorization", "Basic dXNlcjp4")]
    made = raw_http.get(one.url, "/user/calendar/", method="MKCALENDAR", headers=basic)
    assert made.status == 201, made.body
    with raw_http.Connection(one.url) as connection:
        event = [*basic, ("Content-Type", "text/calendar")]
        if kind == "wsgiref":  # reads no chunked body
            put = connection.request("/user/calendar/one.ics", method="PUT", headers=event, body=EVENT)
        else:
            connection.send_head("PUT", "/user/calendar/one.ics", [*event, ("Transfer-Encoding", "chunked")])
            connection.send_chunks([EVENT])
            put = connection.answer()
    assert put.status == 201, put.body
    got = raw_http.get(one.url, "/user/calendar/one.ics", headers=basic)
    assert got.status == 200
    assert b"SUMMARY:Ports" in got.body
    found = raw_http.get(
        one.url,
        "/user/calendar/",
        method="PROPFIND",
        headers=[*basic, ("Depth", "1"), ("Content-Type", "application/xml")],
        body=b'<?xml version="1.0"?><propfind xmlns="DAV:"><prop><getetag/></prop></propfind>',
    )
    assert found.status == 207
    assert b"one.ics" in found.body
