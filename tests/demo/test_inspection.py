"""What /inspect shows of a request: bounded, readable, and without secrets."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder, run_wsgi_app

from webdemo.demo import app
from webdemo.demo.inspection import HEX_BYTES, TEXT_BYTES, inspect_request, read_body
from webdemo.web.masking import is_secret_name, mask, shown_environ

# Makes the visitor a client on this machine.
HERE = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "localhost",
}


def test_text_is_shown_as_text() -> None:
    body = read_body(io.BytesIO("naïve\r\n\tÅ".encode()))
    assert (body.text, body.hex, body.cut) == ("naïve\r\n\tÅ", None, False)


@pytest.mark.parametrize("data", [b"\x00abc", b"\xff\xfe", b"\x1b[31m"])
def test_what_is_no_text_is_shown_in_hexadecimal(data: bytes) -> None:
    body = read_body(io.BytesIO(data))
    assert body.text is None
    assert body.hex is not None
    assert body.hex.startswith(f"000000  {data.hex(' ')} ")


def test_long_text_is_cut_even_within_a_character() -> None:
    data = ("a" + "é" * TEXT_BYTES).encode()
    body = read_body(io.BytesIO(data))
    assert (body.length, body.shown, body.cut) == (len(data), TEXT_BYTES, True)
    assert body.text == "a" + "é" * ((TEXT_BYTES - 1) // 2)


def test_long_bytes_are_cut_earlier() -> None:
    body = read_body(io.BytesIO(b"\x00" * TEXT_BYTES))
    assert (body.shown, body.cut) == (HEX_BYTES, True)
    assert body.hex is not None
    assert len(body.hex.splitlines()) == HEX_BYTES // 16


@given(st.binary(max_size=500))
def test_any_body_is_shown(data: bytes) -> None:
    body = read_body(io.BytesIO(data))
    assert body.length == body.shown == len(data)
    assert (body.text is None) != (body.hex is None)


@given(
    st.dictionaries(
        st.sampled_from(
            ["QUERY_STRING", "HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_X", "PATH_INFO", "wsgi.x"]
        ),
        st.text(st.characters(max_codepoint=255), max_size=100),
    )
)
def test_any_environ_is_shown(environ: dict[str, str]) -> None:
    for visitor in (HERE, HERE | {"REMOTE_ADDR": "192.0.2.1"}):
        inspect_request(visitor | environ, "/", io.BytesIO())


def test_objects_are_named_with_their_types_and_kept_short() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    environ = HERE | {"wsgi.a": Broken(), "wsgi.b": "x" * 5000, "wsgi.c": {"k": 1}}
    shown = {entry.key: entry for entry in inspect_request(environ, "/", io.BytesIO()).environ}
    assert shown["wsgi.a"].type == "Broken"
    assert len(shown["wsgi.b"].value) < 500
    assert shown["wsgi.c"].value == "{'k': 1}"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("HTTP_AUTHORIZATION", "Basic dXNlcjpwYXNz", "Basic •••"),
        ("HTTP_AUTHORIZATION", "bEARER abc", "bEARER •••"),
        ("HTTP_AUTHORIZATION", "abc", "•••"),
        ("HTTP_AUTHORIZATION", "open sesame", "•••"),
        ("HTTP_PROXY_AUTHORIZATION", "Bearer a.b.c", "Bearer •••"),
        ("HTTP_COOKIE", "session=abc; theme=dark", "session=•••; theme=•••"),
        ("HTTP_COOKIE", "abc", "•••"),
        ("HTTP_SET_COOKIE", "a=b", "a=•••"),
        ("HTTP_X_API_KEY", "abc", "•••"),
        ("HTTP_X_AUTH_TOKEN", "abc", "•••"),
        ("HTTP_X_CSRFTOKEN", "abc", "•••"),
        ("HTTP_USER_AGENT", "curl/8", "curl/8"),
        ("HTTP_KEEP_ALIVE", "timeout=5", "timeout=5"),
        (
            "QUERY_STRING",
            "a=1&access_token=abc&password=x&monkey=2",
            "a=1&access_token=•••&password=•••&monkey=2",
        ),
        ("RAW_URI", "/inspect?api_key=abc#x&a=1", "/inspect?api_key=•••&a=1"),
        ("HTTP_REFERER", "http://me:pw@host/?sid=1", "http://•••@host/?sid=•••"),
        ("PATH_INFO", "/a=b", "/a=b"),
        ("PATH_INFO", "/reset/token/abc", "/reset/token•••"),
        ("QUERY_STRING", "%70assword=abc", "%70assword=•••"),
        ("QUERY_STRING", "a=1&pass%2577ord=abc&b=2", "a=1&pass%2577ord=•••&b=2"),
        ("QUERY_STRING", "next=%2Flogin%3Ftoken%3Dabc", "next=•••"),
        ("QUERY_STRING", "a%3D1%26password%3Dabc=2", "•••"),
        ("QUERY_STRING", "x=%25252525252570", "•••"),
        ("QUERY_STRING", "user[pass]=a;b#c&d=1", "user[pass]=•••&d=1"),
        ("HTTP_X", "eyJhbGciOiJIUzI1NiJ9.e30.x", "•••"),
        ("HTTP_X", "id 5f4dcc3b5aa765d61d8327deb882cf99", "id •••"),
        ("HTTP_X", '{"password": "a&b", "c": 1}', '{"password":•••'),
        ("HTTP_X", r'{"\u0070assword": "abc"}', "•••"),
        ("HTTP_X", "Bearer abc", "Bearer•••"),
        ("HTTP_X", "me:pw@host", "•••@host"),
        ("HTTP_X", "a=b " * 3000, "(12,000 characters)"),
        ("HTTP_COOKIE", "", ""),
    ],
)
def test_secrets_are_masked_wherever_they_travel(key: str, value: str, shown: str) -> None:
    assert mask(key, value) == shown


@pytest.mark.parametrize(
    "name",
    [
        *("token", "refreshToken", "client_secret", "X-Api-Key", "user.password", "sessionid", "PHPSESSID"),
        *("pass", "dbpass", "pwd", "code", "authorization", "AuthUser", "OTP", "pin", "sig", "jwt", "state"),
        *(
            "%70assword",
            "%2570assword",
            "pass[word]",
            "ｐａｓｓｗｏｒｄ",
            "pàssword",
            "p\N{CYRILLIC SMALL LETTER A}ss",
        ),
        *("pAsS", "userPaSs", "p.w.d", "kEy", "cardNumber", "samlresponse", "pswd", "dsn"),
        *("pass\u200bword", r"\u0070assword", "keys", "APIKey", "api key", "пароль"),
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "monkey",
        "keyboard",
        "author",
        "inside",
        "colour",
        "passage",
        "größe",
        "q",
        "page",
        "class_id",
        "my_monkey",
    ],
)
def test_names_of_other_things_are_not_taken_for_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_in_what_objects_say_of_themselves_are_masked() -> None:
    class Link:
        def __repr__(self) -> str:
            return "<Link 'http://me:pw@host/?token=abc' [GET]>"

    environ = HERE | {"werkzeug.request": Link()}
    shown = {entry.key: entry.value for entry in inspect_request(environ, "/", io.BytesIO()).environ}
    assert shown["werkzeug.request"] == "<Link 'http://•••@host/?token=•••"


@pytest.mark.parametrize(
    ("content_type", "data", "shown"),
    [
        ("application/x-www-form-urlencoded", b"a=1&password=abc&b=2", "a=1&password=•••&b=2"),
        ("application/json", b'{"a": 1, "access_token": "abc"}', '{"a": 1, "access_token":•••'),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="pin"\r\n\r\n1234\r\n--b--',
            '--b\r\nContent-Disposition: form-data; name="pin•••',
        ),
    ],
)
def test_secrets_in_a_body_are_masked(content_type: str, data: bytes, shown: str) -> None:
    environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type}
    assert inspect_request(environ, "/", io.BytesIO(data)).body.text == shown


def test_secret_in_a_body_that_is_no_text_is_not_legible_in_hexadecimal() -> None:
    body = read_body(io.BytesIO(b"\x00password=open-sesame"))
    assert body.hex is not None
    assert b"sesame".hex(" ") not in body.hex


_SECRET = st.text("QXZ", min_size=12, max_size=40)  # no name in these tests contains such a sequence
_NAME = st.builds(
    lambda before, word, after, write: write(before + word + after),
    st.sampled_from(["", "user_", "X-", "my", "old.", "a["]),
    st.sampled_from(
        ["password", "token", "secret", "sessionId", "apiKey", "jwt", "signature", "pass", "code"]
    ),
    st.sampled_from(["", "2", "_hash", "]", "[]", "-v1"]),
    st.sampled_from(
        [
            str,
            str.upper,
            str.title,
            lambda name: "".join(char.upper() if place % 2 else char for place, char in enumerate(name)),
            lambda name: "".join(f"%{ord(char):02x}" for char in name),
            lambda name: "".join(f"%25{ord(char):02X}" for char in name),
            lambda name: "".join(chr(ord(char) + 0xFEE0) for char in name),
        ]
    ),
)
_PLACES: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "query": lambda name, secret: {"QUERY_STRING": f"a=1&{name}={secret};{secret}&b=2"},
    "nested query": lambda name, secret: {"QUERY_STRING": f"next=%2F%3F{quote(name)}%3D{secret}"},
    "target": lambda name, secret: {
        "RAW_URI": f"/inspect?{name}={secret}",
        "REQUEST_URI": f"/?{name}={secret}",
    },
    "referer": lambda name, secret: {"HTTP_REFERER": f"http://me:{secret}@host/?{name}={secret}"},
    "header": lambda name, secret: {"HTTP_X": f"a=1, {name}={secret}, {secret}"},
    "cookie": lambda name, secret: {"HTTP_COOKIE": f'{name}={secret}; a="x;{secret}"; {secret}'},
    "credentials": lambda name, secret: {"HTTP_AUTHORIZATION": f"Basic {secret}"},
    "form": lambda name, secret: {
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "wsgi.input": f"a=1&{name}={secret}",
    },
    "json": lambda name, secret: {"wsgi.input": f'{{"{name}": ["{secret}"], "a": "{secret}"}}'},
}


@pytest.mark.attack(
    "What remote clients see",
    "A secret in a request, its name encoded or spelt in other letters",
    "`/inspect` decodes names before it judges them, and masks what may be a secret.",
)
@pytest.mark.parametrize("place", _PLACES)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@given(name=_NAME, secret=_SECRET)
@settings(max_examples=15, deadline=None)
def test_no_secret_of_a_request_is_on_the_page(place: str, accept: str, name: str, secret: str) -> None:
    parts = _PLACES[place](name.encode().decode("latin-1"), secret)
    body = str(parts.pop("wsgi.input", "")).encode("latin-1")
    overrides = {"REQUEST_METHOD": "POST", "HTTP_ACCEPT": accept, "CONTENT_LENGTH": str(len(body))} | parts
    environ = EnvironBuilder(
        "/inspect", environ_overrides=overrides, input_stream=io.BytesIO(body)
    ).get_environ()
    environ |= overrides
    page = run_wsgi_app(app, environ)[0]
    text = b"".join(page).decode()
    assert secret not in text
    assert secret.encode().hex(" ")[:30] not in text


def test_variables_of_the_process_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test")
    environ = dict(os.environ) | {"PATH_INFO": "/", "HTTP_HOST": "localhost"}
    assert shown_environ(environ) == {"HTTP_HOST": "localhost", "PATH_INFO": "/"}
