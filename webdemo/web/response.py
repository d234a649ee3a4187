"""A lazy version of Werkzeug's Response, and the conversion of a view's result to a WSGI response.

Every status and header that the framework sends is either a constant of this package or has passed
`sendable`: none contains CR, LF, NUL or characters outside Latin-1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import copy_context
from dataclasses import fields, is_dataclass
from datetime import date, time
from enum import Enum
from functools import lru_cache, partial
from html import escape
from http import HTTPStatus
from logging import getLogger
from types import GeneratorType
from typing import Any
from urllib.parse import quote
from uuid import UUID

from werkzeug.datastructures import Headers as WerkzeugHeaders
from werkzeug.urls import iri_to_uri
from werkzeug.utils import get_content_type
from werkzeug.wrappers import Response as WerkzeugResponse
from werkzeug.wsgi import ClosingIterator

from webdemo.syntax import FIELD_VALUE, is_field_value, is_token
from webdemo.web.headers import Headers
from webdemo.web.request import Request, with_valid_dates
from webdemo.web.routing import View, source

Pairs = list[tuple[str, str]]
Answer = tuple[str, Pairs, Iterable[bytes]]

_html = "text/html; charset=utf-8"
type_html = ("Content-Type", _html)
type_json = ("Content-Type", "application/json")
_html_only = (type_html,)
_type_bytes = ("Content-Type", "application/octet-stream")

log = getLogger("webdemo")
_content_type = lru_cache(maxsize=64)(get_content_type)
_end = object()
_status_lines = {int(status): f"{status.value} {status.phrase}" for status in HTTPStatus if status >= 200}
_known_lines = frozenset(_status_lines.values())
_plain_lines = _known_lines - {_status_lines[204], _status_lines[304]}
_status_pattern = re.compile("[2-5][0-9]{2} (?!\\Z)" + FIELD_VALUE)
_plain_location = re.compile(
    r"(?:https?:/)?/[A-Za-z0-9._~/-]*(?:\?[A-Za-z0-9._~/=&-]*)?(?:#[A-Za-z0-9._~-]*)?"
)
_not_in_location = re.compile("[\0- \x7f-\xa0\ud800-\udfff]")
_without_content = (204, 304)
_of_content = frozenset({"content-type", "content-length", "content-encoding", "content-range"})
_locations = frozenset({"location", "content-location"})
_of_connection = frozenset(  # RFC 9110 7.6.1; they are the server's, and PEP 3333 forbids them to apps
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_MAX_NAMES = 256
_EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"
_special_names: dict[str, str] = {}  # the result of _special_name for names that were sent
_need_care = _of_content | _locations | _of_connection


class Response(WerkzeugResponse):
    """A body with a status and headers; the default media type is HTML.

    Its attributes mean what they mean on `werkzeug.wrappers.Response`, except that `status` is written as
    in RFC 9110: "404 Not Found". What is not used is not built: `headers` is made on first access.
    """

    default_mimetype = "text/html"
    direct_passthrough = False
    _pairs: Iterable[tuple[str, str]] = _html_only  # the headers, except for the length
    _headers: WerkzeugHeaders | None = None  # made of them on first access
    _length: int | None = None
    _line, _code = "200 OK", 200
    _closers: tuple[Callable[[], Any], ...] = ()

    def __init__(
        self,
        response: Any = None,
        status: int | str | HTTPStatus | None = None,
        headers: Any = None,
        mimetype: str | None = None,
        content_type: str | None = None,
        direct_passthrough: bool = False,
    ) -> None:
        if isinstance(response, (str, bytes, bytearray)):
            content = response.encode() if isinstance(response, str) else bytes(response)
            self._length = len(content)
            self.response = [content]
        else:
            self.response = [] if response is None else response
        if direct_passthrough:
            self.direct_passthrough = True
        if status is None:
            status = self.default_status
        if status != 200:
            self._line, self._code = parse_status(status)
        if headers or mimetype or content_type or self.default_mimetype != "text/html":
            self._set_headers(headers, mimetype, content_type)

    def _set_headers(self, headers: Any, mimetype: str | None, content_type: str | None) -> None:
        pairs = header_pairs(headers) if headers else []
        has_type = bool(pairs) and _has_type(pairs)
        if content_type is None and (mimetype is not None or not has_type):
            mimetype = mimetype or self.default_mimetype
            content_type = _html if mimetype == "text/html" else mimetype and _content_type(mimetype, "utf-8")
        if content_type is not None:
            if has_type:
                pairs = [pair for pair in pairs if pair[0].lower() != "content-type"]
            pairs.append(type_html if content_type == _html else ("Content-Type", content_type))
        self._pairs = pairs

    @property
    def headers(self) -> WerkzeugHeaders:
        """The response headers. Content-Length is the body's, whatever is set here."""
        headers = self._headers
        if headers is None:
            length = None if self._length is None else ("Content-Length", str(self._length))
            if length and self._pairs is _html_only:
                headers = Headers((type_html, length))
            else:
                headers = Headers(self._pairs)
                if length:
                    headers["Content-Length"] = length[1]
            self._headers = headers
        return headers

    @headers.setter
    def headers(self, headers: WerkzeugHeaders) -> None:
        self._headers = headers

    @property
    def status_code(self) -> int:
        """The status code: 404."""
        return self._code

    @status_code.setter
    def status_code(self, code: int) -> None:
        self.status = code

    @property
    def status(self) -> str:
        """The status line without the version: "404 Not Found". An int sets it, too."""
        return self._line

    @status.setter
    def status(self, value: int | str | HTTPStatus) -> None:
        self._line, self._code = parse_status(value)

    def delete_cookie(
        self,
        key: str,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: str | None = None,
        partitioned: bool = False,
    ) -> None:
        """Let the client forget a cookie, which is the one with this path and domain."""
        self.set_cookie(key, "", 0, _EPOCH, path, domain, secure, httponly, samesite, partitioned)

    def make_conditional(
        self,
        request_or_environ: Any,
        accept_ranges: bool | str = False,
        complete_length: int | None = None,
    ) -> WerkzeugResponse:
        """Make this a 304, 412 or 206 if the request requires it (RFC 9110 section 13), and return it."""
        environ = with_valid_dates(getattr(request_or_environ, "environ", request_or_environ))
        return super().make_conditional(environ, accept_ranges, complete_length)

    def call_on_close(self, func: Callable[[], Any]) -> Callable[[], Any]:
        """Call `func` when the response has been sent, or the client has gone."""
        self._closers += (func,)
        return func

    def close(self) -> None:
        """Close the body, and call what `call_on_close` was given."""
        close_body(self.response)
        for func in self._closers:
            func()


