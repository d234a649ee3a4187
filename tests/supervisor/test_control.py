"""The client of the control socket: whatever a supervisor replies becomes a result or an error."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webdemo.errors import ControlUnavailable, UsageError
from webdemo.supervisor.control import Instance
from webdemo.supervisor.control_messages import Completed, Killed, Reload, RunStatus, Swap
from webdemo.worker.codec import plain

SECONDS = 30.0
Replying = Callable[[bytes], Instance]


@pytest.fixture
def replying(tmp_path: Path) -> Iterator[Replying]:
    """Makes an instance that replies with these bytes to one command, and then hangs up."""
    path = tmp_path / "4711.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(SECONDS)
        threads: list[threading.Thread] = []

        def serve(reply: bytes) -> None:
            with listening.accept()[0] as sock, sock.makefile("rb") as lines:
                lines.readline()
                sock.sendall(reply)

        def start(reply: bytes) -> Instance:
            threads.append(threading.Thread(target=serve, args=[reply]))
            threads[-1].start()
            return Instance(4711, path)

        yield start
        for thread in threads:
            thread.join(SECONDS)


def test_a_reply_becomes_its_class(replying: Replying) -> None:
    assert replying(b'{"ok": true, "pids": [1, 2]}\n').call(Reload(), Killed) == Killed((1, 2))


def test_a_refusal_is_an_error_with_its_problem_and_remedy(replying: Replying) -> None:
    reply = {"ok": False, "problem": "No such port.", "remedy": "See: webdemo ps"}
    with pytest.raises(UsageError) as raised:
        replying(json.dumps(reply).encode() + b"\n").call(Swap("1", "gunicorn"), Completed)
    assert (raised.value.problem, raised.value.remedy) == ("No such port.", "See: webdemo ps")


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b'{"ok": true, "colour": "blue"}', "There is no field 'colour' here."),
        (b'{"ok": true}', "pids is missing."),
        (b'{"ok": true, "pids": ["x"]}', "pids[0] cannot be 'x'."),
        (b'{"ok": false}', "problem is missing."),
        (b"[]", "A message cannot be b'[]\\n'."),
        (b"\xff\x00", "A message cannot be b'\\xff\\x00\\n'."),
    ],
)
def test_a_reply_of_another_version_is_named_with_the_remedy(
    replying: Replying, reply: bytes, problem: str
) -> None:
    with pytest.raises(ControlUnavailable) as raised:
        replying(reply + b"\n").call(Reload(), Killed)
    assert raised.value.problem == f"The webdemo with process 4711 is of another version: {problem}"
    assert "of the environment that it runs in" in raised.value.remedy


def test_a_supervisor_that_hangs_up_does_not_answer(replying: Replying) -> None:
    with pytest.raises(ControlUnavailable) as raised:
        replying(b"").status(timeout_seconds=SECONDS)
    assert raised.value.problem == "The webdemo with process 4711 does not answer."


def test_a_long_command_is_waited_for_as_long_as_others_are_answered(tmp_path: Path) -> None:
    path = tmp_path / "4711.sock"
    asked = threading.Event()

    def serve(listening: socket.socket) -> None:
        first = listening.accept()[0]
        with (
            first,
            listening.accept()[0] as second,
        ):  # the second asks whether the first may wait on
            asked.set()
            second.recv(1000)
            status = RunStatus(4711, "app:app", 0.0, False, ())
            second.sendall(json.dumps({"ok": True} | plain(status)).encode() + b"\n")
            second.recv(1000)
            first.sendall(b'{"ok": true, "pids": [1]}\n')

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(SECONDS)
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        assert Instance(4711, path).call(Reload(), Killed) == Killed((1,))
        thread.join(SECONDS)
    assert asked.is_set()
