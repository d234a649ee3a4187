"""Who listens: real programs on TCP, IPv6 and Unix sockets, our own and another user's."""

from __future__ import annotations

import os
import pwd
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.net.programs import listening, needs_root, program, run_as_nobody
from webdemo.net import holders
from webdemo.net.holders import Listening, Process, tcp_listeners, unix_listeners

ME = pwd.getpwuid(os.geteuid()).pw_name


def only(found: list[Listening]) -> Listening:
    assert len(found) == 1, found
    return found[0]


def listeners(port: int, host: str = "127.0.0.1") -> list[Listening]:
    """Those at this address: the system may give a free port of one to another program at another address."""
    return [one for one in tcp_listeners(port) if one.host == host]


@pytest.mark.process
@pytest.mark.parametrize(
    ("family", "host", "name"),
    [
        ("AF_INET", "127.0.0.1", "ipv4"),
        ("AF_INET", "0.0.0.0", "ipv4"),
        ("AF_INET6", "::1", "ipv6"),
        ("AF_INET6", "::", "ipv6"),
    ],
)
def test_tcp_listener_is_seen_with_its_process(family: str, host: str, name: str) -> None:
    with listening(family, host, extra=["--flag"]) as (process, port):
        found = only(listeners(port, host))
        assert (found.family, found.host, found.port, found.user) == (name, host, port, ME)
        holder = found.processes[0]
        assert (holder.pid, holder.parent) == (process.pid, os.getpid())
        assert holder.command.startswith(f"{Path(sys.executable).name} -c ")
        assert abs(time.time() - holder.started) < 60
        assert holder.is_mine
        assert not holder.is_webdemo
        assert found in tcp_listeners()


@pytest.mark.process
def test_unix_listener_is_seen_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    with listening("AF_UNIX", str(path)) as (process, _):
        found = only([one for one in unix_listeners() if one.path == str(path)])
        assert (found.family, found.place, found.user) == ("unix", str(path), ME)
        assert [holder.pid for holder in found.processes] == [process.pid]


@pytest.mark.process
def test_ipv4_mapped_ipv6_address_is_ipv4() -> None:
    with listening("AF_INET6", "::ffff:127.0.0.1", dual=True) as (_, port):
        found = only(listeners(port))
        assert (found.family, found.host, found.place) == ("ipv4", "127.0.0.1", f"127.0.0.1:{port}")


def test_connected_and_unconnected_sockets_are_no_listeners() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname(), timeout=60)
        try:
            assert listeners(client.getsockname()[1]) == []
            assert listeners(bound.getsockname()[1]) == []
        finally:
            client.close()


@pytest.mark.process
def test_processes_that_share_a_socket_are_all_seen_the_oldest_first() -> None:
    code = """
import os, socket, sys, time
sock = socket.create_server(("127.0.0.1", 0))
time.sleep(0.05)  # the kernel counts a process's start in hundredths of a second
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
os.wait()
"""
    with program(code) as (process, line):
        found = only(listeners(int(line)))
        assert len(found.processes) == 2
        parent, child = found.processes
        assert (parent.pid, child.parent) == (process.pid, process.pid)


@pytest.mark.process
def test_webdemo_is_recognised_by_its_command_line() -> None:
    with listening(extra=["-m", "webdemo", "--port", "8000"]) as (process, port):
        holder = only(listeners(port)).processes[0]
        assert holder.is_webdemo
        described = holder.describe(now=holder.started + 3 * 3600 + 5)
        assert described == f"a webdemo that you started 3 h ago (pid {process.pid})"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["python", "-m", "webdemo"], True),
        (["python3", "-X", "dev", "-m", "webdemo", "-b", ":8000"], True),
        (["/usr/bin/python3", "/usr/local/bin/webdemo"], True),
        (["webdemo", "port"], True),
        (["python", "-m", "webdemo.worker.loader", "13"], True),
        (["python", "-m", "webdemonic"], False),
        (["gunicorn", "webdemo:app"], False),
        (["vim", "notes", "webdemo"], False),
        (["python", "-m", "http.server"], False),
    ],
)
def test_only_webdemo_itself_counts_as_webdemo(words: list[str], expected: bool) -> None:
    assert holders._is_webdemo(words) is expected


@pytest.mark.process
def test_command_is_shown_on_one_line_without_its_folder() -> None:
    code = "import socket, sys\nprint('ready\\x1b[31m', flush=True)\nsys.stdin.read()"
    with program(code, "x" * 200) as (process, _):
        found = holders.inspect_process(process.pid)
        assert found is not None
        assert found.command.startswith(f"{Path(sys.executable).name} -c import socket, sys\\nprint(")
        assert found.command.isprintable()
        assert len(found.command) <= 80
    assert holders.inspect_process(process.pid) is None


@pytest.mark.process
@needs_root
def test_other_users_process_is_named_as_theirs() -> None:
    with listening(as_nobody=True) as (process, port):
        found = only(listeners(port))
        theirs = pwd.getpwuid(65534).pw_name
        assert found.user == theirs
        assert not found.processes[0].is_mine
        assert f"(pid {process.pid}, of user {theirs}, started " in found.describe()


@pytest.mark.process
@needs_root
def test_what_an_unprivileged_user_cannot_see_is_said() -> None:
    with listening() as (_, port):
        printed = run_as_nobody(
            f"from webdemo.net.holders import tcp_listeners\n"
            f"for one in tcp_listeners({port}): print(len(one.processes), one.describe())"
        )
        assert printed == "0 a program of user root (only its owner or root can see which)\n"


def test_holder_in_another_container_is_said_to_be_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    hidden = Listening("ipv4", "127.0.0.1", 80, "", (), "root")
    assert (
        hidden.describe()
        == "a program of user root (it is not visible from here, perhaps in another container)"
    )
    nameless = Listening("ipv4", "127.0.0.1", 80, "", (), "")
    assert nameless.describe() == (
        "a program that is not visible (it is not visible from here, perhaps in another container)"
    )


@pytest.mark.process
def test_psutil_tells_the_same_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening("AF_INET6", "::1") as (_, port):
        here = only(listeners(port, "::1"))
        monkeypatch.setattr(sys, "platform", "darwin")
        there = only(listeners(port, "::1"))
        assert there == here
        assert unix_listeners() == []


def test_process_is_described_in_one_line() -> None:
    process = Process(12, 1, "python app.py", "ada", 1000.0, is_mine=True, is_webdemo=False)
    assert process.describe(now=1000.0 + 90) == "python app.py (pid 12, yours, started 1.5 min ago)"
    theirs = Process(12, 1, "python -m webdemo", "ada", 1000.0, is_mine=False, is_webdemo=True)
    assert theirs.describe(now=1005.0) == "a webdemo that ada started 5 s ago (pid 12)"
