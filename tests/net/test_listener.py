"""Sockets from binds: which ones, with which options, all or none."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.free_ports import free_port
from tests.net.programs import needs_root, program, run_as_nobody
from webdemo.errors import (
    PortInUse,
    PortUnavailable,
    UsageError,
)
from webdemo.net.addresses import machine_addresses
from webdemo.net.bind import Bind
from webdemo.net.listener import hold_next_free, listen, listen_all, listen_default
from webdemo.net.ports import lowest_unprivileged_port


@contextmanager
def opened(bind: Bind | str) -> Iterator[list[socket.socket]]:
    sockets = listen(Bind.parse(bind) if isinstance(bind, str) else bind)
    with ExitStack() as stack:
        for sock in sockets:
            stack.enter_context(closing(sock))
        yield sockets


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=60).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_no_answer_waits_for_a_delayed_acknowledgement(host: str) -> None:
    with opened(f"{host}:0") as sockets:
        client = socket.create_connection(sockets[0].getsockname()[:2], timeout=60)
        with closing(client), closing(sockets[0].accept()[0]) as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("host", ["", "localhost"])
def test_loopback_means_both_families_on_one_port(host: str) -> None:
    with opened(f"{host}:0") as sockets:
        assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1", "::1"]
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(ports) == 1
        port = ports.pop()
        assert port != 0
        assert answers("127.0.0.1", port)
        assert answers("::1", port)


def test_star_means_all_addresses_of_both_families() -> None:
    with opened("*:0") as sockets:
        assert [sock.getsockname()[0] for sock in sockets] == ["0.0.0.0", "::"]
        assert len({sock.getsockname()[1] for sock in sockets}) == 1


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("0.0.0.0", "0.0.0.0"), ("[::]", "::")],
)
def test_address_means_itself_alone(host: str, address: str) -> None:
    with opened(f"{host}:0") as sockets:
        assert [sock.getsockname()[0] for sock in sockets] == [address]


def test_sockets_are_set_for_restarts_and_for_one_owner() -> None:
    with opened("*:0") as sockets:
        for sock in sockets:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            assert not sock.get_inheritable()
            assert sock.gettimeout() is None
        assert sockets[1].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_restart_takes_its_port_at_once_although_connections_linger() -> None:
    with opened("127.0.0.1:0") as (sock,):
        port = sock.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port), timeout=60)
        served, _ = sock.accept()
        served.close()  # the side that closes first keeps TIME_WAIT
        client.close()
    with opened(f"127.0.0.1:{port}"):
        assert answers("127.0.0.1", port)


def test_any_port_that_is_taken_on_one_family_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened("[::1]:0") as (taken,):
        port = taken.getsockname()[1]
        real_bind = socket.socket.bind
        tries: list[tuple[str, int]] = []

        class Steered(socket.socket):
            def bind(self, address: tuple[str, int], /) -> None:  # type: ignore[override]  # narrower on purpose
                if self.family == socket.AF_INET and address[1] == 0 and not tries:
                    address = (address[0], port)  # the kernel might have chosen this one
                tries.append(address)
                real_bind(self, address)

        monkeypatch.setattr(socket, "socket", Steered)
        with opened(":0") as sockets:
            assert {sock.getsockname()[1] for sock in sockets} != {port}
            assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert tries[:2] == [("127.0.0.1", port), ("::1", port)]


@pytest.mark.process
def test_machine_without_ipv6_has_its_loopback_on_ipv4_alone() -> None:
    code = """
import socket
real = socket.socket.__init__
def refuse(self, family=-1, *rest, **more):
    if family == socket.AF_INET6:
        raise OSError(97, "Address family not supported by protocol")
    real(self, family, *rest, **more)
socket.socket.__init__ = refuse
from webdemo.errors import WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.listener import listen
for text in (":0", "*:0"):
    for sock in listen(Bind.parse(text)):
        print(sock.getsockname()[0], end=" ")
        sock.close()
try:
    listen(Bind.parse("[::1]:0"))
except WebdemoError as exc:
    print(exc.problem)
