"""Who may see and do what: only clients on this machine, and only from the site's own pages."""

from __future__ import annotations

import pytest

from webdemo.web.visitor import (
    FORWARDED_BY,
    HIDING_PROXY,
    TRUSTED_PROXY,
    UNTRUSTED_PROXY,
    is_at_this_machine,
    is_from_this_site,
)

HERE = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8000", "SERVER_PROTOCOL": "HTTP/1.1"}
CHROMIUM = {
    "HTTP_" + name.upper().replace("-", "_"): text
    for name, text in {
        "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Encoding": "gzip, deflate, br, zstd",
        "Accept-Language": "en-GB,en;q=0.9",
        "Cache-Control": "max-age=0",
        "Connection": "keep-alive",
        "Cookie": "a=1",
        "DNT": "1",
        "Origin": "http://localhost:8000",
        "Priority": "u=0, i",
        "Referer": "http://localhost:8000/",
        "Sec-CH-UA": '"Chromium";v="143"',
        "Sec-CH-UA-Mobile": "?0",
        "Sec-CH-UA-Platform": '"Linux"',
        "Sec-Fetch-Dest": "document",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-User": "?1",
        "Sec-GPC": "1",
        "Upgrade-Insecure-Requests": "1",
        "User-Agent": "Mozilla/5.0",
        "X-Requested-With": "XMLHttpRequest",
        "X-Webdemo-Key": "k",
        "X-Twice": "1",
    }.items()
}


ADDED_BY_PROXIES = """
    Forwarded Via X-Real-IP X-Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto
    X-Forwarded-Port X-Forwarded-Server X-Forwarded-By X-Forwarded-Prefix X-Original-Forwarded-For
    Forwarded-For Z-Forwarded-For X-Forward-For CF-Connecting-IP CF-Connecting-IPv6 CF-Ray
    CF-Visitor CDN-Loop True-Client-IP X-Client-IP Client-IP X-Cluster-Client-IP X-Remote-IP
    Fastly-Client-IP Fastly-FF Fly-Client-IP X-Azure-ClientIP X-Azure-SocketIP X-Remote-Addr
    Remote-Addr Proxy-Client-IP WL-Proxy-Client-IP X-ProxyUser-Ip X-Originating-IP X-Real-Port
    X-Appengine-User-IP CloudFront-Viewer-Address X-Amz-Cf-Id X-Amzn-Trace-Id X-Envoy-Attempt-Count
    X-Envoy-External-Address X-Original-Host X-Original-URL X-Host X-Scheme X-URL-Scheme
    Front-End-Https Proxy-Connection X-Nginx-Proxy X-Varnish Surrogate-Capability X-ARR-SSL
    X-BlueCoat-Via X-Request-Start Tailscale-User-Login Max-Forwards X-Proxied-By
    Proxy-Authorization
"""


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.8.9.1", "[::1]:8000"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.8.9.1", "::ffff:127.0.0.1"])
def test_loopback_client_with_a_loopback_host_is_at_this_machine(host: str, address: str) -> None:
    assert is_at_this_machine(HERE | {"REMOTE_ADDR": address, "HTTP_HOST": host})


@pytest.mark.parametrize("protocol", ["HTTP/1.1", "HTTP/2"])
def test_what_browsers_send_is_no_sign_of_a_proxy(protocol: str) -> None:
    assert is_at_this_machine(HERE | CHROMIUM | {"SERVER_PROTOCOL": protocol, "REQUEST_URI": "/?a=http://b"})
    assert is_at_this_machine(HERE | {"HTTP_PROXY": "http://proxy.example:3128"})  # a variable of the process


@pytest.mark.attack(
    "What remote clients see",
    "a proxy on this machine forwards remote clients: with any header that proxies add, or as HTTP/1.0 to a "
    "loopback `Host`, as nginx does by default",
    "they count as remote",
)
@pytest.mark.parametrize("name", ADDED_BY_PROXIES.split())
def test_header_that_proxies_add_makes_a_client_remote(name: str) -> None:
    assert not is_at_this_machine(HERE | {"HTTP_" + name.upper().replace("-", "_"): ""})


@pytest.mark.attack(
    "What remote clients see",
    "a site's own name resolves to 127.0.0.1 (DNS rebinding), or `Host` is written unusually",
    "the client counts as remote: only `localhost`, 127.0.0.0/8 and `[::1]` are this machine",
)
@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_HOST": "rebound.example:8000"},
        {"HTTP_HOST": "127.0.0.1.evil.example"},
        {"HTTP_HOST": "localhost.evil"},
        {"HTTP_HOST": "localhost.:8000"},
        {"HTTP_HOST": "127.0.0.1."},
        {"HTTP_HOST": "[::ffff:127.0.0.1]"},
        {"HTTP_HOST": "[::ffff:7f00:1]:8000"},
        {"HTTP_HOST": "[::1%25lo]"},
        {"HTTP_HOST": "[::1"},
        {"HTTP_HOST": "127.1"},
        {"HTTP_HOST": "2130706433"},
        {"HTTP_HOST": "0x7f000001"},
        {"HTTP_HOST": "127.0.0.01"},
        {"HTTP_HOST": "localhost:8000,localhost:8000"},
        {"HTTP_HOST": "localhost, evil.example"},
        {"HTTP_HOST": "localhost:99999"},
        {"HTTP_HOST": "localhost:8000:8000"},
        {"HTTP_HOST": "localhost:"},
        {"HTTP_HOST": " localhost"},
        {"HTTP_HOST": "localhost\n"},
        {"HTTP_HOST": "me@localhost"},
        {"HTTP_HOST": "http://localhost"},
        {"HTTP_HOST": "[::]"},
        {"SERVER_PROTOCOL": "HTTP/1.0"},
        {"SERVER_PROTOCOL": "HTTP/0.9"},
        {"SERVER_PROTOCOL": ""},
        {"REQUEST_URI": "http://www.example.com/"},
        {"RAW_URI": "http://localhost/"},
        {"REQUEST_URI": "*"},
        {"REMOTE_ADDR": "::ffff:10.0.0.5"},
        {"REMOTE_ADDR": "fe80::1%eth0"},
        {"REMOTE_ADDR": "127.0.0.1, 203.0.113.9"},
        {"REMOTE_ADDR": "unix:"},
        {FORWARDED_BY: TRUSTED_PROXY},
        {FORWARDED_BY: HIDING_PROXY},
        {FORWARDED_BY: UNTRUSTED_PROXY},
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
def test_any_other_client_is_remote(changes: dict[str, str]) -> None:
    assert not is_at_this_machine(HERE | changes)


def test_client_without_a_host_is_not_at_this_machine() -> None:
    assert not is_at_this_machine({"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"})


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
