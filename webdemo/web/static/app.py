"""Static files by RFC 9110: one WSGI app per folder, standalone or mounted under a prefix.

A request for a cached file costs one `stat` and a dict lookup; any other file is looked up in the tree
first. No path, name or file raises an exception: a path that is not served is answered with 404, an
unreadable file with 403, and a temporary failure of the system with 503.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import quote

from webdemo import assets
from webdemo.errors import UsageError
from webdemo.folders import check_folder
from webdemo.syntax import is_field_value, is_token
from webdemo.web import freshness
from webdemo.web.routing import PathApp, quote_root, with_query
from webdemo.web.static import listing as folder_listing
from webdemo.web.static.conditions import PRECONDITIONS, status_by_conditions
from webdemo.web.static.content_coding import IDENTITY, choose
from webdemo.web.static.file_cache import KeptFiles
from webdemo.web.static.media_types import content_type, suffix, with_charset
from webdemo.web.static.representations import FINGERPRINT_DIGITS, Headers, StoredFile, look_at, stored_file
from webdemo.web.static.responses import HTML, refuse, respond, send, spans_asked
from webdemo.web.static.tree import Tree, split_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
NOT_FOUND_PAGE = "/404.html"
ARCHIVE = "webdemo.assets_archive"
"""The environ key of an assets archive's folder, and of the SCRIPT_NAME above which paths do not count."""

# Caches may keep a 404 (RFC 9110 15.1), and during a rolling update the next host may have the file.
_DO_NOT_REUSE = ("Cache-Control", "no-store")
_ALLOW = ("Allow", "GET, HEAD, OPTIONS")
_FINGERPRINTED = re.compile(rb"(.+)\.([0-9a-f]{%d})(\.[^.]*)?" % FINGERPRINT_DIGITS, re.DOTALL)
_OUR_HEADERS = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "etag",
        "last-modified",
        "vary",
        "x-content-type-options",
        "connection",
        "transfer-encoding",
    }
)
_MOVED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_BUSY = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
_LOOKS = 50  # of 10 ms for a large file: one that is replaced all the time meets several in a row
_MAX_REMEMBERED = 10_000
_MAX_RELEASES = 20


