"""The content that every contestant sends, and the requests for it, so that the work is equal."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template

HTML = "text/html; charset=utf-8"
JSON = "application/json"

HELLO = "<h1>Hello, world!</h1>\n"
PAYLOAD: dict[str, Any] = {
    "server": "waitress",
    "ports": [8000, 8001, 8002],
    "addresses": ["127.0.0.1", "::1"],
    "up": True,
    "seconds": 0.173,
}
ITEMS = [{"port": 8000 + number, "server": f"<server {number}>"} for number in range(10)]

# webdemo's own error page; the other contestants are configured to send it.
NOT_FOUND = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>404 Not Found</title>
<h1>Not Found</h1>
<p>The requested URL was not found on the server. \
If you entered the URL manually please check your spelling and try again.</p>
"""

TEMPLATES = Path(__file__).parent / "templates"
PAGE = "page.html"
PICTURE = "picture.png"  # a media type without charset, because peers write that differently
LARGE = "large.png"
PICTURE_BYTES = 1500
LARGE_BYTES = 1 << 20
LINKS = "links.html"
LINKS_BY_HAND = "links_by_hand.html"  # for contestants that build no URLs
PARTS = [f"<p>part {number}</p>" for number in range(10)]
GONE = "<h1>There is nothing here</h1>\n"
MANY_ROUTES = 100

to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def hello(name: str) -> str:
    return f"<h1>Hello, {name}!</h1>\n"


def found(words: str, page: str, theme: str) -> str:
    return f"<p>{words}, page {page}, {theme}</p>\n"


def sent(name: str, port: str) -> str:
    return f"<p>{name} takes {port}</p>\n"


def section(number: int) -> str:
    """The static prefix of the route with this number; a name follows."""
    return f"/section{number}"


@cache
def page(name: str = PAGE) -> Template:
    """A template, for contestants without their own template support."""
    from jinja2 import Environment, FileSystemLoader

    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True).get_template(name)


def write_files(folder: Path) -> None:
    """Write the static files, with bytes that do not compress."""
    for name, size in ((PICTURE, PICTURE_BYTES), (LARGE, LARGE_BYTES)):
        write_file(folder / name, size)


def write_file(path: Path, size: int) -> None:
    """Write a file of `size` bytes piece by piece."""
    piece = bytes((number * 7919 + 13) % 251 for number in range(1 << 16))
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(piece[: min(size, len(piece))])