def redirect(location: str, code: int = 302) -> Response:
    """Redirect the client: 301, 302, 303 (to GET), 307 or 308 (same method); else ValueError.

    Characters that a URL may not hold are percent-encoded.
    """
    if code not in (301, 302, 303, 307, 308):
        raise ValueError(f"{code} is not a redirect: use 301, 302, 303, 307 or 308")
    location = encode_location(location)
    shown = escape(location)
    response = Response(
        f'<!doctype html>\n<html lang="en">\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n'
        f'<p>You should be redirected automatically to <a href="{shown}">{shown}</a>.\n',
        code,
    )
    response._pairs = (type_html, ("Location", location))
    return response


def _json_value(value: Any) -> Any:
    """What JSON holds in place of a value that it has no type for."""
    if isinstance(value, (date, time)):
        return value.isoformat()
    from decimal import Decimal  # slow to import, and large

    if isinstance(value, (UUID, Decimal)):  # as text: a float would round a Decimal
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON: {value!r:.80}")


_encode_json = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_json_value
).encode


def dump_json(value: Any) -> bytes:
    """Compact UTF-8 JSON (RFC 8259); escaped to ASCII if it has lone surrogates, which UTF-8 cannot encode.

    Dates and times are in ISO 8601, UUID and Decimal are text, an Enum is its value, a dataclass an object.
    Raises TypeError or ValueError for what JSON cannot hold (NaN and infinity included).
    """
    text = _encode_json(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_json_value).encode()


