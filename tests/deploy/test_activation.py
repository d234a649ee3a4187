"""Sockets of a service manager: it keeps them over a restart, with their queue, and loses no client."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from tests.deploy.manager import managing, queue_length
from tests.deploy.visitors import Visitors
from tests.free_ports import free_port
from tests.servers.kinds import KINDS, bind

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="the queue's length is shown by Linux"),
]

HELLO = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served.py").write_text(HELLO)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_two_restarts_under_load_lose_nothing_and_keep_the_queue(kind: str, folder: Path) -> None:
    sock = socket.create_server(("127.0.0.1", 0), backlog=77)
    bind_text = bind(kind, f"127.0.0.1:{sock.getsockname()[1]}")
    with managing(folder, "--app", "served:app", "--health", "-b", bind_text, sockets=[sock]) as manager:
        manager.start()
        assert queue_length(sock) == 77
        host, port = sock.getsockname()
        visitors = Visitors(host, port, clients=10, per_second=25).start()
        try:
            for least in (100, 200):
                runs.wait_until(lambda least=least: visitors.count.total >= least)  # type: ignore[misc]
                manager.restart()
                assert queue_length(sock) == 77
            runs.wait_until(lambda: visitors.count.total >= 300)
        finally:
            count = visitors.stop()
        assert not count.lost, count


def test_the_first_visitor_gets_the_app_although_health_checks_are_on(folder: Path) -> None:
    """The client connects while nothing runs, and waits in the queue until the app is loaded."""
    (folder / "served.py").write_text("import time\ntime.sleep(1)\n" + HELLO)
    sock = socket.create_server(("127.0.0.1", 0))
    with managing(folder, "--app", "served:app", "--health", "-s", "waitress", sockets=[sock]) as manager:
        with raw_http.Connection(manager.url) as early:
            early.send_head("GET", "/")
            manager.start()
            assert early.answer().text == "hello"
        assert manager.stop() == 0
        with raw_http.Connection(manager.url) as late:
            late.send_head("GET", "/")
            manager.start()
            assert late.answer().text == "hello"


def test_two_sockets_of_one_port_are_one_bind_and_both_are_served(folder: Path) -> None:
    """As `webdemo export systemd` writes them, when the settings name no port."""
    port = free_port()
    four = socket.create_server(("127.0.0.1", port))
    six = socket.create_server(("::1", port), family=socket.AF_INET6)
    with managing(folder, "--app", "served:app", "-s", "waitress", sockets=[four, six]) as manager:
        manager.start()
        for host in ("127.0.0.1", "[::1]"):
            assert raw_http.get(f"http://{host}:{port}").text == "hello"
        assert manager.stop() == 0
        assert manager.log().count("waitress  ") == 1


def test_an_address_in_the_settings_and_from_the_manager_is_one_bind(folder: Path) -> None:
    port = free_port()
    everywhere = socket.create_server(("127.0.0.1", port))
    unix = socket.socket(socket.AF_UNIX)
    path = str(folder / "site.sock")
    unix.bind(path)
    unix.listen(77)
    arguments = ["--app", "served:app", "-b", f"waitress://127.0.0.1:{port}", "-b", f"waitress+unix://{path}"]
    with managing(folder, *arguments, names="werkzeug:ignored", sockets=[everywhere, unix]) as manager:
        manager.start()
        assert raw_http.get(manager.url).headers["Server"] == "waitress"
        assert raw_http.get(f"unix:{path}").text == "hello"
        assert manager.stop() == 0
        assert manager.log().count("waitress  ") == 1, "one row: both are in one process"
        assert Path(path).exists(), "the file is the manager's"
        manager.start()
        assert raw_http.get(f"unix:{path}").text == "hello"
