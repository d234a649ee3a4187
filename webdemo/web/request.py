"""Werkzeug's Request, made lazily: what a view does not read costs nothing.

Each attribute means what it means on `werkzeug.wrappers.Request`; only the moment when it is
computed differs. One more difference is wanted: the request does not store itself in the environ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from werkzeug.datastructures import EnvironHeaders, Headers
from werkzeug.wrappers import Request as WerkzeugRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

T = TypeVar("T")


class _Lazy:
    """A descriptor that gives way to the value it computed."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, request: object | None, owner: type) -> Any:
        if request is None:
            return self
        value = request.__dict__[self._name] = self._compute(request)
        return value


def _lazy(compute: Callable[[Any], T]) -> T:
    """Make a method an attribute that is computed at its first reading and is plain from then on."""
    return cast(T, _Lazy(compute))


class Request(WerkzeugRequest):
    """The request as a view sees it.

    Bodies over `max_content_length` bytes and forms of more than `max_form_parts` parts are
    answered with 413. Set them on a subclass, or on the request before its body is read.
    """

    max_content_length = 16 * 1024 * 1024
    max_form_parts = 1000
    shallow = False

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


def decode_path(text: str) -> str:
    """The text that a WSGI path stands for: its Latin-1 characters are UTF-8 bytes (PEP 3333)."""
    return text if text.isascii() else text.encode("latin-1").decode(errors="replace")
