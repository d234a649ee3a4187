"""Which proxy headers are trusted, at the WSGI level. Real proxies are in test_proxies_in_front.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.errors import UsageError
from webdemo.middleware.proxy_headers import ForwardedHeaders, Networks
from webdemo.web.visitor import FORWARDED_BY, UNTRUSTED_PROXY, is_at_this_machine

LOCAL = ("127.0.0.1",)
CHAIN = ("127.0.0.1", "10.0.0.0/8", "2001:db8:ffff::/48")


def seen(proxies: tuple[str, ...], peer: str = "127.0.0.1", *, rfc7239: bool = False, **headers: str) -> Any:
    """(client, port, scheme, host) as the app sees them."""
    environ = {
        "REMOTE_ADDR": peer,
        "REMOTE_PORT": "50000",
        "REMOTE_HOST": "peer.example",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "inside:8000",
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    caught: dict[str, Any] = {}

    def app(environ: Any, start_response: Any) -> list[bytes]:
        caught.update(environ)
        return []

    ForwardedHeaders(app, proxies, rfc7239=rfc7239)(environ, lambda *_: lambda _: None)
    return tuple(caught.get(k) for k in ("REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "HTTP_HOST"))


def forwarded(text: str, proxies: tuple[str, ...] = LOCAL, peer: str = "127.0.0.1") -> Any:
    return seen(proxies, peer, rfc7239=True, forwarded=text)


NOTHING = ("127.0.0.1", "50000", "http", "inside:8000")


# -- X-Forwarded-* --------------------------------------------------------------------------------


def test_a_trusted_proxy_tells_client_scheme_and_host() -> None:
    assert seen(
        LOCAL, x_forwarded_for="192.0.2.7", x_forwarded_proto="HTTPS", x_forwarded_host="shop.example"
    ) == ("192.0.2.7", None, "https", "shop.example")


def test_a_trusted_proxy_that_says_nothing_changes_nothing() -> None:
    assert seen(LOCAL) == NOTHING


def test_an_untrusted_peer_is_not_believed_and_its_headers_are_removed() -> None:
    caught: dict[str, Any] = {}
    names = "FOR", "PROTO", "HOST", "PORT", "PREFIX", "SCHEME", "PROTOCOL", "SSL", "SERVER", "BY"
    environ: dict[str, Any] = {f"HTTP_X_FORWARDED_{name}": "192.0.2.7" for name in names}
    environ |= {"HTTP_FORWARDED": "for=192.0.2.7", "HTTP_X_REAL_IP": "192.0.2.7", "REMOTE_ADDR": "127.0.0.2"}
    middleware = ForwardedHeaders(lambda environ, _: caught.update(environ) or [], LOCAL)
    middleware(environ, lambda *_: lambda _: None)
    assert caught == {"REMOTE_ADDR": "127.0.0.2", FORWARDED_BY: UNTRUSTED_PROXY}


def test_what_a_client_wrote_to_the_left_is_not_believed() -> None:
    assert seen(LOCAL, x_forwarded_for="10.9.9.9, 192.0.2.7")[0] == "192.0.2.7"
    assert seen(CHAIN, x_forwarded_for="8.8.8.8, 10.9.9.9, 192.0.2.7")[0] == "192.0.2.7"
    assert seen(
        LOCAL,
        x_forwarded_for="192.0.2.7",
        x_forwarded_host="evil.example, shop.example",
        x_forwarded_proto="https,http",
    ) == ("192.0.2.7", None, "http", "shop.example")


def test_a_chain_of_two_trusted_proxies_is_read_to_the_client() -> None:
    assert seen(
        CHAIN,
        x_forwarded_for="6.6.6.6, 192.0.2.7, 10.1.2.3",
        x_forwarded_proto="https, http",
        x_forwarded_host="shop.example, inner.example",
    ) == ("192.0.2.7", None, "https", "shop.example")


def test_scheme_and_host_that_only_the_nearest_proxy_wrote_stand() -> None:
    assert seen(
        CHAIN,
        x_forwarded_for="192.0.2.7, 10.1.2.3",
        x_forwarded_proto="https",
        x_forwarded_host="shop.example",
    ) == ("192.0.2.7", None, "https", "shop.example")


def test_everybody_trusted_means_the_leftmost_is_believed() -> None:
    assert seen(("*",), "203.0.113.9", x_forwarded_for="192.0.2.7, 198.51.100.1")[0] == "192.0.2.7"


@pytest.mark.parametrize("peer", ["", "localhost", "<local>", "unix:"])
def test_a_peer_on_a_unix_socket_is_trusted_where_asked_for(peer: str) -> None:
    assert seen(("unix",), peer, x_forwarded_for="192.0.2.7")[0] == "192.0.2.7"
    assert seen(LOCAL, peer, x_forwarded_for="192.0.2.7")[0] == peer


def test_a_tcp_peer_is_not_trusted_as_a_unix_one() -> None:
    assert seen(("unix",), x_forwarded_for="192.0.2.7") == NOTHING
    assert seen(("unix",), "::1", x_forwarded_for="192.0.2.7")[0] == "::1"


def test_ipv6_networks_and_ipv4_in_ipv6_are_known() -> None:
    assert seen(CHAIN, "2001:db8:ffff::5", x_forwarded_for="192.0.2.7")[0] == "192.0.2.7"
    assert seen(LOCAL, "::ffff:127.0.0.1", x_forwarded_for="::ffff:192.0.2.7")[0] == "192.0.2.7"


@pytest.mark.parametrize(
    ("text", "client", "port"),
    [
        ("192.0.2.7:47011", "192.0.2.7", "47011"),
        ("[2001:DB8::7]:47011", "2001:db8::7", "47011"),
        ("2001:db8::7", "2001:db8::7", None),
        ("[2001:db8::7]", "2001:db8::7", None),
        ("192.0.2.7:99999", "192.0.2.7", None),
        ("192.0.2.7:_hidden", "192.0.2.7", None),
    ],
)
def test_ports_and_brackets_of_a_client_are_understood(text: str, client: str, port: str | None) -> None:
    assert seen(LOCAL, x_forwarded_for=text)[:2] == (client, port)


@pytest.mark.parametrize(
    "text",
    ["", " ", ",", "unknown", "_hidden", "localhost", "1.2.3", "1.2.3.4.5", "192.0.2.07", "fe80::1%eth0<b>",
     "::1]", "\x1b[31m", "é", "1" * 5000],
)  # fmt: skip
def test_a_client_that_is_no_address_changes_nothing(text: str) -> None:
    assert seen(LOCAL, x_forwarded_for=text) == NOTHING


@pytest.mark.parametrize(
    "host", ["a b", "a/b", "a@b", "a:b", "a:123456", "[::1", "a\r\nb", "a\x00", '"a"', "é", "<b>"]
)
def test_a_host_that_is_none_is_ignored(host: str) -> None:
    assert seen(LOCAL, x_forwarded_for="192.0.2.7", x_forwarded_host=host)[3] == "inside:8000"


@pytest.mark.parametrize("scheme", ["ftp", "javascript", "https://", "on", "https\n;"])
def test_a_scheme_that_is_none_is_ignored(scheme: str) -> None:
    assert seen(LOCAL, x_forwarded_for="192.0.2.7", x_forwarded_proto=scheme)[2] == "http"


def test_the_port_belongs_to_the_host_and_a_header_of_its_own_is_not_read() -> None:
    headers: Any = {
        "x_forwarded_proto": "https",
        "x_forwarded_host": "shop.example",
        "x_forwarded_port": "666",
    }
    assert seen(LOCAL, **headers)[3] == "shop.example"
    assert seen(LOCAL, **headers | {"x_forwarded_host": "[2001:db8::1]:8443"})[3] == "[2001:db8::1]:8443"


# -- clients on this machine ----------------------------------------------------------------------


@pytest.mark.attack(
    "What remote clients see",
    "through a trusted proxy, a client writes `X-Forwarded-For: 127.0.0.1` and `X-Forwarded-Host: localhost`",
    "every client behind a proxy counts as remote, and so does one at the address of a trusted proxy",
)
@pytest.mark.parametrize("proxies", [LOCAL, ("*",), ("10.0.0.1",)])
@pytest.mark.parametrize(
    "headers",
    [
        {"X_FORWARDED_FOR": "127.0.0.1"},
        {"X_FORWARDED_FOR": "127.0.0.1, 127.0.0.1", "X_FORWARDED_HOST": "localhost"},
        {"X_FORWARDED_FOR": "::1", "X_FORWARDED_PROTO": "http"},
        {"X_FORWARDED_PORT": "8000"},
        {"X_REAL_IP": "127.0.0.1"},
        {"FORWARDED": "for=127.0.0.1"},
    ],
)
def test_who_comes_through_a_proxy_is_not_at_this_machine(
    proxies: tuple[str, ...], headers: dict[str, str]
) -> None:
    found = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        found.append(is_at_this_machine(environ))
        return []

    middleware = ForwardedHeaders(app, proxies)
    here = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost", "SERVER_PROTOCOL": "HTTP/1.1"}
    environ = here | {"wsgi.url_scheme": "http"}
    middleware(environ | {f"HTTP_{name}": text for name, text in headers.items()}, lambda *_: lambda _: None)
    assert found == [False]
    middleware(dict(environ), lambda *_: lambda _: None)
    assert found == [False, proxies == ("10.0.0.1",)]


# -- Forwarded ------------------------------------------------------------------------------------


def test_rfc_7239s_own_examples_are_read() -> None:
    assert forwarded('for="_gazonk"') == NOTHING
    assert forwarded('For="[2001:db8:cafe::17]:4711"')[:2] == ("2001:db8:cafe::17", "4711")
    assert forwarded("for=192.0.2.60;proto=http;by=203.0.113.43")[:3] == ("192.0.2.60", None, "http")
    assert forwarded("for=192.0.2.43, for=198.51.100.17")[0] == "198.51.100.17"
    assert forwarded('for=192.0.2.43, for="[2001:db8:ffff::17]"', CHAIN)[0] == "192.0.2.43"


def test_host_and_scheme_of_forwarded_are_used() -> None:
    assert forwarded('for=192.0.2.7 ; Host="shop.example:8443";PROTO=https') == (
        "192.0.2.7", None, "https", "shop.example:8443",
    )  # fmt: skip


def test_only_the_family_that_the_proxy_writes_is_read() -> None:
    both: Any = {"forwarded": "for=192.0.2.1;proto=https", "x_forwarded_for": "192.0.2.2"}
    assert seen(LOCAL, **both)[:3] == ("192.0.2.2", None, "http")
    assert seen(LOCAL, rfc7239=True, **both)[:3] == ("192.0.2.1", None, "https")


@pytest.mark.parametrize(
    "written_by_the_client",
    [
        'for="',
        'for="x',
        "garbage",
        "for=10.0.0.1",
        'x="\\',
        ";;;",
        '"',
        "for==",
        'for="10.0.0.1"',
        ",",
        '"\\"',
    ],
)
@pytest.mark.parametrize("written_by_the_proxy", ["for=192.0.2.7", 'for="[2001:db8::7]:80"'])
def test_what_a_client_wrote_cannot_hide_what_its_proxy_added(
    written_by_the_client: str, written_by_the_proxy: str
) -> None:
    client = forwarded(f"{written_by_the_client}, {written_by_the_proxy}")[0]
    assert client in ("192.0.2.7", "2001:db8::7")


def test_a_quoted_comma_does_not_part_a_hop() -> None:
    assert forwarded('for=192.0.2.7;x="a, for=10.0.0.1";host="shop.example"') == (
        "192.0.2.7", None, "http", "shop.example",
    )  # fmt: skip


def test_broken_syntax_says_nothing() -> None:
    for text in ("", " ", "for", "for=a b", 'for="', "=1", "for=192.0.2.7;", "for=192.0.2.7 x", ","):
        expected = "192.0.2.7" if text == "for=192.0.2.7;" else "127.0.0.1"
        assert forwarded(text)[0] == expected, text


@given(st.text(max_size=60), st.sampled_from(["forwarded", "x_forwarded_for", "x_forwarded_host"]))
def test_no_text_of_a_client_raises_or_hides_the_address_that_its_proxy_added(text: str, header: str) -> None:
    proxy = {"forwarded": "for=192.0.2.7", "x_forwarded_for": "192.0.2.7", "x_forwarded_host": "shop.example"}
    got = seen(CHAIN, rfc7239=header == "forwarded", **{header: f"{text}, {proxy[header]}"})
    if header == "x_forwarded_host":
        assert got[3] == "shop.example"
    else:
        assert got[0] == "192.0.2.7"


# -- who is trusted -------------------------------------------------------------------------------


def test_a_trusted_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        Networks(["127.0.0.1", "proxy.example"], "A trusted proxy")
    assert str(caught.value) == (
        "A trusted proxy is an address or a network: "
        "'proxy.example' does not appear to be an IPv4 or IPv6 network.\n"
        "For example 127.0.0.1,10.0.0.0/8 (or unix for a Unix socket, * for all)."
    )


def test_an_address_within_a_network_names_the_network() -> None:
    assert Networks(["10.1.2.3/8"], "One").includes("10.200.0.1")
    assert not Networks(["10.1.2.3/8"], "One").includes("11.0.0.1")
    assert not Networks([], "One").includes("127.0.0.1")
    assert Networks(["*"], "One").includes("anything")
