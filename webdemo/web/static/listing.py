"""A folder's listing, as HTML or JSON by Accept: exactly the entries that would be served.

All links are relative, so that they work under any mount and behind any proxy.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote

from webdemo import assets
from webdemo.text import format_size, plain_field
from webdemo.web.static.tree import Tree, is_served

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from jinja2 import Template

ASSETS_PREFIX = "/.webdemo"
"""The URL prefix of the listing's stylesheet; files whose names start with a dot are never served."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_FIRST_ORDER = {"name": "asc", "size": "desc", "date": "desc"}
_DIGITS = re.compile("([0-9]+)")


class Entry(NamedTuple):
    """A file or folder in a listing.

    `name` is text, `url` relative to the listing, `size` 0 for a folder, `modified` seconds since the epoch.
    """

    name: str
    url: str
    is_folder: bool
    size: int
    modified: float

    @property
    def time(self) -> datetime:
        """The modification time in UTC, clamped to what datetime can represent."""
        return datetime.fromtimestamp(min(max(self.modified, -62e9), 253e9), UTC)

    @property
    def shown_name(self) -> str:
        return plain_field(self.name)

    @property
    def readable_size(self) -> str:
        return format_size(self.size)


class Order(NamedTuple):
    column: str
    is_descending: bool

    @classmethod
    def parse(cls, query: str) -> Order:
        """Parse `?sort=name|size|date&order=asc|desc`; an unknown column means name, another order asc."""
        fields = parse_qs(query)
        column = fields.get("sort", ["name"])[-1]
        if column not in _FIRST_ORDER:
            column = "name"
        order = fields.get("order", [_FIRST_ORDER[column]])[-1]
        return cls(column, order == "desc")

    @property
    def aria_sort(self) -> str:
        return "descending" if self.is_descending else "ascending"

    def link(self, column: str) -> str:
        """The query that sorts by a column: in its default order, or reversed if already sorted by it."""
        order = _FIRST_ORDER[column]
        if column == self.column:
            order = "asc" if self.is_descending else "desc"
        return f"?sort={column}&order={order}"

    def sort(self, entries: list[Entry]) -> None:
        """Sort in place: folders first, and by name where the sizes or times are equal."""
        entries.sort(
            key=lambda entry: _natural(entry.name), reverse=self.is_descending and self.column == "name"
        )
        if self.column == "size":
            entries.sort(key=lambda entry: entry.size, reverse=self.is_descending)
        elif self.column == "date":
            entries.sort(key=lambda entry: entry.modified, reverse=self.is_descending)
        entries.sort(key=lambda entry: not entry.is_folder)


def read_entries(tree: Tree, names: list[bytes]) -> list[Entry]:
    """The entries that are served of the folder at the path of these names. Raises OSError."""
    with tree.enter(names) as node:
        if not node.is_folder:
            raise NotADirectoryError("not a folder")
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        folder_fd = os.open(node.name, flags, dir_fd=node.folder_fd)
    try:
        return list(_entries(tree, names, folder_fd))
    finally:
        os.close(folder_fd)


def answer(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    tree: Tree,
    names: list[bytes],
    asset_url: Callable[[str], str],
) -> Iterable[bytes]:
    """Respond with the listing of the folder at the path of these names.

    `asset_url` returns the path of an asset below ASSETS_PREFIX. Raises OSError before anything is sent.
    """
    from webdemo.web.http_errors import prefers_json

    order = Order.parse(environ.get("QUERY_STRING", ""))
    entries = read_entries(tree, names)
    order.sort(entries)
    headers = [("Cache-Control", "no-cache"), ("Vary", "Accept"), ("X-Content-Type-Options", "nosniff")]
    if prefers_json(environ.get("HTTP_ACCEPT", "")):
        body = _as_json(entries)
        headers.append(("Content-Type", "application/json"))
    else:
        body = _as_html(entries, order, names, environ.get("SCRIPT_NAME", ""), asset_url)
        headers.append(("Content-Type", "text/html; charset=utf-8"))
        headers.append(("Content-Security-Policy", CONTENT_SECURITY_POLICY))
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _as_html(
    entries: list[Entry], order: Order, names: list[bytes], script_name: str, asset_url: Callable[[str], str]
) -> bytes:
    up = "../" * len(names)
    root = script_name.encode("latin-1", "replace").rpartition(b"/")[2]
    crumbs = [_text(name) for name in (root or b"Files", *names)]
    context = {
        "entries": entries,
        "order": order,
        "is_mounted": bool(root),
        "crumbs": [(crumb, "../" * (len(names) - depth) or "./") for depth, crumb in enumerate(crumbs)],
        "asset": lambda path: f"{up or './'}{ASSETS_PREFIX[1:]}/{asset_url(path)}",
        "folder_count": sum(entry.is_folder for entry in entries),
        "total": format_size(sum(entry.size for entry in entries)),
    }
    return _template().render(context).encode()


def _as_json(entries: list[Entry]) -> bytes:
    """Names (bytes that are not UTF-8 replaced), relative URLs, sizes in bytes, times in UTC."""
    return json.dumps({"entries": [_as_data(entry) for entry in entries]}, ensure_ascii=False).encode()


def _as_data(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "type": "folder" if entry.is_folder else "file",
        "size": None if entry.is_folder else entry.size,
        "modified": entry.time.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "url": entry.url,
    }


def _entries(tree: Tree, names: list[bytes], folder_fd: int) -> Iterator[Entry]:
    with os.scandir(folder_fd) as found:
        for item in found:
            name = os.fsencode(item.name)
            if not is_served(name, at_root=not names):
                continue
            try:
                if item.is_symlink():
                    with tree.enter([*names, name]) as node:
                        status, readable = (
                            node.status,
                            _is_readable(node.name, node.folder_fd, node.is_folder),
                        )
                else:
                    status = item.stat(follow_symlinks=False)
                    readable = _is_readable(name, folder_fd, stat.S_ISDIR(status.st_mode))
            except OSError:  # removed meanwhile, or a symlink that is broken or leads out of the root
                continue
            is_folder = stat.S_ISDIR(status.st_mode)
            if readable and (is_folder or stat.S_ISREG(status.st_mode)):
                url = f"./{quote(name)}{'/' if is_folder else ''}"
                size = 0 if is_folder else status.st_size
                yield Entry(_text(name), url, is_folder, size, status.st_mtime)


def _is_readable(name: bytes, folder_fd: int, is_folder: bool) -> bool:
    mode = os.R_OK | os.X_OK if is_folder else os.R_OK
    return os.access(name, mode, dir_fd=folder_fd, effective_ids=os.access in os.supports_effective_ids)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A case-insensitive natural sort key: `file2` before `file10`."""
    parts = _DIGITS.split(name.casefold())
    return [(bool(i % 2), int(part) if i % 2 else 0, part) for i, part in enumerate(parts)]


@cache
def _template() -> Template:
    from webdemo.web.templates import make_environment

    return make_environment([assets.TEMPLATES]).get_template("listing.html")
