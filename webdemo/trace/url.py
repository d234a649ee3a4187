"""Parses a URL: scheme, host and port, and where the port comes from.

The rule: a URL has exactly one meaning, or is refused, with the right form as the remedy. Whatever browsers,
resolvers and people read differently (user names, 0x7f.1, backslashes) is refused, so that nothing hides
where the URL leads.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn
from urllib.parse import SplitResult, quote, quote_from_bytes, unquote_to_bytes, urljoin, urlsplit

from webdemo.errors import BindTextError, UrlRefused
from webdemo.net.bind import LONGEST_SOCKET_PATH
from webdemo.net.bindtext import authority, is_ipv6, read_port, shown
from webdemo.trace.facts import UrlFacts

DEFAULT_PORTS = {"http": 80, "https": 443, "smtp": 25, "ftp": 21}
HTTP = ("http", "https", "unix")
LONGEST_URL = 8000
"""Characters; RFC 9110, section 4.1, recommends supporting at least this many octets."""

_FORM = "http://127.0.0.1:8000/"
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_NUMBER = re.compile(r"(0[xX][0-9A-Fa-f]*|[0-9]+)\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
# The characters of a path and a query (RFC 3986), and the percent sign, because escapes are kept.
_PATH = "/:@!$&'()*+,;=-._~%"
_QUERY = f"{_PATH}?"


class Url(NamedTuple):
    """A parsed URL and its normalized text."""

    text: str
    facts: UrlFacts

    @property
    def host_header(self) -> str:
        """The Host header (RFC 9110, section 7.2); localhost for a Unix socket, which has no name."""
        facts = self.facts
        if facts.socket_path is not None:
            return "localhost"
        return authority(facts.host, None if facts.port == DEFAULT_PORTS[facts.scheme] else facts.port)

    def with_scheme(self, scheme: str) -> str:
        """The URL with another scheme, for a remedy."""
        where = authority(self.facts.host, self.facts.port)
        return f"{scheme}://{where}{self.facts.request_target or '/'}"


def parse_url(text: str) -> Url:
    """Parse a URL; raises UrlRefused, with the right form as its remedy.

    A Unix socket is written as `unix:/run/site.sock`, or as `unix:/run/site.sock:/path` with a path.
    """
    if len(text) > LONGEST_URL:
        _refuse(f"The URL is {len(text)} characters long; the limit is {LONGEST_URL}.", "a shorter one")
    if not text:
        _refuse("The URL is empty.", _FORM)
    if not text.isprintable() or any(map(str.isspace, text)):
        _refuse(
            f"A URL contains no spaces or control characters: “{shown(text)}”.", "%20 for a space in a path"
        )
    if "\\" in text:
        _refuse(f"A URL contains no backslashes: “{shown(text)}”.", shown(text.replace("\\", "/")))
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme == "unix":
        return _parse_unix(rest)
    if not colon or scheme not in DEFAULT_PORTS or not rest.startswith("//"):
        _refuse_form(text, scheme, rest)
    try:
        parts = urlsplit(text)
    except ValueError:  # unbalanced brackets, or characters that change under NFKC normalization
        _refuse(f"“{shown(text)}” has no valid host.", "http://[::1]:8000/ for IPv6")
    host, port = _read_authority(
        parts.netloc, scheme, lambda where: f"{scheme}://{where}{shown(parts.path) or '/'}"
    )
    request_target = _escape(parts) if scheme in HTTP else ""
    facts = UrlFacts(
        scheme=scheme,
        host=host,
        port=DEFAULT_PORTS[scheme] if port is None else port,
        port_given=port is not None,
        socket_path=None,
        request_target=request_target,
        fragment=parts.fragment,
    )
    return Url(f"{scheme}://{authority(host, port)}{request_target}", facts)


def redirected(url: Url, location: str) -> Url:
    """Resolve a Location header against `url` (RFC 9110, section 10.2.2). Raises UrlRefused.

    On a Unix socket, a path or a URL of http://localhost/ stays on the socket.
    """
    socket_path = url.facts.socket_path
    base = url.text if socket_path is None else f"http://localhost{url.facts.request_target}"
    cleaned = location.strip().replace(" ", "%20")  # spaces are not allowed, but often sent
    try:
        target = urljoin(base, cleaned)
    except ValueError:
        _refuse(
            f"The server redirects to “{shown(location)}”, which is not a URL.", "a URL, in the server's app"
        )
    if not target.lower().startswith(("http:", "https:")):
        _refuse(f"The server redirects to “{shown(location)}”, which is not HTTP.", "http:// or https://")
    found = parse_url(target)
    if socket_path is not None and found.text.startswith("http://localhost/"):
        return _on_socket(socket_path, found.facts.request_target)
    return found


def _parse_unix(rest: str) -> Url:
    path, colon, target = rest.partition(":/")
    if not re.match(r"/(//)?[^/]", path):
        _refuse(f"“unix:{shown(rest)}” has no absolute path.", "unix:/run/site.sock")
    raw = unquote_to_bytes("/" + path.lstrip("/"))
    if any(byte < 32 or byte == 127 for byte in raw):
        _refuse(f"The path “{shown(path)}” contains control characters.", "unix:/run/site.sock")
    if len(raw) > LONGEST_SOCKET_PATH:
        _refuse(
            f"The path of the Unix socket is {len(raw)} bytes long; the limit is {LONGEST_SOCKET_PATH}.",
            "a shorter path",
        )
    parts = urlsplit(f"http://localhost/{target}" if colon else "http://localhost/")
    return _on_socket(os.fsdecode(raw), _escape(parts), parts.fragment)


def _on_socket(path: str, request_target: str, fragment: str = "") -> Url:
    facts = UrlFacts("unix", "", None, False, path, request_target, fragment)
    text = f"unix:{quote_from_bytes(os.fsencode(path))}"
    return Url(text if request_target == "/" else f"{text}:{request_target}", facts)


def _escape(parts: SplitResult) -> str:
    """The request target (RFC 9112 section 3.2.1), with everything escaped that must be."""
    query = f"?{quote(parts.query, safe=_QUERY)}" if parts.query else ""
    return quote(parts.path or "/", safe=_PATH) + query


def _refuse_form(text: str, scheme: str, rest: str) -> NoReturn:
    """Refuse a text that does not begin with a known scheme and two slashes."""
    if scheme == "http+unix":
        path = os.fsdecode(unquote_to_bytes(rest.removeprefix("//").partition("/")[0]))
        _refuse("The scheme of a Unix socket is unix, without http.", f"unix:{shown(path)}")
    if scheme in DEFAULT_PORTS:
        where = rest.lstrip("/")
        where = f"localhost:{where}/" if where.isdigit() else where or "localhost/"
        _refuse(f"“{shown(text)}” lacks the two slashes.", f"{scheme}://{shown(where)}")
    if rest.startswith("//") and _SCHEME.match(scheme):
        known = ", ".join(f"{name}://" for name in DEFAULT_PORTS)
        _refuse(f"URLs of the scheme {shown(scheme)} cannot be traced.", f"one of {known} and unix:/PATH")
    if text.isascii() and text.isdigit():
        _refuse(f"“{shown(text)}” is not a URL.", f"http://localhost:{shown(text)}/")
    guess = text.removeprefix("//")
    guess = f"localhost{guess}" if guess.startswith((":", "/")) else guess
    _refuse(f"“{shown(text)}” has no scheme.", f"http://{shown(guess)}{'' if '/' in guess else '/'}")


def _read_authority(text: str, scheme: str, form: Callable[[str], str]) -> tuple[str, int | None]:
    """The host and port of `host[:port]`; raises UrlRefused, also for a user name.

    `form` writes the URL with another host and port.
    """
    where = text.rpartition("@")[2]
    if "@" in text:
        _refuse(
            f"“{shown(text)}” contains a user name, which can hide the real host.",
            f"it without: {form(shown(where))}",
        )
    if where.startswith("["):
        host, bracket, port = where[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            _refuse(f"“{shown(where)}” has brackets that do not match.", form("[::1]:8000"))
        if not is_ipv6(host):
            _refuse(f"“{shown(host)}” is not an IPv6 address (zones are not supported).", form("[::1]:8000"))
        address = str(ipaddress.IPv6Address(host))
        return address, _read_port(port[1:], scheme, f"[{address}]", form)
    host, _, port = where.partition(":")
    if ":" in port:
        _refuse(f"“{shown(where)}” is ambiguous.", form(f"[{shown(where)}]"))
    end = f":{shown(port)}" if port else ""
    if not host:
        _refuse("The URL has no host.", form(f"localhost{end}"))
    number = _read_port(port, scheme, shown(host), form)
    return _read_host(host, lambda better: form(f"{better}{end}")), number


def _read_port(text: str, scheme: str, host: str, form: Callable[[str], str]) -> int | None:
    """The port number; None if it is empty, as in `host:` (RFC 3986, section 3.2.3)."""
    if not text:
        return None
    better = form(f"{host}:{DEFAULT_PORTS[scheme]}")
    try:
        port = read_port(text)
    except BindTextError as exc:
        _refuse(exc.problem, better)
    if not port:
        _refuse("Nothing can be reached on port 0: it asks for any free one.", better)
    return port


def _read_host(host: str, form: Callable[[str], str]) -> str:
    if not host.isascii():
        try:
            better = form(host.encode("idna").decode())
        except UnicodeError:
            better = "its form in ASCII (xn--...)"
        _refuse(f"The host “{shown(host)}” is not ASCII.", better)
    labels = host.removesuffix(".").split(".")
    if _NUMBER.match(labels[-1]):
        # By the URL standard a host that ends in a number is an IPv4 address, which resolvers accept in
        # many forms: 2130706433, 0x7f.1 and 0177.0.0.1 all mean this machine.
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            better = f"an address as {form('127.0.0.1')}"
            _refuse(f"“{shown(host)}” is not four numbers from 0 to 255.", better)
    if len(host) > 253 or not all(_LABEL.match(label) for label in labels):
        _refuse(f"“{shown(host)}” is not a valid host name.", f"it as {form('localhost')}")
    return host.lower()


def _refuse(problem: str, form: str) -> NoReturn:
    raise UrlRefused(problem, remedy=f"Write {form}.")
