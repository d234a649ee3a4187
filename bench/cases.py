"""The requests that are compared, as WSGI environs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from bench import content
from bench.contestants import Kind

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Case:
    """One request to one kind of app.

    `conditional`: it is sent as a cache would revalidate the response.

    `compares_body`: whether the response's body is a part of the work (that of a redirect or a 404 is not).
    """

    name: str
    title: str
    kind: Kind
    path: str
    more: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    conditional: bool = False
    compares_body: bool = True


FORM = b"name=waitress&port=8000"

CASES = (
    Case("hello", "hello", "pages", "/"),
    Case("response", "hello by a `Response`", "pages", "/response"),
    Case("json", "JSON", "pages", "/json"),
    Case("name", "`/hello/<name>`", "pages", "/hello/Ada"),
    Case("routes", "last of 100 routes", "routes", content.section(content.MANY_ROUTES - 1) + "/Ada"),
    Case("missing", "404", "pages", "/nowhere"),
    Case("page", "page of 10 items", "pages", "/page"),
    Case(
        "query",
        "query and cookie",
        "pages",
        "/search",
        {"QUERY_STRING": "q=ports&page=2", "HTTP_COOKIE": "session=0123456789abcdef; theme=dark"},
    ),
    Case(
        "form",
        "form",
        "pages",
        "/form",
        {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(FORM)),
        },
        FORM,
    ),
    Case("static", "static, 1.5 KB", "files", f"/static/{content.PICTURE}"),
    Case("unchanged", "static, 304", "files", f"/static/{content.PICTURE}", conditional=True),
    Case("large", "static, 1 MB", "files", f"/static/{content.LARGE}"),
    Case("no_file", "static, 404", "files", "/static/none.png", compares_body=False),
)

FORM_TYPE = "application/x-www-form-urlencoded"
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


def _post(name: str, title: str, path: str, content_type: str, body: bytes) -> Case:
    more = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    return Case(name, title, "handlers", path, more, body)


def _get(name: str, title: str, path: str | None = None, *, compares_body: bool = True, **more: str) -> Case:
    return Case(name, title, "handlers", path or f"/{name}", more, compares_body=compares_body)


def _multipart(size: int) -> bytes:
    """A form with a text field and a file, as browsers send it."""
    file = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    return (
        (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="title"\r\n\r\nport\r\n'
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
            "Content-Type: text/plain\r\n\r\n"
        ).encode()
        + file
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )


_MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"

HANDLERS = (
    _get("text", "hello as `str`"),
    _get("type", "`Response` with a content type"),
    _get("header", "`Response` with one header"),
    _get("set_header", "a header set on a `Response`"),
    _get("status", "`(body, status)`"),
    _get("headers", "`(body, status, headers)`"),
    _get("set_cookie", "set a cookie"),
    _get("delete_cookie", "delete a cookie"),
    _get("redirect", "redirect", compares_body=False),
    _get("abort", "`abort(404)` with a handler"),
    _get("no_route", "no route, with a handler"),
    _get("created", "JSON with 201"),
    _get("two", "`/two/<x>/b/<y>`", "/two/one/b/other"),
    _get("int", "`/int/<int:number>`", "/int/8000"),
    _get("mounted", "mounted app", "/mounted/text"),
    _get("script_name", "SCRIPT_NAME", "/text", SCRIPT_NAME="/prefix"),
    _post(
        "json_body", "`request.json`", "/json", "application/json", b'{"name": "waitress", "ports": [1, 2]}'
    ),
    _post("raw_body", "raw body", "/raw", "application/octet-stream", b"0123456789abcdef"),
    _get("list", "`getlist`", QUERY_STRING="q=ports&q=hosts&page=2"),
    _get("list_encoded", "`getlist`, encoded", "/list", QUERY_STRING="q=ports+used&q=h%C3%B6st&page=2"),
    _post("form_encoded", "form with encoded text", "/form", FORM_TYPE, b"name=w%C3%A4itress&port=80+00"),
    _get("cookie_quoted", "quoted cookie", "/cookie", HTTP_COOKIE='session=0123456789; theme="dark, red"'),
    _get("url", "`request.url`", QUERY_STRING="page=2"),
    _post("multipart_small", "multipart, 10 bytes", "/upload", _MULTIPART, _multipart(10)),
    _post("multipart_large", "multipart, 100 KB", "/upload", _MULTIPART, _multipart(100_000)),
    _get("links", "page with `url_for` and `static`"),
    _get("stream", "stream of 10 parts"),
)

# As a server makes it from a browser's request.
_ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "bench",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "50000",
    "HTTP_HOST": "localhost:8000",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
    "HTTP_CONNECTION": "keep-alive",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": None,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def environs(case: Case, count: int, more: Mapping[str, str]) -> list[WSGIEnvironment]:
    """Fresh environs, each to be used once."""
    template = {**_ENVIRON, "PATH_INFO": case.path, **case.more, **more}
    return [{**template, "wsgi.input": BytesIO(case.body)} for _ in range(count)]
