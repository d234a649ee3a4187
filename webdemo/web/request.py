"""A lazy version of Werkzeug's Request: attributes that a view does not read cost nothing.

Each attribute means what it means on `werkzeug.wrappers.Request`, but is computed on first access.
Where Werkzeug's attributes raise other errors for bad input (a query that is not UTF-8, a Host that is
not IDNA), these answer 400 or are empty. The request does not store itself in the environ.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from werkzeug.datastructures import EnvironHeaders, Headers, ImmutableMultiDict, MultiDict
from werkzeug.exceptions import BadRequest, ClientDisconnected
from werkzeug.formparser import FormDataParser
from werkzeug.wrappers import Request as WerkzeugRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

T = TypeVar("T")

_short_form_bytes = 64 * 1024


class _Lazy:
    """A non-data descriptor that stores the computed value on the instance, which then shadows it."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, request: object | None, owner: type) -> Any:
        if request is None:
            return self
        value = self._compute(request)
        setattr(request, self._name, value)
        return value


def _lazy(compute: Callable[[Any], T]) -> T:
    """Turn a method into an attribute that is computed on first access and cached."""
    return cast(T, _Lazy(compute))


class _Json:
    """The `json_module` of Werkzeug's Request; JSON nested too deep is a ValueError, as other bad JSON is."""

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(data: str | bytes, **options: Any) -> Any:
        try:
            return json.loads(data, **options)
        except RecursionError as exc:
            raise ValueError("JSON is nested too deep") from exc


class Request(WerkzeugRequest):
    """The request passed to a view.

    A body over `max_content_length` bytes or a form of more than `max_form_parts` parts is answered
    with 413. Set the limits on a subclass, or on the request before its body is read.
    """

    max_content_length = 16 * 1024 * 1024
    max_form_parts = 1000
    json_module: Any = _Json
    shallow = False
    uploads: Sequence[IO[bytes]] = ()  # may be temporary files, so the code that made the request closes it

    def __init__(
        self, environ: WSGIEnvironment, populate_request: bool = False, shallow: bool = False
    ) -> None:
        self.environ = environ
        if shallow:
            self.shallow = True

    @_lazy
    def method(self) -> str:
        return str(self.environ.get("REQUEST_METHOD", "GET")).upper()

    @_lazy
    def scheme(self) -> str:
        return str(self.environ.get("wsgi.url_scheme", "http"))

    @_lazy
    def server(self) -> tuple[str, int | None] | None:
        name = self.environ.get("SERVER_NAME")
        if name is None:
            return None
        try:
            return name, int(self.environ["SERVER_PORT"])
        except (KeyError, TypeError, ValueError):  # a Unix socket has no port
            return name, None

    @_lazy
    def root_path(self) -> str:
        return decode_path(self.environ.get("SCRIPT_NAME") or "").rstrip("/")

    @_lazy
    def path(self) -> str:
        return "/" + decode_path(self.environ.get("PATH_INFO") or "").lstrip("/")

    @_lazy
    def query_string(self) -> bytes:
        return str(self.environ.get("QUERY_STRING", "")).encode("latin-1")

    @_lazy
    def headers(self) -> Headers:
        return EnvironHeaders(self.environ)

    @_lazy
    def remote_addr(self) -> str | None:
        return self.environ.get("REMOTE_ADDR")

    @_lazy
    def host(self) -> str:
        host = super().host
        try:  # decoded here, because how Werkzeug handles the error depends on the Python version
            host.partition(":")[0].lower().encode("ascii").decode("idna")
        except UnicodeError:  # not IDNA: no host, as for any other invalid Host
            return ""
        return host

    @_lazy
    def full_path(self) -> str:
        return f"{self.path}?{self.query_string.decode(errors='replace')}"

    @_lazy
    def args(self) -> MultiDict[str, str]:
        pairs = _plain_pairs(self.environ.get("QUERY_STRING", ""))
        if pairs is not None:
            return self.parameter_storage_class(pairs)
        try:
            return super().args
        except UnicodeDecodeError:
            raise BadRequest("The query is not UTF-8.") from None

    @_lazy
    def cookies(self) -> ImmutableMultiDict[str, str]:
        cookies = self.environ.get("HTTP_COOKIE", "").replace("; ", ";")
        if " " in cookies or '"' in cookies or "\t" in cookies:
            return super().cookies
        pairs = []
        for cookie in cookies.split(";"):
            name, _, value = cookie.partition("=")
            if name:
                pairs.append((name, value))
        return cast("ImmutableMultiDict[str, str]", self.dict_storage_class(pairs))

    @_lazy
    def form(self) -> ImmutableMultiDict[str, str]:
        environ = self.environ
        digits = environ.get("CONTENT_LENGTH", "")
        length = int(digits) if digits.isdecimal() else 0
        if (
            environ.get("CONTENT_TYPE") != "application/x-www-form-urlencoded"
            or not 0 < length <= _short_form_bytes
            or (self.max_content_length is not None and length > self.max_content_length)
            or "wsgi.input_terminated" in environ
            or "HTTP_TRANSFER_ENCODING" in environ
            or "stream" in self.__dict__  # reading has begun
            or "_cached_data" in self.__dict__
            or self.shallow
        ):
            return super().form
        body = _read_exactly(environ["wsgi.input"], length)
        pairs = _plain_pairs(body.decode("latin-1"))
        if pairs is None:
            self.stream = BytesIO(body)
            return super().form
        self.stream = BytesIO()
        self.files = ImmutableMultiDict()
        return cast("ImmutableMultiDict[str, str]", self.parameter_storage_class(pairs))

    def make_form_data_parser(self) -> FormDataParser:
        parser = super().make_form_data_parser()
        make_stream, uploads = parser.stream_factory, list[IO[bytes]]()

        def make_and_keep(*args: Any, **named: Any) -> IO[bytes]:
            uploads.append(make_stream(*args, **named))
            return uploads[-1]

        parser.stream_factory = make_and_keep
        self.uploads = uploads
        return parser

    def close(self) -> None:
        """Close the uploaded files."""
        for upload in self.uploads:
            upload.close()


def decode_path(text: str) -> str:
    """Decode a WSGI path, whose Latin-1 characters are UTF-8 bytes (PEP 3333)."""
    return text if text.isascii() else text.encode("latin-1").decode(errors="replace")


def _plain_pairs(text: str) -> list[tuple[str, Any]] | None:
    """The pairs of a query or form, or None if any part of it is percent-encoded, "+" or not ASCII."""
    if "%" in text or "+" in text or not text.isascii():
        return None
    pairs = []
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            pairs.append((name, value))
    return pairs


def _read_exactly(stream: IO[bytes], length: int) -> bytes:
    """Read a body of known length. Raises ClientDisconnected if it ends early."""
    body = b""
    while len(body) < length:
        try:
            chunk = stream.read(length - len(body))
        except (OSError, ValueError):
            raise ClientDisconnected() from None
        if not chunk:
            raise ClientDisconnected()
        body += chunk
    return body
