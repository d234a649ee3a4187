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
    """One request to one kind of app. `conditional`: it is sent as a cache would revalidate the response."""

    name: str
    title: str
    kind: Kind
    path: str
    more: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    conditional: bool = False


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
