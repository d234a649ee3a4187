"""A port in use: who holds it and what to do, word for word, with real holders."""

from __future__ import annotations

import errno
import socket

import pytest

from tests.net.programs import listening, needs_root, program, run_as_nobody
from webdemo.errors import PortInUse, PortNotPermitted, PortUnavailable
from webdemo.net import doctor
from webdemo.net.addresses import Address
from webdemo.net.bind import Bind
from webdemo.net.listener import listen

LOOPBACK = Address(socket.AF_INET, "127.0.0.1", 8000)


def refusal(bind: Bind | str) -> PortInUse:
    with pytest.raises(PortInUse) as caught:
        listen(Bind.parse(bind) if isinstance(bind, str) else bind)
    return caught.value


@pytest.mark.process
def test_explicit_port_in_use_names_the_holder_and_a_free_port() -> None:
    with listening() as (process, port):
        error = refusal(Bind(port=port))
        assert error.pid == process.pid
        assert error.problem.startswith(f"Port {port} is already in use by python")
        assert f" (pid {process.pid}, yours, started " in error.problem
        assert error.problem.endswith(" ago).")
        assert error.remedy == (
            f"Stop it (webdemo port {port} --stop), or use {error.free}, which is free: --port {error.free}"
        )


@pytest.mark.process
def test_holder_that_is_a_webdemo_is_called_one() -> None:
    with listening(extra=["-m", "webdemo"]) as (process, port):
        problem = refusal(Bind(port=port)).problem
        assert problem.startswith(f"Port {port} is already in use by a webdemo that you started ")
        assert problem.endswith(f" ago (pid {process.pid}).")


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("waitress://127.0.0.1:{p}", "-b waitress://127.0.0.1:{free}"),
        ("*:{p}", '-b "*:{free}"'),
        (":{p}?threads=2", '-b ":{free}?threads=2"'),
    ],
)
def test_free_port_is_offered_in_the_form_that_was_used(text: str, option: str) -> None:
    with listening() as (_, port):
        error = refusal(text.format(p=port))
        assert error.remedy.endswith("which is free: " + option.format(free=error.free))


@pytest.mark.process
@pytest.mark.parametrize(
    ("family", "host"), [("AF_INET", "0.0.0.0"), ("AF_INET6", "::1"), ("AF_INET6", "::")]
)
def test_holder_on_another_address_of_the_port_is_found(family: str, host: str) -> None:
    with listening(family, host) as (process, port):
        assert refusal(Bind(port=port)).pid == process.pid


@pytest.mark.process
def test_holder_that_takes_ipv4_through_its_ipv6_socket_is_found() -> None:
    with listening("AF_INET6", "::", dual=True) as (process, port):
        assert refusal(Bind(host="127.0.0.1", port=port)).pid == process.pid


@pytest.mark.process
def test_wildcard_is_refused_by_the_holder_of_one_address() -> None:
    with listening() as (process, port):
        assert refusal(f"*:{port}").pid == process.pid


@pytest.mark.process
def test_right_holder_is_named_when_each_family_has_its_own() -> None:
    with listening() as (four, port), listening("AF_INET6", "::1", port) as (six, _):
        assert refusal(f"127.0.0.1:{port}").pid == four.pid
        assert refusal(f"[::1]:{port}").pid == six.pid


def test_socket_of_the_asking_process_itself_is_called_that() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        error = refusal(Bind(port=port))
        assert error.problem == f"Port {port} is already in use by a socket of this process itself."
        assert (error.pid, error.remedy) == (None, f"Use {error.free}, which is free: --port {error.free}")


@pytest.mark.process
def test_connection_that_goes_out_from_the_port_is_named() -> None:
    code = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
print(client.getsockname()[1], flush=True)
sys.stdin.read()
"""
    with program(code) as (process, line):
        error = refusal(f"127.0.0.1:{line}")
        assert error.pid is None
        assert error.problem.startswith(f"Port {line} is already in use by a connection of python")
        assert f" (pid {process.pid}, yours, started " in error.problem
        assert error.remedy == f"Use {error.free}, which is free: -b 127.0.0.1:{error.free}"


def test_port_that_is_bound_but_not_listened_on_has_a_holder_that_cannot_be_seen() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        error = refusal(f"127.0.0.1:{port}")
        assert error.pid is None
        assert error.problem == (
            f"Port {port} is already in use by a socket that does not listen, "
            "or that is not visible from here."
        )
        assert error.remedy == f"Use {error.free}, which is free: -b 127.0.0.1:{error.free}"


@pytest.mark.process
@needs_root
def test_holder_of_another_user_is_named_but_not_offered_for_a_stop() -> None:
    with listening(as_nobody=True) as (process, port):
        error = refusal(Bind(port=port))
        assert f"(pid {process.pid}, of user nobody, started " in error.problem
        assert error.remedy == f"Use {error.free}, which is free: --port {error.free}"
        assert error.pid is None


@pytest.mark.process
@needs_root
def test_holder_that_is_hidden_is_said_to_be() -> None:
    with listening() as (_, port):
        printed = run_as_nobody(
            f"""
from webdemo.errors import WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.listener import listen
try:
    listen(Bind(port={port}))
except WebdemoError as exc:
    print(exc.problem)
"""
        )
        assert printed == (
            f"Port {port} is already in use by a program of user root "
            "(only its owner or root can see which).\n"
        )


def test_without_a_holder_and_a_free_port_there_is_a_remedy_still() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        address = Address(socket.AF_INET, "127.0.0.1", port)
        error = doctor.explain_port_in_use(Bind(port=port), address, free=None)
    assert error.remedy == "Choose another port"


def test_high_port_that_is_forbidden_points_at_the_security_policy() -> None:
    error = doctor.explain(Bind(port=8000), LOOPBACK, PermissionError(errno.EACCES, "Permission denied"))
    assert isinstance(error, PortNotPermitted)
    assert str(error) == (
        "The system does not let this user listen on 127.0.0.1:8000.\n"
        "A sandbox or a security policy forbids it: allow it there, or choose another port."
    )


@pytest.mark.parametrize(
    ("bind", "option", "advice"),
    [
        (Bind(host="127.0.0.1", port=1), "--admin", "--admin 8001"),
        (Bind(server="waitress", port=1), "--dashboard", "--dashboard 8001"),
        (Bind(server="waitress", port=1), "", "-b waitress://:8001"),
    ],
)
def test_a_low_port_is_advised_against_with_the_option_that_asked_for_it(
    bind: Bind, option: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webdemo.net.ports.lowest_unprivileged_port", lambda: 1024)
    refused = PermissionError(errno.EACCES, "Permission denied")
    error = doctor.explain(bind, LOOPBACK._replace(port=1), refused, option)
    assert error.remedy.startswith(f"Use a higher port ({advice}), or")


def test_any_other_failure_carries_the_systems_words() -> None:
    error = doctor.explain(Bind(port=8000), LOOPBACK, OSError(errno.ENOBUFS, "No buffer space available"))
    assert isinstance(error, PortUnavailable)
    assert str(error) == (
        "The system refuses to listen on 127.0.0.1:8000: No buffer space available.\n"
        "Choose another address or port, such as 127.0.0.1:8000"
    )
