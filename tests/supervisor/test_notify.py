"""sd_notify with a real datagram socket, like systemd's."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from webdemo.supervisor.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket, and what it puts into NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@webdemo-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        sock.settimeout(10)
        yield sock, name


def test_each_message_is_one_datagram_that_systemd_understands(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.stopping()
    notifier.watchdog()
    assert [sock.recv(1000) for _ in range(3)] == [
        b"READY=1",
        b"STOPPING=1",
        b"WATCHDOG=1",
    ]


def test_a_reload_carries_the_time_that_tells_it_from_an_older_one(
    manager: tuple[socket.socket, str],
) -> None:
    sock, name = manager
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier({"NOTIFY_SOCKET": name}).reloading()
    first, second = sock.recv(1000).split(b"\n")
    assert first == b"RELOADING=1"
    key, _, value = second.partition(b"=")
    assert key == b"MONOTONIC_USEC"
    assert before <= int(value) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@pytest.mark.parametrize(
    "value", ["", "relative/path", "/nowhere/notify", "@nobody-listens-here", "vsock:2:1"]
)
def test_nobody_to_tell_is_no_error(value: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": value} if value else {})
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    notifier.watchdog()


def test_a_manager_that_does_not_read_does_not_hold_up_the_run(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as flood:
            flood.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    flood.sendto(b"x", path)
        began = time.monotonic()
        Notifier({"NOTIFY_SOCKET": path}).ready()
        assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time_by_the_process_it_watches(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/notify", **environ}).watchdog_seconds == seconds


def test_without_a_manager_there_is_no_watchdog() -> None:
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_seconds is None
