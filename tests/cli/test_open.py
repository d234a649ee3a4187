"""What a start says about other machines."""

from __future__ import annotations

import re

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
    found = re.findall(r"^Open to other machines: (.*)$", run.log(), re.MULTILINE)
    assert found == ([" ".join(expected)] if expected else [])
    for url in expected:
        assert get(url, "/").text == "ok"


def test_a_bind_on_loopback_is_not_open(running: runs.Start) -> None:
    assert "Open to other machines" not in running("-b", "waitress://:0", app=APP).log()
