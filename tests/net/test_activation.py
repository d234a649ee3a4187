"""Socket activation as systemd does it, by a small parent process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from webdemo.errors import PortUnavailable
from webdemo.net.activation import Activated, take_activated
from webdemo.net.bind import Bind

_CHILD = """
import os, sys
os.environ["LISTEN_PID"] = os.environ.get("LISTEN_PID") or str(os.getpid())
from webdemo.net.activation import take_activated
from webdemo.net.listener import listen
for taken in take_activated():
    (sock,) = listen(taken.bind)
    print(taken.bind, taken.name or "-", sock.getsockname()[1], sock.get_inheritable())
    sock.close()
print([name for name in os.environ if name.startswith("LISTEN_")], take_activated())
"""
_PARENT = """
import os, sys
for target, given in enumerate(sys.argv[2:], 3):
    os.dup2(int(given) , target + 100)
for target in range(3, len(sys.argv) + 1):
    os.dup2(target + 100, target, inheritable=True)
    os.close(target + 100)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""


def activate(**environment: str) -> tuple[list[str], list[int]]:
    """The output of a child that gets two sockets as descriptors 3 and 4."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        given = [one.fileno(), two.fileno()]
        result = subprocess.run(
            [sys.executable, "-c", _PARENT, _CHILD, *map(str, given)],
            pass_fds=given,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return result.stdout.splitlines(), [one.getsockname()[1], two.getsockname()[1]]


@pytest.mark.process
def test_sockets_that_were_handed_over_are_taken_once_and_not_inherited() -> None:
    printed, ports = activate(LISTEN_FDS="2", LISTEN_FDNAMES="web:admin")
    assert printed == [f"fd://3 web {ports[0]} False", f"fd://4 admin {ports[1]} False", "[] []"]


@pytest.mark.process
def test_sockets_need_no_names() -> None:
    printed, ports = activate(LISTEN_FDS="1")
    assert printed == [f"fd://3 - {ports[0]} False", "[] []"]


@pytest.mark.process
def test_sockets_meant_for_another_process_are_left_alone() -> None:
    printed, _ = activate(LISTEN_FDS="2", LISTEN_PID="1")
    assert printed == ["[] []"]


def test_without_the_variables_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert take_activated() == []


def test_unnamed_activation_is_a_bind_on_each_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert take_activated() == [Activated(Bind(fd=3), ""), Activated(Bind(fd=4), "")]


@pytest.mark.parametrize(
    ("count", "names", "problem"),
    [
        ("two", "", "LISTEN_FDS is 'two', not a number of sockets."),
        ("-1", "", "LISTEN_FDS is '-1', not a number of sockets."),
        ("2", "one", "LISTEN_FDS counts 2 sockets, LISTEN_FDNAMES names 1."),
    ],
)
def test_variables_without_sense_are_refused(
    monkeypatch: pytest.MonkeyPatch, count: str, names: str, problem: str
) -> None:
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDNAMES", names)
    with pytest.raises(PortUnavailable) as caught:
        take_activated()
    assert caught.value.problem == problem
