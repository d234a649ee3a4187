"""Protection against cross-origin requests (CSRF) by what browsers say of them, without tokens.

The rules are those of Go's net/http.CrossOriginProtection: Sec-Fetch-Site decides where it is sent, otherwise
Origin must name the request's host. A request with neither is not a browser's, and is let through.
"""

from __future__ import annotations

from collections.abc import Iterable

from werkzeug.exceptions import Forbidden

from webdemo.errors import UsageError
from webdemo.web.request import Request
from webdemo.web.visitor import is_from_this_site, split_host

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = (("http", 80), ("https", 443))


class CrossOriginProtection:
    """A hook for `app.before` that answers requests of other sites' pages with 403.

    Safe methods are let through, and pages of the `trusted` origins, such as "https://admin.example.com".
    Raises UsageError for what is no origin, such as a URL with a path.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self.trusted = frozenset(trusted)
        for origin in self.trusted:
            if not _is_sent(origin):
                raise UsageError(
                    f"{origin!r} is not an origin, which browsers send.",
                    remedy="Write scheme and host in lower case, without path and default port: https://admin.example.com",
                )

    def __call__(self, request: Request) -> None:
        environ = request.environ
        if request.method in _SAFE_METHODS or is_from_this_site(environ, or_user=True):
            return
        if environ.get("HTTP_ORIGIN") not in self.trusted:
            raise Forbidden("The request comes from a page of another site.")


def _is_sent(origin: str) -> bool:
    """Whether it is written as browsers write an origin (RFC 6454 section 6.2)."""
    scheme, _, authority = origin.partition("://")
    host, port = split_host(authority)
    if not scheme or host is None or host.startswith(".") or ".." in host or origin != origin.lower():
        return False
    return (scheme, port) not in _DEFAULT_PORTS and (port is None or authority.endswith(f":{port}"))