"""
    with program(code) as (_, line):
        assert line == "127.0.0.1 0.0.0.0 ::1 is not an address of this machine."


def test_taken_port_is_refused_with_a_free_one_and_nothing_stays_open() -> None:
    port = free_port()
    with opened(f"[::1]:{port}"):
        with pytest.raises(PortInUse) as caught:
            listen(Bind(port=port))
        assert caught.value.port == port
        assert caught.value.exit_code == 69
        free = caught.value.free
        assert free is not None
        with opened(f":{free}"):
            pass
        with opened(f"127.0.0.1:{port}"):
            pass  # the IPv4 socket was opened, and closed again


def test_all_or_none_is_opened(tmp_path: Path) -> None:
    with opened("127.0.0.1:0") as (taken,):
        path = tmp_path / "site.sock"
        other = free_port()
        with pytest.raises(PortInUse):
            listen_all([Bind(path=str(path)), Bind(port=other), Bind(port=taken.getsockname()[1])])
        assert not path.exists()
        with opened(f":{other}"):
            pass


def test_all_are_given_in_their_order() -> None:
    binds = [Bind(port=0), Bind(host="127.0.0.1", port=0), Bind(port=0)]
    opened_binds = listen_all(binds)
    try:
        assert [bind for bind, _ in opened_binds] == binds
        assert [len(sockets) for _, sockets in opened_binds] == [2, 1, 2]
    finally:
        for _, sockets in opened_binds:
            for sock in sockets:
                sock.close()


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ("*:{p}", "127.0.0.1:{p}", "port"),
        ("127.0.0.1:{p}", "*:{p}", "port"),
        (":{p}", "werkzeug://localhost:{p}", "port"),
        ("[::1]:{p}", ":{p}", "port"),
        ("[::]:{p}", "[::1]:{p}", "port"),
        ("unix:///tmp/{p}.sock", "gunicorn+unix:///tmp/../tmp/{p}.sock", "socket"),
        ("fd://3", "waitress+fd://3", "socket"),
    ],
)
def test_binds_that_overlap_are_refused_before_any_is_opened(one: str, other: str, what: str) -> None:
    one, other = one.format(p=8765), other.format(p=8765)
    with pytest.raises(UsageError) as caught:
        listen_all([Bind.parse(one), Bind.parse(other)])
    assert caught.value.problem == f"{one} and {other} ask for the same {what}."
    remedy = "give it another port." if what == "port" else "change it."
    assert caught.value.remedy == f"Leave one of them out, or {remedy}"


@pytest.mark.parametrize(("one", "other"), [("127.0.0.1", "[::1]"), ("0.0.0.0", "[::]"), ("*", "*")])
def test_binds_on_other_families_or_any_ports_do_not_overlap(one: str, other: str) -> None:
    port = 0 if one == "*" else free_port()
    for _, sockets in listen_all([Bind.parse(f"{one}:{port}"), Bind.parse(f"{other}:{port}")]):
        for sock in sockets:
            sock.close()


def test_default_port_stays_when_it_is_free() -> None:
    port = free_port()
    bind, sockets, taken = listen_default(Bind(port=port))
    for sock in sockets:
        sock.close()
    assert (bind.port, taken) == (port, None)


def test_default_port_moves_to_the_next_free_one_and_says_who_has_it() -> None:
    with opened("127.0.0.1:0") as (holder,):
        port = holder.getsockname()[1]
        bind, sockets, taken = listen_default(Bind(server="waitress", port=port))
        for sock in sockets:
            sock.close()
        assert bind.port is not None
        assert bind.port > port
        assert bind == Bind(server="waitress", port=bind.port)
        assert taken is not None
        assert taken.free == bind.port
        assert taken.problem == f"Port {port} is already in use by a socket of this process itself."


def test_next_free_port_is_held() -> None:
    with opened(":0") as (first, _):
        port = first.getsockname()[1]
        bind, sockets = hold_next_free(Bind(port=port))
        try:
            with pytest.raises(PortInUse):
                listen(bind)
        finally:
            for sock in sockets:
                sock.close()


def test_above_the_last_port_any_free_one_is_the_next() -> None:
    bind, sockets = hold_next_free(Bind(port=65535))
    for sock in sockets:
        sock.close()
    assert bind.port == sockets_port(bind)


def sockets_port(bind: Bind) -> int:
    with opened(bind) as sockets:
        return int(sockets[0].getsockname()[1])


def test_address_of_another_machine_is_refused_with_those_of_this_one() -> None:
    mine = ", ".join(["127.0.0.1", *machine_addresses()])
    with pytest.raises(PortUnavailable) as caught:
        listen(Bind.parse("waitress://192.0.2.254:8000"))
    assert caught.value.problem == "192.0.2.254 is not an address of this machine."
    assert caught.value.remedy == (
        f"Use one of its own ({mine}), such as waitress://127.0.0.1:8000, or * for all of them."
    )


def test_name_without_an_address_is_refused() -> None:
    with pytest.raises(PortUnavailable) as caught:
        listen(Bind.parse("no-such-name.invalid:8000"))
    assert caught.value.problem == "The host name no-such-name.invalid cannot be resolved."
    assert caught.value.remedy == "Check its spelling, or use an address of this machine: 127.0.0.1:8000"


@pytest.mark.process
@needs_root
@pytest.mark.skipif(lowest_unprivileged_port() <= 80, reason="here every user may listen on port 80")
def test_privileged_port_is_refused_with_every_way_out() -> None:
    printed = run_as_nobody(
        """
