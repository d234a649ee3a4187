"""What /inspect shows of a request: bounded, readable, and without secrets."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.demo.inspection import HEX_BYTES, TEXT_BYTES, inspect_request, read_body
from webdemo.demo.masking import is_secret_name, mask, shown_environ


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
    inspect_request({"REQUEST_METHOD": "GET"} | environ, "/", io.BytesIO())


def test_objects_are_named_with_their_types_and_kept_short() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    environ = {"REQUEST_METHOD": "GET", "wsgi.a": Broken(), "wsgi.b": "x" * 5000, "wsgi.c": {"k": 1}}
    shown = {entry.key: entry for entry in inspect_request(environ, "/", io.BytesIO()).environ}
    assert shown["wsgi.a"].type == "Broken"
    assert len(shown["wsgi.b"].value) < 500
    assert shown["wsgi.c"].value == "{'k': 1}"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("HTTP_AUTHORIZATION", "Basic dXNlcjpwYXNz", "Basic •••"),
        ("HTTP_AUTHORIZATION", "abc", "•••"),
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
        ("RAW_URI", "/inspect?api_key=abc#x", "/inspect?api_key=•••#x"),
        ("HTTP_REFERER", "http://me:pw@host/?sid=1", "http://•••@host/?sid=•••"),
        ("PATH_INFO", "/a=b", "/a=b"),
        ("HTTP_COOKIE", "", ""),
    ],
)
def test_secrets_are_masked_wherever_they_travel(key: str, value: str, shown: str) -> None:
    assert mask(key, value) == shown


@pytest.mark.parametrize(
    "name", ["token", "refreshToken", "client_secret", "X-Api-Key", "user.password", "sessionid"]
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["monkey", "keyboard", "author", "inside", "colour", "passage"])
def test_names_of_other_things_are_not_taken_for_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_in_what_objects_say_of_themselves_are_masked() -> None:
    class Link:
        def __repr__(self) -> str:
            return "<Link 'http://me:pw@host/?token=abc' [GET]>"

    environ = {"REQUEST_METHOD": "GET", "werkzeug.request": Link()}
    shown = {entry.key: entry.value for entry in inspect_request(environ, "/", io.BytesIO()).environ}
    assert shown["werkzeug.request"] == "<Link 'http://•••@host/?token=••• [GET]>"


def test_variables_of_the_process_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test")
    environ = dict(os.environ) | {"PATH_INFO": "/", "HTTP_HOST": "localhost"}
    assert shown_environ(environ) == {"HTTP_HOST": "localhost", "PATH_INFO": "/"}
