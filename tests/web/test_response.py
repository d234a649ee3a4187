"""A response means to a view what Werkzeug's means, and what is sent of it is what HTTP allows."""

from __future__ import annotations

import copy
import io
import json
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response as WerkzeugResponse

from tests.web.serving import call, environ
from webdemo import App, Request, Response, redirect

names = """
status_code data mimetype mimetype_params content_type content_length is_json is_sequence is_streamed
headers response location retry_after vary content_encoding direct_passthrough cache_control
""".split()  # noqa: SIM905 - a list of words reads better as words

Change = Callable[[WerkzeugResponse], Any]

changes: list[Change] = [
    lambda response: response.headers.add("X-A", "1"),
    lambda response: response.headers.set("Content-Type", "text/csv"),
    lambda response: setattr(response, "status_code", 418),
    lambda response: setattr(response, "status", "299 Odd"),
    lambda response: setattr(response, "data", "other"),
    lambda response: setattr(response, "mimetype", "text/plain"),
    lambda response: setattr(response, "content_type", "application/xml"),
    lambda response: setattr(response, "location", "/x"),
    lambda response: setattr(response, "response", ["a", "b"]),
    lambda response: response.set_cookie("a", "b"),
    lambda response: response.delete_cookie("a"),
    lambda response: response.add_etag(),
    lambda response: response.set_etag("x"),
    lambda response: response.make_sequence(),
    lambda response: response.freeze(),
    lambda response: response.vary.add("Accept"),
    lambda response: setattr(response.cache_control, "no_store", True),
    lambda response: response.make_conditional(environ(HTTP_IF_NONE_MATCH='"x"')),
]
bodies = st.sampled_from([None, "", "Grüße", b"\xff", bytearray(b"x"), ["a", b"b"], ("a",)])
headers = st.sampled_from(
    [
        None,
        {},
        {"X-A": "1"},
        {"content-type": "text/plain"},
        [("X-A", "1"), ("X-A", "2")],
        {"X-A": ["1", "2"]},
        {"X-A": 5},
        {"Content-Length": "99"},
    ]
)


def told(response: WerkzeugResponse, name: str) -> Any:
    value = getattr(response, name)
    return sorted(value) if name == "headers" else str(value) if name in ("vary", "cache_control") else value


@given(
    body=bodies,
    status=st.sampled_from([None, 200, 201, 404, 299, "404 Gone Away", "404", 204, 304]),
    headers=headers,
    mimetype=st.sampled_from([None, "text/plain", "image/png"]),
    content_type=st.sampled_from([None, "text/plain"]),
    changes=st.lists(st.sampled_from(changes), max_size=4),
    method=st.sampled_from(["GET", "HEAD"]),
)
def test_each_attribute_means_what_it_means_to_werkzeug(
    body: Any,
    status: Any,
    headers: Any,
    mimetype: Any,
    content_type: Any,
    changes: list[Change],
    method: str,
) -> None:
    class Html(WerkzeugResponse):
        default_mimetype = "text/html"

    ours, theirs = (kind(body, status, headers, mimetype, content_type) for kind in (Response, Html))
    for change in changes:
        change(ours)
        change(theirs)
    for name in names:
        assert told(ours, name) == told(theirs, name), name
    assert ours.status.casefold() == theirs.status.casefold()
    app = App()
    app.get("/")(lambda request: ours)
    reply = call(app, "/", method)
    sent = dict(theirs.get_wsgi_headers(environ(method=method)))
    assert reply.body == (b"" if method == "HEAD" or theirs.status_code in (204, 304) else theirs.data)
    if theirs.status_code not in (204, 304):
        assert {name.lower() for name, _ in reply.headers} == {name.lower() for name in sent}


