"""Stopping the holder of a port: only the user's own processes, SIGTERM first, children included."""

from __future__ import annotations

import signal
import socket
from dataclasses import replace

import pytest

from tests.free_ports import free_port
from tests.net.programs import listening, needs_root, program
from webdemo.errors import PortNotPermitted, PortUnavailable
from webdemo.net.bind import Bind
from webdemo.net.holders import tcp_listeners
from webdemo.net.listener import listen
from webdemo.net.stopping import find_stoppable, stop

pytestmark = pytest.mark.process

_FAMILY = """
import os, signal, socket, sys, time
sock = socket.create_server(("127.0.0.1", 0))
time.sleep(0.05)
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, b"%d\\n" % sock.getsockname()[1])
    time.sleep(60)
    os._exit(0)
def end(*_):
    os.kill(child, signal.SIGKILL)
    os.wait()
    os._exit(0)
signal.signal(signal.SIGTERM, end)
time.sleep(60)
"""
_STUBBORN = """
import signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sock = socket.create_server(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
time.sleep(60)
"""


def test_holder_ends_on_term_and_its_port_is_free() -> None:
    with listening() as (process, port):
        (holder,) = find_stoppable(port)
        assert holder.pid == process.pid
        (stopped,) = stop([holder])
        assert not stopped.killed
        assert stopped.describe().endswith(f" (pid {process.pid}) has exited.")
        assert process.wait(60) == -signal.SIGTERM
        for sock in listen(Bind(host="127.0.0.1", port=port)):
            sock.close()


def test_parent_is_asked_to_end_and_takes_its_children_with_it() -> None:
    with program(_FAMILY) as (process, line):
        found = find_stoppable(int(line))
        assert found[0].pid == process.pid
        assert len(found) == 2
        assert [stopped.killed for stopped in stop(found)] == [False, False]
        assert tcp_listeners(int(line)) == []


def test_holder_that_ignores_term_is_killed_after_the_grace_time() -> None:
    with program(_STUBBORN) as (process, line):
        (stopped,) = stop(find_stoppable(int(line)), grace_seconds=0.3)
        assert stopped.killed
        assert stopped.describe().endswith(f" (pid {process.pid}) ignored SIGTERM and was killed.")
        assert process.wait(60) == -signal.SIGKILL


def test_process_that_has_taken_over_the_number_of_another_is_left_alone() -> None:
    with listening() as (process, port):
        (holder,) = find_stoppable(port)
        stop([replace(holder, started=holder.started - 10)])
        assert process.poll() is None


def test_port_without_a_listener_has_nothing_to_stop() -> None:
    port = free_port()
    with pytest.raises(PortUnavailable) as caught:
        find_stoppable(port)
    assert str(caught.value) == f"Nothing listens on port {port}.\nThere is nothing to stop."


def test_process_does_not_stop_itself() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(PortNotPermitted, match="is in use by"),
    ):
        find_stoppable(server.getsockname()[1])


@needs_root
def test_program_of_another_user_is_not_stopped() -> None:
    with listening(as_nobody=True) as (process, port):
        with pytest.raises(PortNotPermitted) as caught:
            find_stoppable(port)
        assert caught.value.exit_code == 77
        assert caught.value.problem.startswith(f"Port {port} is in use by python")
        assert "of user nobody" in caught.value.problem
        assert caught.value.problem.endswith(", which you may not stop.")
        assert caught.value.remedy == (
            "Ask its owner to stop it, or use another port: webdemo port --free prints one."
        )
        assert process.poll() is None
