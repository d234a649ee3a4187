"""/mail: the messages of the mail catcher (webdemo.services.smtp), shown to browsers on this machine.

Runs in the demo app's server processes. The rule: a mail is untrusted text. It is shown as text, never as
a page of this site: HTML appears as source, and downloads are saved, not opened. Nothing that a mail refers
to is fetched.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from werkzeug.exceptions import NotFound

from webdemo.middleware.stack import ServiceFacts
from webdemo.services.mail_message import Part, Summary, summarize, take_apart
from webdemo.services.spool import Spool, default_folder
from webdemo.text import format_size
from webdemo.web import Request, Response, attachment
from webdemo.web.page import Site

MOST_ROWS = 200
_HEAD_BYTES = 32 * 1024  # enough for the headers that a list shows
_LONGEST_NAME = 100
_NOT_IN_NAMES = re.compile(r"[^\w. -]")
_DOWNLOAD_HEADERS = {
    "Content-Type": "application/octet-stream",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-store",
}


class Row(NamedTuple):
    """A mail in the list."""

    id: str
    arrived: datetime
    size: str
    summary: Summary


def add_mail_pages(site: Site) -> None:
    def find(request: Request, mail_id: str) -> bytes:
        for spool in _spools(request.environ):
            if (raw := spool.read(mail_id)) is not None:
                return raw
        raise NotFound

    @site.local_page("/mail")
    def mail(request: Request) -> Response:
        spools = _spools(request.environ)
        all_caught = [(caught, spool) for spool in spools for caught in spool.messages()]
        all_caught.sort(key=lambda pair: pair[0], reverse=True)
        rows = [
            Row(
                caught.id,
                datetime.fromtimestamp(caught.time, UTC),
                format_size(caught.size),
                summarize(spool.read(caught.id, most_bytes=_HEAD_BYTES) or b""),
            )
            for caught, spool in all_caught[:MOST_ROWS]
        ]
        return site.page(
            "mail.html",
            rows=rows,
            count=len(all_caught),
            folders=[spool.folder for spool in spools],
            command=_command(request.environ),
        )

    @site.local_page("/mail/<mail_id>")
    def one_mail(request: Request, mail_id: str) -> Response:
        raw = find(request, mail_id)
        return site.page(
            "mail_message.html", id=mail_id, mail=take_apart(raw), size=len(raw), format_size=format_size
        )

    @site.local_page("/mail/<mail_id>/source")
    def mail_source(request: Request, mail_id: str) -> Response:
        return _download(find(request, mail_id), f"{mail_id}.eml")

    @site.local_page("/mail/<mail_id>/parts/<int:number>")
    def mail_part(request: Request, mail_id: str, number: int) -> Response:
        for part in take_apart(find(request, mail_id)).parts:
            if part.number == number:
                return _download(part.content, file_name(part))
        raise NotFound


def file_name(part: Part) -> str:
    """A safe file name: no path, not hidden, only letters, digits, underscores, dots, spaces and dashes."""
    last = re.split(r"[/\\]", part.name)[-1]
    return _NOT_IN_NAMES.sub("_", last).strip(". ")[-_LONGEST_NAME:] or f"part-{part.number}"


def _download(content: bytes, name: str) -> Response:
    return Response(content, 200, _DOWNLOAD_HEADERS | {"Content-Disposition": attachment(name)})


def _catchers(environ: Mapping[str, Any]) -> list[ServiceFacts]:
    """The mail catchers of this run; none when a server's own command runs the app."""
    services: Iterable[ServiceFacts] = (environ.get("webdemo.server") or {}).get("services", ())
    return [service for service in services if service.server == "smtp"]


def _spools(environ: Mapping[str, Any]) -> list[Spool]:
    named = [catcher.options.get("spool") for catcher in _catchers(environ)]
    folders = [Path(name) if name else default_folder() for name in named] or [default_folder()]
    return [Spool(folder) for folder in dict.fromkeys(folders)]


def _command(environ: Mapping[str, Any]) -> str | None:
    """A shell command that sends a mail to the catcher; None if this run has none."""
    for catcher in _catchers(environ):
        place = urlsplit(catcher.urls[0])
        code = (
            f"from smtplib import SMTP; SMTP({place.hostname!r}, {place.port}).sendmail("
            "'you@example.org', 'me@example.org', 'Subject: Hello\\n\\nIt works.')"
        ).replace("'", '"')
        return f"python3 -c {shlex.quote(code)}"
    return None
