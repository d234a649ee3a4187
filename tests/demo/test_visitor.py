"""Who may see and do what: only somebody at this machine, and only from the site's own pages."""

from __future__ import annotations

import pytest

from webdemo.web.visitor import is_at_this_machine, is_from_this_site

HERE = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8000"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.8.9.1", "[::1]:8000"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_loopback_client_with_a_loopback_host_is_at_this_machine(host: str, address: str) -> None:
    assert is_at_this_machine({"REMOTE_ADDR": address, "HTTP_HOST": host})


@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_HOST": "rebound.example:8000"},
        {"HTTP_HOST": "localhost.example"},
        {"HTTP_HOST": "localhost:8000@evil.example"},
        {"HTTP_HOST": "[::ffff:127.0.0.1]extra"},
        {"HTTP_HOST": "0.0.0.0:8000"},
        {"HTTP_HOST": "10.0.0.1:8000"},
        {"HTTP_HOST": ""},
        {"REMOTE_ADDR": "10.0.0.5"},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": "localhost"},
        {"HTTP_X_FORWARDED_FOR": "203.0.113.9"},
        {"HTTP_X_REAL_IP": "203.0.113.9"},
        {"HTTP_FORWARDED": "for=203.0.113.9"},
        {"HTTP_VIA": "1.1 proxy"},
    ],
)
def test_anybody_else_is_not(changes: dict[str, str]) -> None:
    assert not is_at_this_machine(HERE | changes)


def test_client_without_a_host_is_not_at_this_machine() -> None:
    assert not is_at_this_machine({"REMOTE_ADDR": "127.0.0.1"})


@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl
        {"HTTP_ORIGIN": "http://localhost:8000"},
        {"HTTP_SEC_FETCH_SITE": "same-origin"},
        {"HTTP_ORIGIN": "http://localhost:8000", "HTTP_SEC_FETCH_SITE": "same-origin"},
    ],
)
def test_own_page_or_a_program_may_act(headers: dict[str, str]) -> None:
    assert is_from_this_site(HERE | headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_ORIGIN": "http://localhost:8001"},
        {"HTTP_ORIGIN": "http://127.0.0.1:8000"},
        {"HTTP_ORIGIN": "http://localhost:8000.evil.example"},
        {"HTTP_ORIGIN": "http://evil.example://localhost:8000"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": ""},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
        {"HTTP_SEC_FETCH_SITE": "none"},
    ],
)
def test_page_of_another_origin_may_not_act(headers: dict[str, str]) -> None:
    assert not is_from_this_site(HERE | headers)
