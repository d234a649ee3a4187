"""A folder's listing and its page for missing files.

A listing is HTML or JSON by Accept: exactly the entries that would be served, 1,000 on a page.

What costs a system call for each entry is done for those of the page only, unless all are sorted by it. All
links are relative, so that they work under any mount and behind any proxy.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote

from webdemo import assets
from webdemo.text import format_size, plain_field
from webdemo.web.static.responses import HTML, respond
from webdemo.web.static.tree import Folder, Tree, is_served

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from jinja2 import Environment

ASSETS_PREFIX = "/.webdemo"
"""The URL prefix of the listing's stylesheet; files whose names start with a dot are never served."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_BY_ACCEPT = ("Vary", "Accept")
_POLICY = ("Content-Security-Policy", CONTENT_SECURITY_POLICY)

Navigation = tuple[tuple[str, str], ...]
"""The pages of a site: pairs of a path relative to its home page, and a label."""

_FIRST_ORDER = {"name": "asc", "size": "desc", "date": "desc"}
PAGE_ENTRIES = 1000
_PAGE = re.compile("[0-9]{1,9}")
_DIGITS = re.compile("[0-9]+")


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
    column: str = "name"
    is_descending: bool = False
    page: int = 1

    @classmethod
    def parse(cls, query: str) -> Order:
        """Parse `?sort=name|size|date&order=asc|desc&page=NUMBER`.

        An unknown column means name, another order asc, another page the first.
        """
        fields = parse_qs(query)
        column = fields.get("sort", ["name"])[-1]
        if column not in _FIRST_ORDER:
            column = "name"
        order = fields.get("order", [_FIRST_ORDER[column]])[-1]
        page = _PAGE.fullmatch(fields.get("page", [""])[-1])
        return cls(column, order == "desc", int(page[0]) if page else 1)

    @property
    def aria_sort(self) -> str:
        return "descending" if self.is_descending else "ascending"

    def link(self, column: str) -> str:
        """The query that sorts by a column: in its default order, or reversed if already sorted by it."""
        order = _FIRST_ORDER[column]
        if column == self.column:
            order = "asc" if self.is_descending else "desc"
        return f"?sort={column}&order={order}"

    def page_link(self, page: int) -> str:
        return f"?sort={self.column}&order={'desc' if self.is_descending else 'asc'}&page={page}"


