"""The policy for URLs that others choose: which addresses may be contacted, without a way around it."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.client.peers import OK, needs_ipv6, redirecting, speaking
from tests.trace.conftest import Names
from webdemo.errors import UrlRefused
from webdemo.trace import Trace, loopback_only, to_json, trace
from webdemo.trace.facts import NameFacts
from webdemo.trace.lookup import IPAddress


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every network address to which this process connects."""
    found: list[object] = []

    class Watched(socket.socket):
        def connect_ex(self, address: Any) -> int:
            self.note(address)
            return super().connect_ex(address)

        def connect(self, address: Any) -> None:
            self.note(address)
            super().connect(address)

        def note(self, address: Any) -> None:
            if self.family != socket.AF_UNIX:  # the control sockets of this user's own webdemos
                found.append(address[:2])

    monkeypatch.setattr(socket, "socket", Watched)
    return found


def refused(found: Trace) -> None:
    assert found.failure is not None
    assert (found.failure.kind, found.exit_code) == ("not allowed", 77)


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "8.8.8.8",
        "[::]",
        "[fe80::1]",
        "[fd00::1]",
        "[2001:db8::1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:0.0.0.0]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
    ],
)
def test_loopback_only_contacts_nothing_else(host: str, dialled: list[object]) -> None:
    found = trace(f"http://{host}/", allow=loopback_only, timeout_seconds=5)
    assert [step.name for step in found.hops[0].steps] == ["url", "name"]
    refused(found)
    assert dialled == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "[::ffff:127.0.0.1]"])
def test_loopback_only_contacts_loopback(host: str) -> None:
    with speaking(OK, host="127.0.0.2" if host == "127.0.0.2" else "127.0.0.1") as peer:
        assert trace(f"http://{host}:{peer.port}/", allow=loopback_only).exit_code == 0


@needs_ipv6
def test_loopback_only_contacts_ipv6_loopback() -> None:
    with speaking(OK, host="::1") as peer:
        assert trace(f"http://[::1]:{peer.port}/", allow=loopback_only).exit_code == 0


def test_mapped_address_is_judged_as_the_ipv4_address_it_is() -> None:
    asked: list[tuple[IPAddress, int]] = []

    def deny(address: IPAddress, port: int) -> bool:
        asked.append((address, port))
        return False

    refused(trace("http://[::ffff:10.1.2.3]:81/", allow=deny))
    assert asked == [(ipaddress.IPv4Address("10.1.2.3"), 81)]


def test_name_that_leads_to_a_private_address_is_refused(names: Names, dialled: list[object]) -> None:
    names(inside_test=["10.0.0.1"])
    found = trace("http://inside.test/", allow=loopback_only)
    refused(found)
    assert dialled == []
    assert "10.0.0.1" not in to_json(found)  # internal addresses are not revealed


def test_name_that_leads_to_both_uses_only_what_is_allowed(names: Names) -> None:
    with speaking(OK) as peer:
        names(both_test=["10.0.0.1", "127.0.0.1", "192.168.0.1"])
        found = trace(f"http://both.test:{peer.port}/", allow=loopback_only)
    assert found.exit_code == 0
    step = found.hops[0].find("name")
    assert step is not None
    assert step.facts == NameFacts("both.test", False, ("127.0.0.1",), 2)


def test_name_that_changes_its_mind_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["127.0.0.1", "10.0.0.1", "10.0.0.1"])
    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *rest: int) -> object:
        return real(next(answers) if host == "rebind.test" else host, port, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with speaking(OK) as peer:
        found = trace(f"http://rebind.test:{peer.port}/", allow=loopback_only)
    assert found.exit_code == 0
    assert next(answers) == "10.0.0.1"


@pytest.mark.parametrize(
    "target", ["http://10.0.0.1/", "http://169.254.169.254/latest", "http://[::]/", "//0.0.0.0/"]
)
def test_redirect_into_a_private_range_is_refused(target: str, dialled: list[object]) -> None:
    with speaking(redirecting(lambda _: target)) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/", allow=loopback_only)
        assert set(dialled) == {("127.0.0.1", peer.port)}
    assert len(found.hops) == 2
    refused(found)


def test_redirect_to_a_name_that_leads_inside_is_refused(names: Names, dialled: list[object]) -> None:
    names(inside_test=["192.168.0.1"])
    with speaking(redirecting(lambda _: "http://inside.test/")) as peer:
        refused(trace(f"http://127.0.0.1:{peer.port}/", allow=loopback_only))
        assert set(dialled) == {("127.0.0.1", peer.port)}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1@10.0.0.1/",
        "http://127.0.0.1:80@10.0.0.1/",
        "http://10.0.0.1#@127.0.0.1/",
        "http://127.0.0.1\\@10.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://127.1/",
        "http://0/",
        "http://①②⑦.0.0.1/",
        "http://127.0.0.1%2f@10.0.0.1/",
        "http://127。0。0。1/",
    ],
)
def test_tricks_with_users_and_numbers_lead_nowhere(url: str, dialled: list[object]) -> None:
    with suppress(UrlRefused):
        refused(trace(url, allow=loopback_only))
    assert dialled == []


def test_port_is_a_matter_of_the_policy_too() -> None:
    with speaking(OK) as open_to_all, speaking(OK) as other:

        def only_one(address: IPAddress, port: int) -> bool:
            return address.is_loopback and port == open_to_all.port

        assert trace(f"http://127.0.0.1:{open_to_all.port}/", allow=only_one).exit_code == 0
        refused(trace(f"http://127.0.0.1:{other.port}/", allow=only_one))
        assert other.connections == 0


def test_mail_and_files_are_under_the_policy() -> None:
    refused(trace("smtp://10.0.0.1", allow=loopback_only))
    refused(trace("ftp://10.0.0.1", allow=loopback_only))


def test_unix_sockets_are_out_of_reach_under_a_policy(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "inner.sock"))
        listener.listen()
        listener.setblocking(False)
        refused(trace(f"unix:{tmp_path}/inner.sock", allow=loopback_only))
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_looking_for_another_protocol_goes_to_the_judged_address_only(
    names: Names, dialled: list[object]
) -> None:
    names(plain_test=["10.0.0.1", "127.0.0.1"])
    with speaking(OK) as peer:
        found = trace(f"https://plain.test:{peer.port}/", allow=loopback_only, timeout_seconds=3)
        assert set(dialled) == {("127.0.0.1", peer.port)}
    assert found.exit_code == 1
