"""A lazy version of Werkzeug's Request: attributes that a view does not read cost nothing.

Each attribute means what it means on `werkzeug.wrappers.Request`, but is computed on first access.
Where Werkzeug's attributes raise other errors for bad input (a query that is not UTF-8, a Host that is
not IDNA), these answer 400 or are empty. The request does not store itself in the environ.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_qp
from collections.abc import Callable, Sequence
from io import BytesIO
from math import isinf
from threading import Event
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar, cast

from werkzeug.datastructures import (
    Authorization,
    EnvironHeaders,
    Headers,
    IfRange,
    ImmutableMultiDict,
    MIMEAccept,
    MultiDict,
)
from werkzeug.exceptions import BadRequest, ClientDisconnected
from werkzeug.formparser import FormDataParser, default_stream_factory
from werkzeug.http import parse_accept_header, parse_date, parse_if_range_header
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wsgi import get_host

from webdemo.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from _typeshed.wsgi import WSGIEnvironment

T = TypeVar("T")

_may_be_dates = "HTTP_DATE", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE"
_no_fields: ImmutableMultiDict[str, Any] = ImmutableMultiDict()
_never = Event()
_long_space = re.compile(r"[ \t]{16,}")
_small_bytes = 64 * 1024
_form_types = ("application/x-www-form-urlencoded", "multipart/form-data")
_quoted_cookie = re.compile(r'([^ \t="]*)="([^"\\]*)"')
_well_encoded = re.compile("[^%]*(?:%[0-9A-Fa-f]{2}[^%]*)*")
_plain_boundary = re.compile("multipart/form-data; boundary=([A-Za-z0-9_-]+)")
# Not punycode (xn--), nor a port that the URL leaves out.
_label = "(?![a-z0-9-]{64})[a-z0-9]+(?:-[a-z0-9]+)*"
_plain_host = re.compile(rf"(?!.*xn--){_label}(?:\.{_label})*(?::(?!80$|443$)[1-9][0-9]{{1,3}})?")
_plain_target = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?(?:\?[A-Za-z0-9._~/=&-]+)?")


def _normal_host(host: str) -> str:
    """In lower case, without the dot of the root in front of a port or the end."""
    name, colon, port = host.lower().partition(":")
    return f"{name.removesuffix('.')}{colon}{port}"


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


def lazy(compute: Callable[[Any], T]) -> T:
    """Turn a method into an attribute that is computed on first access and cached."""
    return cast(T, _Lazy(compute))


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"{text} is out of range")
    return number


_decode_json = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode


class _Json:
    """The `json_module` of Werkzeug's Request: RFC 8259, so NaN, infinity and 1e999 are errors.

    JSON that is nested too deep is a ValueError, as other bad JSON is.
    """

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(data: str | bytes, **options: Any) -> Any:
        if isinstance(data, bytes):
            is_utf8 = data[:1] == b"{" and data[1:2] != b"\0"
            data = data.decode("utf-8" if is_utf8 else json.detect_encoding(data), "surrogatepass")
        try:
            return _decode_json(data)
        except RecursionError as exc:
            raise ValueError("JSON is nested too deep") from exc


class Flag(Protocol):
    """What a server sets when it begins to drain."""

    def is_set(self) -> bool:
        """Whether the server process drains."""

    def wait(self, timeout: float | None = None, /) -> bool:
        """Block until it drains, or these seconds have passed; returns whether it drains."""


class Session(dict[str, Any]):
    """The values kept for a client: whatever JSON holds. `clear` ends the session."""


class Request(WerkzeugRequest):
    """The request passed to a view.

    Answered with 413: a body over `max_content_length` bytes (16 MiB), and a multipart form of more than
    `max_form_parts` parts (1,000) or with a text field over `max_form_memory_size` bytes (500,000). Set the
    limits on a subclass, or on the request before its body is read.
    """

    max_content_length = 16 * 1024 * 1024
    max_form_parts = 1000
    json_module: Any = _Json
    shallow = False
    open_session: Callable[[Request], Session] | None = None  # set by an app with a secret key
    uploads: Sequence[IO[bytes]] = ()  # may be temporary files, so the code that made the request closes it

    def __init__(
        self, environ: WSGIEnvironment, populate_request: bool = False, shallow: bool = False
    ) -> None:
        self.environ = environ
        if shallow:
            self.shallow = True

    @lazy
    def accept_mimetypes(self) -> MIMEAccept:
        """The media types that the client accepts."""
        return parse_accept(self.environ.get("HTTP_ACCEPT", ""))

    @lazy
    def authorization(self) -> Authorization | None:
        """The credentials of the Authorization header; None if there are none, or they are malformed."""
        try:
            return Authorization.from_header(self.environ.get("HTTP_AUTHORIZATION"))
        except ValueError:  # Basic, with characters that are not ASCII
            return None

    @lazy
    def date(self) -> datetime | None:
        """When the client sent the request; None if it does not say."""
        return parse_date(with_valid_dates(self.environ).get("HTTP_DATE"))

    @lazy
    def if_modified_since(self) -> datetime | None:
        """The date of If-Modified-Since; None if there is none."""
        return parse_date(with_valid_dates(self.environ).get("HTTP_IF_MODIFIED_SINCE"))

    @lazy
    def if_unmodified_since(self) -> datetime | None:
        """The date of If-Unmodified-Since; None if there is none."""
        return parse_date(with_valid_dates(self.environ).get("HTTP_IF_UNMODIFIED_SINCE"))

    @lazy
    def if_range(self) -> IfRange:
        """The date or the entity tag of If-Range."""
        return parse_if_range_header(with_valid_dates(self.environ).get("HTTP_IF_RANGE"))

    @lazy
    def session(self) -> Session:
        """A dict of what is kept for the client between requests, in a signed cookie.

        Raises UsageError for an app without a secret key.
        """
        if self.open_session is None:
            raise UsageError(
                "The session of a request needs the app's secret key.",
                remedy="Name it: App(secret_key=...), or WEBDEMO_SECRET_KEY in the environment.",
            )
        return self.open_session(self)

    @lazy
    def draining(self) -> Flag:
        """Whether the server drains, for streams without an end; never set on a server that does not tell."""
        flag: Flag = self.environ.get("webdemo.draining", _never)
        return flag

    @lazy
    def method(self) -> str:
        """The request method in upper case: "GET"."""
        return str(self.environ.get("REQUEST_METHOD", "GET")).upper()

    @lazy
    def scheme(self) -> str:
        """The scheme of the URL: http or https."""
        return str(self.environ.get("wsgi.url_scheme", "http"))

    @lazy
    def server(self) -> tuple[str, int | None] | None:
        """The address on which the server listens: host and port, or the path of a Unix socket and None."""
        name = self.environ.get("SERVER_NAME")
        if name is None:
            return None
        try:
            return name, int(self.environ["SERVER_PORT"])
        except (KeyError, TypeError, ValueError):  # a Unix socket has no port
            return name, None

    @lazy
    def root_path(self) -> str:
        """The decoded prefix at which the app is mounted, without a slash at its end."""
        return decode_path(self.environ.get("SCRIPT_NAME") or "").rstrip("/")

    @lazy
    def path(self) -> str:
        """The decoded path within the app, which begins with a slash."""
        return "/" + decode_path(self.environ.get("PATH_INFO") or "").lstrip("/")

    @lazy
    def query_string(self) -> bytes:
        """The query, undecoded and without the question mark."""
        return str(self.environ.get("QUERY_STRING", "")).encode("latin-1")

    @lazy
    def headers(self) -> Headers:
        """The request headers, whose names ignore case."""
        return EnvironHeaders(self.environ)

    @lazy
    def remote_addr(self) -> str | None:
        """The client's address, as the server or a trusted proxy reports it."""
        return self.environ.get("REMOTE_ADDR")

    @lazy
    def mimetype(self) -> str:
        """The media type of the body in lower case, without parameters: "application/json"."""
        return str(self.environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()

    @lazy
    def content_length(self) -> int | None:
        """The length of the body in bytes; None if it is not known."""
        digits = self.environ.get("CONTENT_LENGTH", "")
        if digits.isdecimal() and digits.isascii() and "HTTP_TRANSFER_ENCODING" not in self.environ:
            return int(digits)
        return super().content_length

    @lazy
    def mimetype_params(self) -> dict[str, str]:
        """The parameters of the media type, such as charset or boundary."""
        plain = _plain_boundary.fullmatch(self.environ.get("CONTENT_TYPE", ""))
        return {"boundary": plain[1]} if plain else super().mimetype_params

    @lazy
    def host(self) -> str:
        """Host and port as the client wrote them, without a default port; empty if invalid.

        Raises SecurityError, a 400, unless it is one of `trusted_hosts`, if the class has any; upper case and
        the root's dot make no difference (RFC 9110 section 4.2.3, RFC 3986 section 3.2.2).
        """
        given = self.environ.get("HTTP_HOST", "")
        if self.trusted_hosts is None and _plain_host.fullmatch(given):
            return str(given)
        host = get_host(self.environ)
        if self.trusted_hosts is not None:  # what an empty list means is for Werkzeug to say
            trusted = cast("str | list[str]", self.trusted_hosts)
            names = [_normal_host(name) for name in ([trusted] if isinstance(trusted, str) else trusted)]
            get_host(self.environ | ({"HTTP_HOST": _normal_host(given)} if given else {}), names)
        try:  # decoded here, because how Werkzeug handles the error depends on the Python version
            host.partition(":")[0].lower().encode("ascii").decode("idna")
        except UnicodeError:  # not IDNA: no host, as for any other invalid Host
            return ""
        return host

    @lazy
    def url(self) -> str:
        """The whole URL as an IRI, the query included."""
        environ = self.environ
        query = environ.get("QUERY_STRING", "")
        path = environ.get("PATH_INFO", "")
        target = f"{environ.get('SCRIPT_NAME', '')}{path}{query and '?'}{query}"
        if path[:1] == "/" and _plain_target.fullmatch(target) and _plain_host.fullmatch(self.host):
            return f"{self.scheme}://{self.host}{target}"
        return super().url

    @lazy
    def full_path(self) -> str:
        """The decoded path and the query, with a question mark even if it is empty."""
        return f"{self.path}?{self.query_string.decode(errors='replace')}"

    @lazy
    def args(self) -> MultiDict[str, str]:
        """The decoded query. `args["x"]` answers 400 if there is none; `args.get("n", type=int)` converts."""
        fields = _decode_fields(self.environ.get("QUERY_STRING", ""))
        if fields is not None:
            return _multi_dict(self.parameter_storage_class, fields)
        try:
            return super().args
        except UnicodeDecodeError:
            raise BadRequest("The query is not UTF-8.") from None

    @lazy
    def cookies(self) -> ImmutableMultiDict[str, str]:
        """The cookies that the client sent."""
        fields: dict[str, list[str]] = {}
        for cookie in self.environ.get("HTTP_COOKIE", "").split(";"):
            cookie = cookie.strip(" \t")
            name, _, value = cookie.partition("=")
            if '"' in cookie or " " in cookie or "\t" in cookie:
                quoted = _quoted_cookie.fullmatch(cookie)
                if quoted is None:
                    return super().cookies
                name, value = quoted.groups()
            if name in fields:
                fields[name].append(value)
            elif name:
                fields[name] = [value]
        return cast("ImmutableMultiDict[str, str]", _multi_dict(self.dict_storage_class, fields))

    @lazy
    def form(self) -> ImmutableMultiDict[str, str]:
        """The text fields of a form body, urlencoded or multipart; the uploads are in `files`."""
        mimetype = self.mimetype
        body = self._read_small() if mimetype in _form_types else None
        if body is None:
            return super().form
        fields = None if mimetype == "multipart/form-data" else _decode_fields(body.decode("latin-1"))
        if fields is None:
            self.stream = BytesIO(body)
            return super().form
        self.stream = BytesIO()
        self.files = _no_fields
        return cast("ImmutableMultiDict[str, str]", _multi_dict(self.parameter_storage_class, fields))

    @lazy
    def data(self) -> bytes:
        """The body in bytes; empty if it is a form."""
        if self.mimetype in _form_types or not self.want_form_data_parsed or "_cached_data" in self.__dict__:
            return cast(bytes, self.get_data(parse_form_data=True))
        self.form = self.files = cast(Any, _no_fields)  # as the form parser would find
        return cast(bytes, self.get_data())

    def get_data(self, cache: bool = True, as_text: Any = False, parse_form_data: bool = False) -> Any:
        """The body in bytes, or as text; kept for a second call unless `cache` is false."""
        body = self._read_small()
        if body is not None:
            if cache and not as_text and not parse_form_data:
                self._cached_data = body
                self.stream = BytesIO()
                return body
            self.stream = BytesIO(body)
        return super().get_data(cache, as_text, parse_form_data)

    def _read_small(self) -> bytes | None:
        """The body, if it is small, its length is known and it is unread; the caller sets `stream` again."""
        environ = self.environ
        digits = environ.get("CONTENT_LENGTH", "")
        length = int(digits) if digits.isdecimal() else 0
        if (
            not 0 < length <= _small_bytes
            or (self.max_content_length is not None and length > self.max_content_length)
            or "wsgi.input_terminated" in environ
            or "HTTP_TRANSFER_ENCODING" in environ
            or "stream" in self.__dict__  # reading has begun
            or self.shallow
        ):
            return None
        return _read_exactly(environ["wsgi.input"], length)

    def make_form_data_parser(self) -> FormDataParser:
        """The parser of forms; `close` closes the files that it opens for uploads, unless they are small."""
        from webdemo.web.forms import FormParser  # here, so that only a form imports a parser

        uploads: list[IO[bytes]] = []

        def open_upload(total_content_length: int | None, *args: Any, **named: Any) -> IO[bytes]:
            if total_content_length is not None and total_content_length <= _small_bytes:
                return BytesIO()
            uploads.append(default_stream_factory(total_content_length, *args, **named))
            return uploads[-1]

        self.uploads = uploads
        return FormParser(
            open_upload,
            self.max_form_memory_size,
            self.max_content_length,
            self.parameter_storage_class,
            max_form_parts=self.max_form_parts,
        )

    def close(self) -> None:
        """Close the uploaded files."""
        for upload in self.uploads:
            upload.close()


def with_valid_dates(environ: WSGIEnvironment) -> WSGIEnvironment:
    """An environ for Werkzeug's reading of dates, which raises for a year or an offset of too many digits.

    Such a value becomes what is neither a date nor an entity tag, and thus ignored (RFC 9110 section 13.1.3).
    """
    return environ | {key: "no date" for key in _may_be_dates if _overflows(environ.get(key))}


def _overflows(text: str | None) -> bool:
    try:
        parse_date(text)
    except OverflowError:
        return True
    return False


def decode_path(text: str) -> str:
    """Decode a WSGI path, whose Latin-1 characters are UTF-8 bytes (PEP 3333)."""
    return text if text.isascii() else text.encode("latin-1").decode(errors="replace")


def _decode_fields(text: str) -> dict[str, list[str]] | None:
    """The values of a query or form by name; None if it is not ASCII, or not percent-encoded UTF-8."""
    if not text.isascii() or ("%" in text and not _well_encoded.fullmatch(text)):
        return None
    fields: dict[str, list[str]] = {}
    try:
        for pair in text.replace("+", " ").split("&"):
            if pair:
                name, _, value = pair.partition("=")
                if "%" in pair:
                    name = _unquote(name) if "%" in name else name
                    value = _unquote(value) if "%" in value else value
                if name in fields:
                    fields[name].append(value)
                else:
                    fields[name] = [value]
    except UnicodeDecodeError:
        return None
    return fields


def _unquote(text: str) -> str:
    """Decode well-formed percent-encoding in C: quoted-printable (RFC 2045) is the same with another mark."""
    return a2b_qp(text.replace("=", "%3D").replace("%", "=")).decode()


def _multi_dict(kind: type[MultiDict[str, Any]], fields: dict[str, list[str]]) -> MultiDict[str, Any]:
    """A MultiDict, which is a dict of lists, made without its general and slower constructor."""
    if kind is not ImmutableMultiDict:
        return kind(fields)
    made = kind.__new__(kind)
    dict.update(made, fields)
    return made


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


def parse_accept(text: str) -> MIMEAccept:
    """The media types of an Accept header, whose long runs of spaces would make a match quadratic."""
    return parse_accept_header(_long_space.sub(" ", text), MIMEAccept)