class Stream:
    """A streamed body, whose iterator runs in the view's context (contextvars).

    The first part is computed at once, so that an error before it can still be answered; a later error is
    logged and aborts the body. Text is encoded as UTF-8. `close` closes the request and the items once.
    """

    def __init__(self, items: Iterable[Any], close: Callable[[], Any], request: Request, view: View) -> None:
        self._close = close
        self._request = request
        self._view = view
        self._run = copy_context().run
        self._closed = False
        try:
            self._iterator = self._run(iter, items)
            first = self._run(next, self._iterator, _end)
            self._first = first if first is _end else self._checked(first)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        item, run, iterator = self._first, self._run, self._iterator
        try:
            while item is not _end:
                yield item.encode() if type(item) is str else self._checked(item)
                item = run(next, iterator, _end)
        except Exception:
            log.exception("The body of %s broke off", source(self._view))
            raise

    def _checked(self, item: Any) -> bytes:
        if isinstance(item, str):
            return item.encode()
        if isinstance(item, bytes):
            return item
        raise TypeError(f"{source(self._view)} streams {type(item).__name__}, not str or bytes")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._request.close()
            self._run(self._close)


def parse_status(status: int | str | HTTPStatus) -> tuple[str, int]:
    """The status line without the version, and the code: 404 -> "404 Not Found", 404."""
    if isinstance(status, str):
        line = status.strip()
        code, has_phrase, _ = line.partition(" ")
        if not code.isdecimal():
            return f"0 {line}", 0
        status = int(code)
        if has_phrase:
            return line, status
    return _status_lines.get(status) or f"{int(status)} Unknown", int(status)


def header_pairs(headers: Any) -> Pairs:
    """The names and values of a mapping or an iterable of pairs, repeated names included."""
    if type(headers) is dict or type(headers) is list:
        pairs = [*headers.items()] if type(headers) is dict else [*headers]
        for _, value in pairs:
            if type(value) is not str:
                break
        else:
            return pairs
    return WerkzeugHeaders(headers).to_wsgi_list()


def _has_type(pairs: Pairs) -> bool:
    for name, _ in pairs:  # noqa: SIM110 - a generator costs three times as much
        if name.lower() == "content-type":
            return True
    return False


def encode_location(location: str) -> str:
    """Percent-encode what a URL may not hold, and the host of an IRI as IDNA."""
    if _plain_location.fullmatch(location):
        return location
    location = _not_in_location.sub(lambda match: quote(match[0], errors="replace"), location)
    try:
        return iri_to_uri(location)
    except ValueError:  # not a host
        return quote(location, safe="!#$%&'()*+,/:;=?@[]~")


def sendable(pairs: Iterable[tuple[str, str]], code: int, length: int | None) -> Pairs:
    """The headers to send with a body of this length (None: unknown).

    Left out are those of the connection, a wrong length, and those of the content where there is none.
    Raises ValueError for what HTTP cannot carry (RFC 9110 5.1, 5.5).
    """
    headers: Pairs = []
    wrong = None if length is None else "content-length"
    has_content = code not in _without_content
    for pair in pairs:
        if pair is type_html and has_content:
            headers.append(pair)
            continue
        name, value = pair
        try:
            special = _special_names[name]
        except KeyError:
            special = _special_name(name)
        if special:
            if special in _locations:
                pair = name, value = name, encode_location(value)
            elif special not in _of_content or special == wrong or not has_content:
                continue
        if not ((value.isascii() and value.isprintable()) or is_field_value(value)):
            bad = next(character for character in value if not is_field_value(character))
            raise ValueError(f"the header {name} holds {bad!a}, which cannot be sent: {value!a:.200}")
        headers.append(pair)
    if length is not None and has_content:
        headers.append(("Content-Length", str(length)))
    return headers


def _special_name(name: str) -> str:
    """The name in lower case if such a header needs care, else ""; ValueError if it is not a name."""
    if not is_token(name):
        raise ValueError(f"not a header name (RFC 9110 5.1): {name!a}")
    lower = name.lower()
    special = lower if lower in _need_care else ""
    if len(_special_names) < _MAX_NAMES:
        _special_names[name] = special
    return special