class StaticFiles(PathApp):
    """A WSGI app that serves the files of a folder.

    index: the name of the file served for its folder, or None.
    listing: whether folders without an index are listed (as HTML or JSON, by Accept).
    max_age: seconds for which clients may reuse a file without revalidation; 0, the default, makes them
        revalidate each time (and mostly get a 304). Fingerprinted URLs, made by `url`, never expire.
    immutable: a pattern of the paths of files that never change, because a build tool has put a hash into
        their names: "assets/*" or "*-????????.js" (`*` matches "/" as well). They never expire either.
    spa: for a single-page app: a path without a file, and without an extension in its last name, is answered
        with the root's index, which has the caching of any page.
    types: the Content-Type of files by suffix, before the built-in table: {".glb": "model/gltf-binary"}.
    headers: extra headers for every file; those that StaticFiles sets itself are refused.

    Raises UsageError.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        index: str | None = "index.html",
        listing: bool = False,
        max_age: int = 0,
        immutable: str | None = None,
        spa: bool = False,
        types: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        check_folder(directory)
        self._tree = Tree(directory)
        self._index = None if index is None else os.fsencode(index)
        self._page_assets = StaticFiles(assets.STATIC) if listing else None
        self.navigation: folder_listing.Navigation = ()
        self._cache_control = f"public, max-age={max_age}" if max_age > 0 else REVALIDATE
        self._immutable = os.fsencode(immutable or "")
        self._spa = spa
        self._types = _checked_types(types or {})
        self._extra = _checked_headers(headers or {})
        self._kept = KeptFiles()
        self._urls: dict[str, tuple[float, str]] = {}  # until when, and the URL
        self._no_page_until = 0.0
        self._releases: dict[bytes, StaticFiles] = {}  # by folder in an assets archive

    @property
    def folder(self) -> str:
        """The folder whose files are served, absolute; its symlinks are kept."""
        return os.fsdecode(self._tree.root)

    def url(self, path: str) -> str:
        """The URL of a file with a hash of its content in the name, relative to where this app is mounted.

        `app.css` gives `app.0123456789ab.css`, which is served as `immutable` and changes with the file.
        The URL of a path without a file has no hash, nor has that of a file over 64 MiB: no request waits
        until so much is read. An edited file has its new URL within a second.
        """
        known = self._urls.get(path)
        now = monotonic()
        if known is not None and now < known[0]:
            return known[1]
        name = os.fsencode(path.lstrip("/"))
        path_info = "/" + name.decode("latin-1")
        try:
            folder, slash, last = name.rpartition(b"/")
            file = self._kept.get(path_info) or self._look_up(path_info)
            url = quote(folder + slash + _with_fingerprint(last, file))
        except OSError:
            return quote(name)
        if len(self._urls) >= _MAX_REMEMBERED:
            self._urls.clear()
        self._urls[path] = now + freshness.reuse_seconds, url
        return url

    def fingerprinted(self) -> Iterator[tuple[bytes, StoredFile]]:
        """Each file whose name can be cached forever, by that name: as `url` gives it, or `immutable`.

        Files of hidden names, symlinks and unreadable folders are left out. Raises OSError.
        """
        from webdemo.web.static.walk import served_files  # needs descriptors of folders

        for names in served_files(self._tree.root):
            path = b"/".join(names)
            file = self._read([*names], IMMUTABLE)
            if fnmatchcase(path, self._immutable):
                yield path, file
            elif file.fingerprint() is not None:
                yield b"/".join([*names[:-1], _with_fingerprint(names[-1], file)]), file

    def respond(
        self, environ: WSGIEnvironment, start_response: StartResponse, path: str, looks: int = _LOOKS
    ) -> Iterable[bytes]:
        """Respond with the file at this path, spelled as in PATH_INFO; look again if it changes meanwhile."""
        method = environ["REQUEST_METHOD"]
        if method != "GET" and method != "HEAD":
            if method == "OPTIONS":
                start_response("204 No Content", [_ALLOW])
                return []
            return refuse(start_response, method, "405 Method Not Allowed", _ALLOW)
        file = self._kept.get(path)
        if file is None:
            try:
                file = self._look_up(path)
            except OSError as error:
                return self._respond_without_file(environ, start_response, path, error)
        accept = environ.get("HTTP_ACCEPT_ENCODING")
        coding = IDENTITY if accept is None else choose(accept, file.codings)
        if coding is None:
            return refuse(start_response, method, "406 Not Acceptable", ("Vary", "Accept-Encoding"))
        chosen = file.representations[coding]
        if "HTTP_IF_NONE_MATCH" in environ or not environ.keys().isdisjoint(PRECONDITIONS):
            status = status_by_conditions(environ, chosen.etag, file.modified)
            if status == 304:
                start_response("304 Not Modified", [*chosen.unchanged_headers])
                return []
            if status == 412:
                return refuse(start_response, method, "412 Precondition Failed")
        if method == "HEAD":
            start_response("200 OK", [*chosen.headers])
            return []
        body = chosen.content.body
        if body is not None and "HTTP_RANGE" not in environ:
            start_response("200 OK", [*chosen.headers])
            return [body]
        try:
            return send(environ, start_response, chosen, spans_asked(environ, file, chosen))
        except OSError:  # the file, or its sibling, has just been changed or replaced
            self._kept.drop(path)
            if looks == 1:
                return refuse(start_response, method, "503 Service Unavailable", ("Retry-After", "1"))
            return self.respond(environ, start_response, path, looks - 1)

    def _look_up(self, path: str) -> StoredFile:
        """The file for a PATH_INFO, not from the cache. Raises OSError; IsADirectoryError for a folder."""
        names = split_path(path)
        if names == []:
            raise IsADirectoryError("the folder itself, without its slash")
        if names is None:
            raise FileNotFoundError("no such path is served")
        if not names[-1]:
            if self._index is None:
                raise IsADirectoryError("a folder without an index")
            names[-1] = self._index
        try:
            is_immutable = fnmatchcase(b"/".join(names), self._immutable)
            file = self._read(names, IMMUTABLE if is_immutable else self._cache_control)
        except FileNotFoundError:
            match = _FINGERPRINTED.fullmatch(names[-1])
            if match is None:
                raise
            file = self._read([*names[:-1], match[1] + (match[3] or b"")], IMMUTABLE)
            if not file.has_fingerprint(match[2].decode()):
                raise FileNotFoundError("the name is that of another release's content") from None
        self._kept.keep(path, file)
        return file

    def _read(self, names: list[bytes], cache_control: str) -> StoredFile:
        path = self._tree.path(names)
        for looks_left in range(_LOOKS, 0, -1):
            os.stat(path)  # noqa: PTH116  the cheapest way to find that there is none
            try:
                with self._tree.enter(names) as node:
                    if node.is_folder:
                        raise IsADirectoryError("a folder")
                    contents = look_at(node)
                break
            except OSError as error:  # a symlink on the way may just have been replaced, as releases are
                if looks_left == 1 or error.errno not in _MOVED:
                    raise
        name = os.fsdecode(names[-1])
        media_type = self._types.get(suffix(name)) or content_type(name)
        return stored_file(path, media_type, contents, cache_control=cache_control, extra=self._extra)

    def _respond_without_file(
        self, environ: WSGIEnvironment, start_response: StartResponse, path: str, error: OSError
    ) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        root = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).removesuffix(path)
        if path == root == "":
            return self.respond(environ, start_response, "/")
        is_absent = isinstance(error, (FileNotFoundError, IsADirectoryError))
        names = split_path(path) if self._page_assets is not None and is_absent else None
        if names and not names[-1] and self._page_assets is not None:
            try:
                return folder_listing.answer(
                    environ, start_response, self._tree, root, names[:-1], self._frame(self._page_assets)
                )
            except OSError as listing_error:
                error = listing_error
        elif path.startswith(folder_listing.ASSETS_PREFIX + "/") and self._page_assets is not None:
            below = path.removeprefix(folder_listing.ASSETS_PREFIX)
            return self._page_assets.respond(environ, start_response, below)
        elif isinstance(error, IsADirectoryError) and self._answers_for_folder(path + "/"):
            headers = (("Location", _with_slash(environ)), ("Cache-Control", REVALIDATE))
            return refuse(start_response, method, "308 Permanent Redirect", *headers)
        if isinstance(error, PermissionError):
            return refuse(start_response, method, "403 Forbidden")
        if error.errno in _BUSY:
            return refuse(start_response, method, "503 Service Unavailable", ("Retry-After", "1"))
        if ARCHIVE in environ:
            from webdemo.web.static.releases import find  # few apps have an archive

            archive, above = environ.pop(ARCHIVE)  # a release asks no other one
            published = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).removeprefix(above)
            release = find(archive, published)
            if release is not None:
                return self._in_release(release).respond(environ, start_response, published)
        if self._spa and _is_route(path) and self._has_file("/"):
            return self.respond(environ, start_response, "/")
        return self._not_found(environ, start_response, path, root)

    def _in_release(self, folder: bytes) -> StaticFiles:
        """What serves the files of a release in the assets archive, as this app serves its own."""
        files = self._releases.get(folder)
        if files is None:
            files = StaticFiles(os.fsdecode(folder), index=None, immutable="*", headers=dict(self._extra))
            files._types = self._types
            if len(self._releases) >= _MAX_RELEASES:
                self._releases.clear()
            self._releases[folder] = files
        return files

    def _answers_for_folder(self, path: str) -> bool:
        if self._page_assets is not None:
            return split_path(path) is not None
        return self._has_file(path)

    def _has_file(self, path: str) -> bool:
        """Whether there is a file; if it cannot be read now, the response at its own path says why."""
        try:
            self._look_up(path)
        except OSError as error:
            return isinstance(error, PermissionError) or error.errno in _BUSY
        return True

    def _frame(self, page_assets: StaticFiles) -> folder_listing.Frame:
        return folder_listing.Frame(os.path.basename(self._tree.root), page_assets.url, self.navigation)  # noqa: PTH119  bytes

    def _not_found(
        self, environ: WSGIEnvironment, start_response: StartResponse, path: str, root: str
    ) -> Iterable[bytes]:
        """A 404 with the root's 404.html, if that is small enough to be cached.

        Without one: a page where folders are listed and the client takes HTML, else plain text.
        """
        method = environ["REQUEST_METHOD"]
        page = None
        if monotonic() >= self._no_page_until:
            try:
                page = (self._kept.get(NOT_FOUND_PAGE) or self._look_up(NOT_FOUND_PAGE)).contents[IDENTITY]
            except OSError:
                self._no_page_until = monotonic() + freshness.reuse_seconds
        if page is None or page.body is None:
            if self._page_assets is not None and "text/html" in environ.get("HTTP_ACCEPT", ""):
                frame = self._frame(self._page_assets)
                return folder_listing.answer_missing(environ, start_response, path, root, frame)
            return refuse(start_response, method, "404 Not Found", _DO_NOT_REUSE)
        return respond(start_response, method, "404 Not Found", HTML, page.body, _DO_NOT_REUSE, *self._extra)


def _is_route(path: str) -> bool:
    """Whether a single-page app may know this path: it names no file, nor anything in a hidden folder."""
    return split_path(path) is not None and "/." not in path and "." not in path.rpartition("/")[2]


def _with_fingerprint(name: bytes, file: StoredFile) -> bytes:
    """The name with the file's fingerprint, if it has one, before its suffix. Raises OSError."""
    fingerprint = file.fingerprint()
    if fingerprint is None:
        return name
    mark = b"." + fingerprint.encode()
    stem, dot, suffix = name.rpartition(b".")
    return stem + mark + dot + suffix if stem else name + mark


def _with_slash(environ: WSGIEnvironment) -> str:
    """The request's path with a trailing slash, and its query; never `//host`, which is another site."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return with_query(quote_root(path) + "/", environ)


def _checked_types(types: Mapping[str, str]) -> dict[str, str]:
    for name, value in types.items():
        if not name.startswith(".") or "." in name[1:] or "/" not in value or not is_field_value(value):
            raise UsageError(
                f"{name!r}: {value!r} is not the type of a suffix.",
                remedy='Write the last suffix with its dot, and a media type: {".glb": "model/gltf-binary"}.',
            )
    return {name[1:].lower(): with_charset(value) for name, value in types.items()}


def _checked_headers(headers: Mapping[str, str]) -> Headers:
    for name, value in headers.items():
        if not is_token(name) or not is_field_value(value):
            raise UsageError(
                f"The header {name!r}: {value!r} may not be sent.",
                remedy="Names are letters, digits and hyphens; values are one line of Latin-1 text.",
            )
        if name.lower() in _OUR_HEADERS:
            raise UsageError(
                f"The header {name} is set by StaticFiles itself.",
                remedy="Leave it out; for Cache-Control, use max_age.",
            )
    return tuple(headers.items())