uses: list[Callable[[Headers], Any]] = [
    lambda headers: headers.__setitem__("X-A", "1"),
    lambda headers: headers.__setitem__("x-a", "2"),
    lambda headers: headers.__setitem__("X-B", 3),
    lambda headers: headers.__setitem__(slice(0), [("X-C", "4")]),
    lambda headers: headers.add("X-A", "5"),
    lambda headers: headers.add("X-D", "a", filename="b"),
    lambda headers: headers.set("X-A", "6"),
    lambda headers: headers.setdefault("X-E", "7"),
    lambda headers: headers.extend({"X-A": ["8", "9"]}),
    lambda headers: headers.pop("X-A", None),
    lambda headers: headers.clear(),
    lambda headers: headers.remove("content-type"),
    lambda headers: headers.get("x-a"),
    lambda headers: headers.getlist("X-A"),
    lambda headers: "x-a" in headers,
    lambda headers: headers == Headers([("Content-Type", "text/html; charset=utf-8")]),
    lambda headers: Headers() == headers,
    lambda headers: len(headers),
    lambda headers: sorted(headers.keys()),
    lambda headers: sorted(headers),
    repr,
    lambda headers: str(headers.copy()),
    lambda headers: str(copy.deepcopy(headers)),
    lambda headers: str(headers | {"X-F": "1"}),
    lambda headers: str(pickle.loads(pickle.dumps(headers))),
]


@given(uses=st.lists(st.sampled_from(uses), max_size=5), body=st.sampled_from(["", ["a"]]))
def test_headers_do_what_those_of_werkzeug_do(uses: list[Callable[[Headers], Any]], body: Any) -> None:
    ours = Response(body).headers
    theirs = Headers(WerkzeugResponse(body, mimetype="text/html").headers)
    for use in uses:
        assert use(ours) == use(theirs)
    assert [*ours] == [*theirs]


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\rb"])
def test_header_with_a_line_end_is_refused_when_it_is_set(bad: str) -> None:
    headers = Response().headers
    for use in (headers.add, headers.set, headers.__setitem__):
        with pytest.raises(ValueError, match="newline"):
            use("X-A", bad)
    assert "X-A" not in headers


def test_status_is_written_as_in_the_rfc() -> None:
    assert (Response("", 404).status, Response("", 299).status) == ("404 Not Found", "299 Unknown")


def test_functions_are_called_when_the_response_is_closed() -> None:
    closed: list[str] = []
    app = App()

    @app.get("/<kind>")
    def view(request: Request, kind: str) -> Response:
        response = Response("x" if kind == "text" else iter(["x"]))
        response.call_on_close(lambda: closed.append(kind))
        return response

    for kind in ("text", "stream"):
        assert call(app, f"/{kind}").body == b"x"
    assert closed == ["text", "stream"]


