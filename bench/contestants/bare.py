"""The limit: plain functions in a dict. Nothing that calls Python functions can cost less."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from bench import content

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DISTRIBUTION = None

View = Callable[..., tuple[str, str]]


def pages() -> WSGIApplication:
    return partial(
        _answer,
        {
            "/": lambda environ: (content.HELLO, content.HTML),
            "/response": lambda environ: (content.HELLO, content.HTML),
            "/json": lambda environ: (content.to_json(content.PAYLOAD), content.JSON),
            "/page": lambda environ: (
                content.page().render(title="Ports", items=content.ITEMS),
                content.HTML,
            ),
            "/search": _search,
            "/form": _form,
        },
        {"/hello": lambda environ, name: (content.hello(name), content.HTML)},
    )


def routes() -> WSGIApplication:
    heads: dict[str, View] = {
        content.section(number): lambda environ, name: (content.hello(name), content.HTML)
        for number in range(content.MANY_ROUTES)
    }
    return partial(_answer, {}, heads)


def files(folder: Path) -> WSGIApplication:
    """Small files are cached and checked with a stat at each request; large ones are read."""
    kept = {f"/static/{path.name}": _File(path) for path in folder.iterdir()}
    root = str(folder)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in kept:
            return kept[path](environ, start_response)
        if os.path.exists(root + path.removeprefix("/static")):  # noqa: PTH110  what it costs is measured
            raise ValueError("the file is new")
        return _not_found(start_response)

    return serve


class _File:
    def __init__(self, path: Path) -> None:
        self.path = str(path)
        found = path.stat()
        self.seen = (found.st_mtime_ns, found.st_size)
        self.body = path.read_bytes() if found.st_size < 1 << 18 else None
        self.etag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
        self.validators = [("ETag", self.etag), ("Last-Modified", formatdate(found.st_mtime, usegmt=True))]
        self.headers = [
            ("Content-Type", "image/png"),
            ("Content-Length", str(found.st_size)),
            *self.validators,
        ]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = os.stat(self.path)  # noqa: PTH116  as above
        if (found.st_mtime_ns, found.st_size) != self.seen:
            raise ValueError("the file has changed")
        if environ.get("HTTP_IF_NONE_MATCH") == self.etag:
            start_response("304 Not Modified", list(self.validators))
            return []
        start_response("200 OK", list(self.headers))
        if self.body is not None:
            return [self.body]
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123  as above
            return [file.read()]


def _answer(
    views: dict[str, View],
    heads: dict[str, View],
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    view = views.get(path)
    if view is not None:
        text, kind = view(environ)
    else:
        head, _, tail = path.rpartition("/")
        view = heads.get(head)
        if view is None:
            return _not_found(start_response)
        text, kind = view(environ, tail)
    body = text.encode()
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _not_found(start_response: StartResponse) -> Iterable[bytes]:
    body = content.NOT_FOUND.encode()
    start_response("404 Not Found", [("Content-Type", content.HTML), ("Content-Length", str(len(body)))])
    return [body]


def _search(environ: WSGIEnvironment) -> tuple[str, str]:
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    cookies = dict(pair.split("=", 1) for pair in environ["HTTP_COOKIE"].split("; "))
    return content.found(query["q"], query["page"], cookies["theme"]), content.HTML


def _form(environ: WSGIEnvironment) -> tuple[str, str]:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    fields = dict(parse_qsl(body.decode()))
    return content.sent(fields["name"], fields["port"]), content.HTML
