"""No server process outlives the supervisor, also if its loader was killed with it."""

from __future__ import annotations

import os
import signal
import socket
from urllib.parse import urlsplit

from tests import running as runs
from tests.servers.kinds import bind

APP = """
import threading
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/hang":
        print("hangs", flush=True)
        threading.Event().wait()
    return [b"ok"]
"""


def test_servers_end_after_the_grace_time_when_supervisor_and_loader_are_killed(
    kind: str, running: runs.Start
) -> None:
    webdemo = running("-b", bind(kind), "--grace", "1", app=APP)
    parts = urlsplit(webdemo.url)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=60) as client:
        client.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        webdemo.wait_for("hangs")
        for pid in (*(loader.pid for loader in webdemo.loaders()), webdemo.pid):
            os.kill(pid, signal.SIGKILL)
        webdemo.wait()
        webdemo.wait_until_gone()