@pytest.mark.parametrize(
    "make",
    [
        lambda pairs: ("x", 200, pairs),
        lambda pairs: Response("x", 200, pairs),
        lambda pairs: (Response("x"), 200, pairs),
        lambda pairs: (iter(["x"]), 200, pairs),
    ],
)
def test_headers_of_one_name_are_all_sent(make: Any) -> None:
    app = App()
    app.get("/")(lambda request: make([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    assert [value for name, value in call(app).headers if name == "Set-Cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "make",
    [
        lambda headers: ("hello", 200, headers),
        lambda headers: Response("hello", headers=headers),
        lambda headers: (Response("hello"), 200, headers),
        lambda headers: WerkzeugResponse("hello", headers=headers, mimetype="text/html"),
    ],
)
def test_length_is_the_bodys_and_headers_of_the_connection_are_left_to_the_server(make: Any) -> None:
    given_ = {"Content-Length": "99", "Transfer-Encoding": "chunked", "Connection": "close", "X-A": "1"}
    app = App()
    app.get("/")(lambda request: make(given_))
    reply = call(app)
    assert sorted(reply.headers) == [
        ("Content-Length", "5"),
        ("Content-Type", "text/html; charset=utf-8"),
        ("X-A", "1"),
    ]


def test_stream_keeps_the_length_that_its_view_knows() -> None:
    app = App()
    app.get("/")(lambda request: (iter(["hello"]), 200, {"Content-Length": "5"}))
    assert call(app)["Content-Length"] == "5"


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/a\r\nX: 1", "/a%0D%0AX:%201"),
        ("/a\0b", "/a%00b"),
        ("/a b?c=d e", "/a%20b?c=d%20e"),
        ("/snow\N{SNOWMAN}?q=\N{SNOWMAN}", "/snow%E2%98%83?q=%E2%98%83"),
        ("https://m\u00fcnchen.example/\u00fc", "https://xn--mnchen-3ya.example/%C3%BC"),
        ("/half\ud800", "/half%3F"),
        ("http://[::1", "http://[::1"),
        ("//other.example/x", "//other.example/x"),
    ],
)
def test_redirect_encodes_what_a_url_may_not_hold(target: str, location: str) -> None:
    app = App()
    app.get("/")(lambda request: redirect(target))
    app.get("/header")(lambda request: ("", 302, {"Location": target}))
    reply = call(app)
    assert (reply.status, reply["Location"]) == ("302 Found", location)
    assert call(app, "/header").status == "302 Found" if target.isprintable() else "500 Internal Server Error"


@pytest.mark.parametrize("bad", ["a\r\nb", "a\0b", "snow\N{SNOWMAN}"])
def test_header_that_cannot_be_sent_is_named_in_the_log(bad: str, caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.get("/")
    def download(request: Request) -> Any:
        response = Response("x")
        response.headers["X-Name"] = bad
        return response

    reply = call(app)
    assert reply.status == "500 Internal Server Error"
    assert not any(name == "X-Name" for name, _ in reply.headers)
    assert "download failed on GET /" in caplog.text
    if "\n" not in bad:
        wrong = re.escape(ascii(bad.strip("ab") if "\0" in bad else "\N{SNOWMAN}"))
        assert re.search(f"the header X-Name holds {wrong}", caplog.text)


@pytest.mark.parametrize(("error", "status"), [(Forbidden(), "403"), (RuntimeError(), "500")])
@pytest.mark.parametrize("wrap", [lambda stream: stream, lambda stream: Response(stream)])
def test_error_before_the_first_part_of_a_stream_is_answered(
    wrap: Any, error: Exception, status: str
) -> None:
    def stream(is_broken: bool) -> Iterator[str]:
        if is_broken:
            raise error
        yield "x"

    app = App()
    app.get("/")(lambda request: wrap(stream(is_broken=True)))
    assert call(app).status.startswith(status)


def test_stream_without_parts_is_an_empty_body() -> None:
    app = App()
    app.get("/")(lambda request: iter([]))
    assert call(app).body == b""


def test_upload_can_be_sent_back() -> None:
    app = App()

    @app.post("/lines")
    def lines(request: Request) -> Response:
        return Response(request.files["f"].stream)

    @app.post("/file")
    def file(request: Request) -> Response:
        return Response(request.files["f"].stream, direct_passthrough=True)

    content = b"x" * 600_000  # large enough to be a temporary file
    body = (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\n' + content + b"\r\n--b--\r\n"
    )
    for path in ("/lines", "/file"):
        made = {"CONTENT_TYPE": "multipart/form-data; boundary=b", "CONTENT_LENGTH": str(len(body))}
        assert call(app, path, "POST", wsgi_input=io.BytesIO(body), **made).body == content


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    colour: Colour


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Decimal("0.10"), "0.10"),
        (Colour.RED, "red"),
        (Point(1, Colour.RED), {"x": 1, "colour": "red"}),
        ([Point(2, Colour.RED)], [{"x": 2, "colour": "red"}]),
    ],
)
def test_json_has_a_form_for_common_types(value: Any, sent: Any) -> None:
    app = App()
    app.get("/")(lambda request: {"value": value})
    assert json.loads(call(app).body) == {"value": sent}
    app.get("/201")(lambda request: ({"value": value}, 201))
    assert json.loads(call(app, "/201").body) == {"value": sent}


def test_json_of_another_type_is_an_error_that_names_it(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    app.get("/")(lambda request: {"value": object()})
    assert call(app).status.startswith("500")
    assert "object has no form in JSON" in caplog.text