from webdemo.errors import WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.listener import listen
try:
    listen(Bind(port=80))
except WebdemoError as exc:
    print(exc.exit_code, exc, sep="\\n")
"""
    )
    first = lowest_unprivileged_port()
    assert printed.splitlines() == [
        "77",
        f"Port 80 needs privileges: this user may listen on {first} and above.",
        "Use a higher port (--port 8080), or allow it: systemd socket activation, "
        "setcap cap_net_bind_service=+ep on the Python binary, "
        "or in a container sysctl net.ipv4.ip_unprivileged_port_start=80.",
    ]


@pytest.mark.process
def test_too_many_open_files_are_named_with_the_limit() -> None:
    code = """
import resource
from webdemo.errors import WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.listener import listen_all
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    listen_all(Bind(host="127.0.0.1", port=0) for _ in range(100))
except WebdemoError as exc:
    print(exc.exit_code, str(exc).replace("\\n", " "))
"""
    with program(code) as (_, line):
        assert line == (
            "69 The limit of 64 open files is reached: no socket can be opened for 127.0.0.1:0. "
            "Raise it (ulimit -n 4096), or serve fewer binds."
        )


def test_inherited_listening_socket_is_taken_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        given.setblocking(False)
        port = given.getsockname()[1]
        fd = os.dup(given.fileno())
        os.set_inheritable(fd, True)
        with opened(f"fd://{fd}") as (sock,):
            assert sock.fileno() == fd
            assert not sock.get_inheritable()
            assert sock.gettimeout() is None
            assert sock.getsockname()[1] == port


def test_descriptor_that_is_not_open_is_refused() -> None:
    with pytest.raises(PortUnavailable) as caught:
        listen(Bind(fd=99999))
    assert caught.value.problem == "Descriptor 99999 is not open."
    assert caught.value.remedy == "Let the parent process open it and pass it on."


@pytest.mark.parametrize("kind", ["file", "not listening", "datagram"])
def test_descriptor_that_does_not_listen_is_refused_and_left_open(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        if kind == "file":
            fd = stack.enter_context((tmp_path / "x").open("w")).fileno()
        else:
            type_ = socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM
            fd = stack.enter_context(socket.socket(type=type_)).fileno()
        with pytest.raises(PortUnavailable) as caught:
            listen(Bind(fd=fd))
        os.fstat(fd)
    assert caught.value.problem == f"Descriptor {fd} is not a listening stream socket."
    assert caught.value.remedy == "Let the parent process bind it and call listen() before it passes it on."


@pytest.mark.process
def test_psutil_is_imported_only_when_something_failed() -> None:
    code = """
import json, sys
from webdemo.net.bind import Bind
from webdemo.net.listener import listen_default
_, sockets, _ = listen_default(Bind(port=0))
for sock in sockets:
    sock.close()
print(json.dumps(sorted({"psutil", "webdemo.net.holders", "webdemo.net.registry"} & set(sys.modules))))
"""
    with program(code) as (_, line):
        assert json.loads(line) == []
