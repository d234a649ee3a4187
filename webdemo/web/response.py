"""Werkzeug's Response, light until touched, and what a view's result becomes on the wire.

Every header and status that leaves the framework either is a constant of this module or has
passed `check_head`: no CR, LF, NUL or text outside Latin-1 gets out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from logging import getLogger
from typing import TYPE_CHECKING, Any

from werkzeug.utils import redirect as werkzeug_redirect
from werkzeug.wrappers import Response as WerkzeugResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

type_html = ("Content-Type", "text/html; charset=utf-8")
type_json = ("Content-Type", "application/json")
type_bytes = ("Content-Type", "application/octet-stream")

Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]

_log = getLogger("webdemo")
_status_lines = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_status_pattern = re.compile(r"[2-5][0-9]{2} [\t -~\x80-\xff]+")
_name_pattern = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2: token
_value_pattern = re.compile(r"[\t -~\x80-\xff]*")  # RFC 9110 5.5: field-value


class Response(WerkzeugResponse):
    """A body with a status and headers; HTML unless told otherwise.

    A plain body with at most a status number stays light until something else is asked of it;
    then it becomes the Werkzeug response that it would have been from the start.
    """

    default_mimetype = "text/html"

    def __init__(
        self,
        response: Any = None,
        status: int | str | HTTPStatus | None = None,
        headers: Any = None,
        mimetype: str | None = None,
        content_type: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        if headers is mimetype is content_type is None and type(response) in (str, bytes):
            self._light = (response, status)
        else:
            super().__init__(response, status, headers, mimetype, content_type, direct_passthrough)

    def __getattr__(self, name: str) -> Any:
        touched = self.__dict__.copy()
        light = touched.pop("_light", None)
        if light is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        del self._light
        super().__init__(*light)
        self.__dict__.update(touched)
        return getattr(self, name)


def redirect(location: str, code: int = 302) -> Response:
    """Send the client to another URL: 301, 302, 303 (with GET), 307 or 308 (with the same method)."""
    if code not in (301, 302, 303, 307, 308):
        raise ValueError(f"{code} is not a redirect: use 301, 302, 303, 307 or 308")
    response = werkzeug_redirect(location, code, Response)
    assert isinstance(response, Response)
    return response


_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def dump_json(value: Any) -> bytes:
    """Compact UTF-8 JSON (RFC 8259); what UTF-8 cannot hold (half a surrogate pair) is escaped."""
    text = _encode_json(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


class Stream:
    """A body made while it is sent: text is encoded, an error is logged and breaks it off, closed once."""

    def __init__(self, items: Iterable[Any], view: str) -> None:
        self._items = items
        self._iterator = iter(items)
        self._view = view
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            item = next(self._iterator)
            if isinstance(item, str):
                return item.encode()
            if isinstance(item, bytes):
                return item
            raise TypeError(f"{self._view} streams str or bytes, not {type(item).__name__}")
        except StopIteration:
            raise
        except Exception:
            _log.exception("The body of %s broke off", self._view)
            raise

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            close: Callable[[], None] | None = getattr(self._items, "close", None)
            if close is not None:
                close()


def check_head(status: str, headers: list[tuple[str, str]]) -> None:
    """Refuse a status line or header that would not be one on the wire (ValueError)."""
    if not _status_pattern.fullmatch(status):
        raise ValueError(f"not a status that can be sent: {status!r}")
    for name, value in headers:
        if not _name_pattern.fullmatch(name):
            raise ValueError(f"not a header name (RFC 9110 5.1): {name!r}")
        if not _value_pattern.fullmatch(value):
            raise ValueError(f"header {name} has characters that cannot be sent: {value!r}")


def answer(result: Any, environ: WSGIEnvironment, view: str) -> Answer:
    """What a view returned, as a WSGI status, header list and body."""
    kind = type(result)
    if kind is Response:
        light = result.__dict__
        if len(light) == 1 and "_light" in light:
            content, status = light["_light"]
            if (status or 200) in _status_lines and (status or 200) not in (204, 304):
                body = content.encode() if type(content) is str else content
                return _status_lines[status or 200], [type_html, ("Content-Length", str(len(body)))], [body]
        return _answer_response(result, environ, view)
    if kind is str:
        body = result.encode()
        return "200 OK", [type_html, ("Content-Length", str(len(body)))], [body]
    if isinstance(result, (dict, list)):
        body = dump_json(result)
        return "200 OK", [type_json, ("Content-Length", str(len(body)))], [body]
    return _answer_response(make_response(result, view), environ, view)


def make_response(result: Any, view: str) -> WerkzeugResponse:
    """A view's result of any kind as a full response (TypeError when it is none of them)."""
    if isinstance(result, WerkzeugResponse):
        return result
    if isinstance(result, tuple) and len(result) in (2, 3):
        body, status, headers = result if len(result) == 3 else (*result, None)
        if isinstance(status, (int, str)) and not isinstance(body, (tuple, WerkzeugResponse)):
            response = make_response(body, view) if body is not None else Response("")
            response.status = status
            if headers is not None:
                response.headers.update(headers)
            return response
    if isinstance(result, str):
        return Response(str(result))
    if isinstance(result, (bytes, bytearray)):
        return Response(bytes(result), mimetype="application/octet-stream")
    if isinstance(result, (dict, list)):
        return Response(dump_json(result), mimetype="application/json")
    if isinstance(result, Iterator):
        return Response(result)
    raise TypeError(
        f"{view} returned {result!r:.80}: a view returns str, bytes, dict, list, Response, an iterator, "
        "(body, status) or (body, status, headers)"
    )


def _answer_response(response: WerkzeugResponse, environ: WSGIEnvironment, view: str) -> Answer:
    body, status, headers = response.get_wsgi_response(environ)
    if response.status_code in (204, 304):
        headers = [header for header in headers if header[0].lower() != "content-type"]
    check_head(status, headers)
    if not response.is_sequence and not response.direct_passthrough:
        body = Stream(body, view)
    return status, headers, body