class Listing(NamedTuple):
    entries: list[Entry]
    order: Order
    """With the number of the page that is shown."""
    file_count: int
    folder_count: int
    """Those of all pages."""

    @property
    def page_count(self) -> int:
        return max(1, -(-(self.file_count + self.folder_count) // PAGE_ENTRIES))


def read_page(tree: Tree, names: list[bytes], order: Order) -> Listing:
    """A page of the folder at the path of these names: folders first, then in this order. Raises OSError."""
    with tree.enter(names) as node:
        folder = Folder.open(node)
    try:
        folders, files, values = _scan(folder, order.column, at_root=not names)
        for found in (folders, files):
            found.sort(key=_natural, reverse=order.is_descending and order.column == "name")
            if order.column != "name":
                found.sort(key=values.__getitem__, reverse=order.is_descending)
        listing = Listing([], order, len(files), len(folders))
        page = min(max(order.page, 1), listing.page_count)
        shown = (folders + files)[(page - 1) * PAGE_ENTRIES : page * PAGE_ENTRIES]
        entries = [_entry(tree, names, folder, os.fsencode(name)) for name in shown]
    finally:
        folder.close()
    return listing._replace(
        entries=[entry for entry in entries if entry is not None], order=order._replace(page=page)
    )


def _scan(folder: Folder, column: str, *, at_root: bool) -> tuple[list[str], list[str], dict[str, float]]:
    """The names of folders and files that may be served, and the sizes or times that they are sorted by."""
    folders: list[str] = []
    files: list[str] = []
    values: dict[str, float] = {}
    with folder.scan() as found:
        for item in found:
            name = item.name
            try:
                is_folder = not item.is_file()
                if is_folder and not item.is_dir():
                    continue
                if name[0] == "." and not is_served(os.fsencode(name), at_root=at_root, is_folder=is_folder):
                    continue
                if column != "name":
                    status = item.stat()
                    values[name] = status.st_mtime if column == "date" else 0 if is_folder else status.st_size
            except OSError:  # removed meanwhile
                continue
            (folders if is_folder else files).append(name)
    return folders, files, values


def _entry(tree: Tree, names: list[bytes], folder: Folder, name: bytes) -> Entry | None:
    """The entry, or None if it is not served: unreadable, gone, or a symlink that leads out of the root."""
    try:
        status = os.stat(folder.entry(name), dir_fd=folder.fd, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            with tree.enter([*names, name]) as node:
                status = node.status
                readable = _is_readable(node.name, node.folder_fd, node.is_folder)
        else:
            readable = _is_readable(folder.entry(name), folder.fd, stat.S_ISDIR(status.st_mode))
    except OSError:
        return None
    is_folder = stat.S_ISDIR(status.st_mode)
    if not readable or not (is_folder or stat.S_ISREG(status.st_mode)):
        return None
    url = f"./{quote(name)}{'/' if is_folder else ''}"
    return Entry(_text(name), url, is_folder, 0 if is_folder else status.st_size, status.st_mtime)


class Frame(NamedTuple):
    """What the pages of one StaticFiles have in common."""

    folder: bytes
    """Its name, where it is not mounted."""
    asset_url: Callable[[str], str]
    """Returns the path of an asset below ASSETS_PREFIX."""
    navigation: Navigation

    def render(self, template: str, root: str, depth: int, **context: Any) -> bytes:
        """The page of a path `depth` folders below the URL path `root`."""
        up = "../" * depth or "./"
        mount = root.encode("latin-1", "replace").rpartition(b"/")[2]
        frame = {
            "folder": plain_field(_text(mount or self.folder)),
            "is_mounted": bool(mount),
            "root": up,
            "home": "../" * (depth + 1),
            "pages": self.navigation,
            "here": f"{_text(mount)}/",
            "asset": lambda path: f"{up}{ASSETS_PREFIX[1:]}/{self.asset_url(path)}",
        }
        return _templates().get_template(template).render(frame | context).encode()


def answer(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    tree: Tree,
    root: str,
    names: list[bytes],
    frame: Frame,
) -> Iterable[bytes]:
    """Respond with the listing of the folder at the path of these names below the URL path `root`.

    Raises OSError before anything is sent.
    """
    from webdemo.web.http_errors import prefers_json

    order = Order.parse(environ.get("QUERY_STRING", ""))
    listing = read_page(tree, names, order)
    send = partial(respond, start_response, environ["REQUEST_METHOD"], "200 OK")
    common = _BY_ACCEPT, ("Cache-Control", "no-cache")
    if prefers_json(environ.get("HTTP_ACCEPT", "")):
        return send("application/json", _as_json(listing), *common)
    body = frame.render(
        "listing.html",
        root,
        len(names),
        listing=listing,
        order=listing.order,
        outer=[
            (_text(name), "../" * (len(names) - depth) or "./") for depth, name in enumerate(names, start=1)
        ],
        total=format_size(sum(entry.size for entry in listing.entries)),
    )
    return send(HTML, body, *common, _POLICY)


def answer_missing(
    environ: WSGIEnvironment, start_response: StartResponse, path: str, root: str, frame: Frame
) -> Iterable[bytes]:
    """Respond with 404 and a page that names the path and leads back to the folder."""
    shown = plain_field(_text((root + path).encode("latin-1", "replace")))
    body = frame.render("file_missing.html", root, path.count("/") - 1, path=shown)
    headers = _BY_ACCEPT, ("Cache-Control", "no-store"), _POLICY
    return respond(start_response, environ["REQUEST_METHOD"], "404 Not Found", HTML, body, *headers)


def _as_json(listing: Listing) -> bytes:
    """Names (bytes that are not UTF-8 replaced), relative URLs, sizes in bytes, times in UTC.

    `next` is the query of the next page, or null.
    """
    page = listing.order.page
    following = listing.order.page_link(page + 1) if page < listing.page_count else None
    data = {"entries": [_as_data(entry) for entry in listing.entries], "next": following}
    return json.dumps(data, ensure_ascii=False).encode()


def _as_data(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "type": "folder" if entry.is_folder else "file",
        "size": None if entry.is_folder else entry.size,
        "modified": entry.time.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "url": entry.url,
    }


def _is_readable(name: bytes, folder_fd: int | None, is_folder: bool) -> bool:
    mode = os.R_OK | os.X_OK if is_folder else os.R_OK
    return os.access(name, mode, dir_fd=folder_fd, effective_ids=os.access in os.supports_effective_ids)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _natural(name: str) -> str:
    """A case-insensitive natural sort key: `file2` before `file10`, for numbers of up to 20 digits."""
    return _DIGITS.sub(_padded, name.casefold()) + "\0" + name


def _padded(digits: re.Match[str]) -> str:
    return digits[0].zfill(20)


@cache
def _templates() -> Environment:
    from webdemo.web.templates import make_environment

    return make_environment([assets.TEMPLATES])
