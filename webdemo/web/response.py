"""A lazy version of Werkzeug's Response, and the conversion of a view's result to a WSGI response.

Every status and header that the framework sends is either a constant of this module or has passed
`check_head`: none contains CR, LF, NUL or characters outside Latin-1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from http import HTTPStatus
from logging import getLogger
from typing import Any

from werkzeug.utils import redirect as werkzeug_redirect
from werkzeug.wrappers import Response as WerkzeugResponse

from webdemo.syntax import FIELD_VALUE, is_field_value, is_token
from webdemo.web.request import Request
from webdemo.web.routing import View, source

type_html = ("Content-Type", "text/html; charset=utf-8")
type_json = ("Content-Type", "application/json")

Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]

log = getLogger("webdemo")
_status_lines = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_light_statuses: dict[int | None, str] = {None: "200 OK"}
_light_statuses.update(
    (code, line) for code, line in _status_lines.items() if code >= 200 and code not in (204, 304)
)
_status_pattern = re.compile("[2-5][0-9]{2} (?!\\Z)" + FIELD_VALUE)


class Response(WerkzeugResponse):
    """A body with a status and headers; the default media type is HTML.

    A response made of only a str or bytes body and a status number is "light": the Werkzeug response is
    initialised on the first access to any other attribute.
    """

    default_mimetype = "text/html"
    _light: tuple[str | bytes, int | None] | None = None

    def __init__(
        self,
        response: Any = None,
        status: int | str | HTTPStatus | None = None,
        headers: Any = None,
        mimetype: str | None = None,
        content_type: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        if (
            (type(response) is str or type(response) is bytes)
            and (status is None or type(status) is int)
            and headers is mimetype is content_type is None
        ):
            object.__setattr__(self, "_light", (response, status))
        else:
            super().__init__(response, status, headers, mimetype, content_type, direct_passthrough)

    def _become_full(self, light: tuple[str | bytes, int | None]) -> None:
        object.__setattr__(self, "_light", None)
        super().__init__(*light)

    def __getattr__(self, name: str) -> Any:
        if self._light is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._become_full(self._light)
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._light is not None:
            self._become_full(self._light)
        object.__setattr__(self, name, value)


def redirect(location: str, code: int = 302) -> Response:
    """Redirect the client: 301, 302, 303 (to GET), 307 or 308 (same method); else ValueError."""
    if code not in (301, 302, 303, 307, 308):
        raise ValueError(f"{code} is not a redirect: use 301, 302, 303, 307 or 308")
    response = werkzeug_redirect(location, code, Response)
    assert isinstance(response, Response)
    return response


_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def dump_json(value: Any) -> bytes:
    """Compact UTF-8 JSON (RFC 8259); escaped to ASCII if it has lone surrogates, which UTF-8 cannot encode.

    Raises TypeError or ValueError for what JSON cannot hold (NaN and infinity included).
    """
    text = _encode_json(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


class Stream:
    """A streamed body, whose iterator runs in the view's context (contextvars).

    Text is encoded as UTF-8. An error is logged and aborts the body. `close` closes request and items once.
    """

    def __init__(self, items: Iterable[Any], request: Request, view: View) -> None:
        self._items = items
        self._iterator = iter(items)
        self._request = request
        self._view = view
        self._context = copy_context()
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            item = self._context.run(next, self._iterator)
            if isinstance(item, str):
                return item.encode()
            if isinstance(item, bytes):
                return item
            raise TypeError(f"{source(self._view)} streams {type(item).__name__}, not str or bytes")
        except StopIteration:
            raise
        except Exception:
            log.exception("The body of %s broke off", source(self._view))
            raise

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._request.close()
        close: Callable[[], None] | None = getattr(self._items, "close", None)
        if close is not None:
            self._context.run(close)


def status_line(code: int) -> str:
    """The code with its reason phrase: 404 -> "404 Not Found"."""
    return _status_lines.get(code) or f"{code} Unknown"


def check_head(status: str, headers: list[tuple[str, str]]) -> None:
    """Raise ValueError for a status or a header that HTTP cannot carry (RFC 9110 5.1, 5.5)."""
    if not _status_pattern.fullmatch(status):
        raise ValueError(f"not a status that can be sent: {status!r}")
    for name, value in headers:
        if not is_token(name):
            raise ValueError(f"not a header name (RFC 9110 5.1): {name!r}")
        if not is_field_value(value):
            raise ValueError(f"header {name} has characters that cannot be sent: {value!r}")


def answer(result: Any, request: Request, view: View) -> Answer:
    """Convert a view's result to a WSGI status, header list and body.

    The header list is new for each response, because servers and middleware may change it.
    """
    kind = type(result)
    if kind is dict or kind is list:
        content = dump_json(result)
        return "200 OK", [type_json, ("Content-Length", str(len(content)))], [content]
    if kind is Response and (light := result._light) is not None and light[1] in _light_statuses:
        content = light[0].encode() if isinstance(light[0], str) else light[0]
        return _light_statuses[light[1]], [type_html, ("Content-Length", str(len(content)))], [content]
    return _answer_full(make_response(result, view), request, view)


def make_response(result: Any, view: View) -> WerkzeugResponse:
    """Convert a view's result to a response. Raises TypeError if a view may not return it."""
    if isinstance(result, WerkzeugResponse):
        return result
    if isinstance(result, str):
        return Response(str(result))
    if isinstance(result, bytes):
        return Response(result, mimetype="application/octet-stream")
    if isinstance(result, (dict, list)):
        return Response(dump_json(result), mimetype="application/json")
    if isinstance(result, Iterator):
        return Response(result)
    if isinstance(result, tuple) and len(result) in (2, 3) and isinstance(result[1], (int, str)):
        body, status, *headers = result
        if not isinstance(body, tuple):
            response = make_response(body, view)
            response.status = status
            response.headers.update(*headers)
            return response
    raise TypeError(
        f"{source(view)} returned {result!r:.80}; a view returns str, bytes, dict, list, Response, "
        "an iterator, (body, status) or (body, status, headers)"
    )


def _answer_full(response: WerkzeugResponse, request: Request, view: View) -> Answer:
    body, status, headers = response.get_wsgi_response(request.environ)
    if response.status_code in (204, 304):  # without content, so without its type
        headers = [header for header in headers if header[0].lower() != "content-type"]
    check_head(status, headers)
    if not response.is_sequence and not response.direct_passthrough:
        body = Stream(body, request, view)
    return status, headers, body