def answer(result: Any, request: Request, view: View, status: int | str = 200) -> Answer:
    """Convert a view's result to a WSGI status, header list and body; `status` is used unless it has one.

    The header list is new for each response, because servers and middleware may change it.
    """
    kind = type(result)
    if kind is GeneratorType and status == 200:
        return "200 OK", [type_html], Stream(result, result.close, request, view)
    given: Any = None
    body = result
    if kind is tuple:
        body, status, given = _unpack(result, view)
    if isinstance(body, str):
        content, content_type = body.encode(), type_html
    elif isinstance(body, (dict, list)):
        content, content_type = dump_json(body), type_json
    elif isinstance(body, bytes):
        content, content_type = bytes(body), _type_bytes
    else:
        response = Response(body) if isinstance(body, Iterator) else body
        if not isinstance(response, WerkzeugResponse):
            raise _wrong_result(body, view)
        if response is not result:
            response.status = status
            if given:
                _replace_headers(response.headers, header_pairs(given))
        return answer_response(response, request, view)
    line, code = parse_status(status)
    if not given and code not in _without_content:
        return _checked(line), [content_type, ("Content-Length", str(len(content)))], [content]
    pairs = header_pairs(given) if given else []
    if not _has_type(pairs):
        pairs = [content_type, *pairs]
    return _answer_content(line, code, pairs, [content])


def _unpack(result: tuple[Any, ...], view: View) -> tuple[Any, int | str, Any]:
    if len(result) in (2, 3) and isinstance(result[1], (int, str)) and not isinstance(result[0], tuple):
        return result[0], result[1], result[2] if len(result) == 3 else None
    raise _wrong_result(result, view)


def _wrong_result(result: Any, view: View) -> TypeError:
    return TypeError(
        f"{source(view)} returned {result!r:.80}; a view returns str, bytes, dict, list, Response, "
        "an iterator, (body, status) or (body, status, headers)"
    )


def _replace_headers(headers: WerkzeugHeaders, pairs: Pairs) -> None:
    for name, _ in pairs:
        headers.remove(name)
    for name, value in pairs:
        headers.add(name, value)


def answer_response(response: WerkzeugResponse, request: Request, view: View) -> Answer:
    if type(response) is not Response:  # a subclass may override anything
        content, line, pairs = response.get_wsgi_response(request.environ)
        if not (response.is_sequence or response.direct_passthrough):
            content = Stream(content, partial(close_body, content), request, view)
        if response.status_code in _without_content:
            response.close()
        return _checked(line), sendable(pairs, response.status_code, None), content
    headers: Iterable[tuple[str, str]] | None = response._headers
    if headers is None:
        headers = response._pairs
    line, code = response._line, response._code
    body: Any = response.response
    if headers is _html_only and line in _plain_lines and type(body) is list and len(body) == 1:
        (content,) = body
        if type(content) is bytes and not response._closers:
            return line, [type_html, ("Content-Length", str(len(content)))], [content]
    if isinstance(body, (list, tuple)):
        line, sent, content = _answer_content(line, code, headers, body)
        return line, sent, ClosingIterator(content, response.close) if response._closers else content
    if code in _without_content:
        response.close()
        return _checked(line), sendable(headers, code, None), []
    if type(body) is Stream:  # from the view, before `after` hooks
        content = ClosingIterator(body, response.close) if response._closers else body
    else:
        content = body if response.direct_passthrough else Stream(body, response.close, request, view)
    return _checked(line), sendable(headers, code, None), content


def _answer_content(line: str, code: int, pairs: Iterable[tuple[str, str]], body: Sequence[Any]) -> Answer:
    if len(body) == 1 and type(body[0]) is bytes:
        content, length = [body[0]], len(body[0])
    else:
        content = [part.encode() if isinstance(part, str) else part for part in body]
        length = sum(map(len, content))
    headers = sendable(pairs, code, length)
    return _checked(line), headers, [] if code in _without_content else content


def _checked(line: str) -> str:
    if line not in _known_lines and not _status_pattern.fullmatch(line):
        raise ValueError(f"not a status that can be sent: {line!a}")
    return line


def close_body(body: Any) -> None:
    """Close a body that has `close`, as PEP 3333 asks of what takes the place of a server."""
    close = getattr(body, "close", None)
    if close is not None:
        close()
