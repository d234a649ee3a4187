"""Header fields reach the app in the same form on every server, however they were written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from tests.servers.kinds import KINDS, bind
from webdemo.servers import registry
from webdemo.servers._fields import SINGLE, Malformed, unify

APP = """
import json

def app(environ, start_response):
    told = {k: v for k, v in environ.items() if k.startswith(("HTTP_", "CONTENT_", "wsgi.url_", "REMOTE_A"))}
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""
pytestmark = pytest.mark.process  # one run for all tests of this module

INSTALLED = [kind for kind, (server, _) in KINDS.items() if registry.find(server).version() is not None]

Fields = list[tuple[str, str]]


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Every kind of server in one run that trusts a proxy on this machine; the URL of each."""
    folder: Path = tmp_path_factory.mktemp("fields")
    binds = [part for kind in INSTALLED for part in ("-b", bind(kind))]
    run = runs.start(folder, "--no-access-log", "--trusted-proxies", "127.0.0.1", *binds, app=APP)
    try:
        yield dict(zip(INSTALLED, run.urls, strict=True))
    finally:
        run.clean_up()


@pytest.fixture(params=INSTALLED)
def url(request: pytest.FixtureRequest, urls: dict[str, str]) -> str:
    return urls[request.param]


def environ(url: str, fields: Fields) -> dict[str, str]:
    answer = raw_http.get(url, headers=fields)
    assert answer.status == 200, answer.body
    told: dict[str, str] = answer.json
    return told


@pytest.mark.attack(
    "Forwarding headers",
    "a client writes `X_Forwarded_Host`, which a proxy that removes `X-Forwarded-Host` passes on",
    "the field is dropped on every server",
)
@pytest.mark.parametrize(
    "name",
    [
        "X_Forwarded_Host",
        "X-Forwarded_Host",
        "X_Forwarded_Proto",
        "x_forwarded_for",
        "_Host",
        "Ho_st",
        "Content_Type",
    ],
)
def test_field_with_an_underscore_is_dropped(url: str, name: str) -> None:
    expected = environ(url, [("X-Forwarded-For", "203.0.113.9")])
    assert environ(url, [(name, "198.51.100.1"), ("X-Forwarded-For", "203.0.113.9")]) == expected
    assert expected["REMOTE_ADDR"] == "203.0.113.9"


@pytest.mark.attack(
    "Forwarding headers",
    "a client spells a forwarding header with dots, or with white space before the colon",
    "the first is another header, the second is answered with 400",
)
def test_other_spellings_are_other_fields_or_refused(url: str) -> None:
    proxy = ("X-Forwarded-For", "203.0.113.9")
    dotted = environ(url, [("X.Forwarded.Host", "evil.example"), ("X+Forwarded+Proto", "https"), proxy])
    assert "evil.example" not in dotted["HTTP_HOST"]
    assert dotted["wsgi.url_scheme"] == "http"
    for name in ("X-Forwarded-Host ", "X-Forwarded-Host\t"):
        for fields in ([(name, "evil.example"), proxy], [proxy, (name, "evil.example")]):
            assert raw_http.get(url, headers=fields).status == 400, fields


@pytest.mark.attack(
    "Forwarding headers",
    "`Host`, `Authorization` or `Content-Type` is sent twice: a proxy and the app read different ones",
    "400 on every server",
)
@pytest.mark.parametrize("name", sorted(SINGLE - {"host", "content-length", "transfer-encoding"}))
def test_repeated_field_of_one_value_is_refused(url: str, name: str) -> None:
    for values in itertools.product(["a", "b"], repeat=2):
        assert raw_http.get(url, headers=[(name, value) for value in values]).status == 400


@pytest.mark.parametrize("name", ["Host", "HOST"])
def test_second_host_is_refused(url: str, name: str) -> None:
    assert raw_http.get(url, headers=[(name, "evil.example")]).status == 400


def test_repeated_list_is_read_whole_and_in_order(url: str) -> None:
    told = environ(url, [("X-Twice", "1"), ("Accept", "text/html"), ("x-twice", "2"), ("X-TWICE", "3")])
    assert told["HTTP_X_TWICE"] == "1, 2, 3"


def test_cookies_in_several_fields_are_one(url: str) -> None:
    assert (
        environ(url, [("Cookie", "a=1"), ("X-Other", "x"), ("Cookie", "b=2, 3")])["HTTP_COOKIE"]
        == "a=1; b=2, 3"
    )


@pytest.mark.attack(
    "Forwarding headers",
    "a client sends `X-Forwarded-For: 127.0.0.1` before the field that its proxy adds",
    "the client's address is the one that the proxy added, on every server",
)
def test_fields_of_a_client_stand_before_those_that_its_proxy_added(url: str) -> None:
    told = environ(url, [
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "shop.example"),
    ])  # fmt: skip
    assert (told["REMOTE_ADDR"], told["wsgi.url_scheme"], told["HTTP_HOST"]) == (
        "203.0.113.9", "https", "shop.example",
    )  # fmt: skip


def test_request_without_any_field_is_answered(url: str) -> None:
    with raw_http.Connection(url) as connection:
        connection.send(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.answer().status == 200


def test_fields_that_need_nothing_are_passed_on_as_they_are() -> None:
    assert unify("1.0", []) == []
    fields = [("Host", "localhost"), ("Accept", "*/*")]
    assert unify("1.1", fields) is fields


def test_repeated_fields_are_unified_without_regard_to_case() -> None:
    assert unify("1.0", [("A", "1"), ("b_c", "2"), ("a", "3"), ("Cookie", "x"), ("COOKIE", "y")]) == [
        ("A", "1, 3"),
        ("Cookie", "x; y"),
    ]
    with pytest.raises(Malformed):
        unify("1.1", [("Host", "a"), ("host", "a")])
