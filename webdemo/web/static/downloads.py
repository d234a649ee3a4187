"""`send_file`: a file as a view's response, with the conditions, ranges and cache of StaticFiles.

The folder is the app's choice; the name may come from a client, and never leads out of the folder.
"""

from __future__ import annotations

import os
import re
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from werkzeug.datastructures import Headers

from webdemo.web.http_errors import abort
from webdemo.web.request import Request
from webdemo.web.response import Pairs, Response
from webdemo.web.routing import encode_path
from webdemo.web.static.app import StaticFiles
from webdemo.web.static.conditions import PRECONDITIONS

_range = frozenset({"HTTP_RANGE", "HTTP_IF_RANGE"})
_conditions = _range.union(PRECONDITIONS)
_ignored_fields: dict[str, frozenset[str]] = {"GET": frozenset(), "HEAD": _range}  # RFC 9110 13.1, 14.2
# Not %, which browsers may decode, nor what needs a backslash: RFC 6266 appendix D.
_not_plain = re.compile(r"[^A-Za-z0-9 !#$&'()+,.;=@\[\]^_`{}~-]")
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\]")


def send_file(
    request: Request,
    name: str,
    folder: str | os.PathLike[str],
    *,
    download_name: str | None = None,
    content_type: str | None = None,
) -> Response:
    """The file of this name in a folder, as StaticFiles would send it: 200, 206, 304, 412 or 416.

    With `download_name`, browsers save it under that name. `content_type` replaces the one that follows from
    the file's name. Names that StaticFiles would not serve (no file, outside the folder, a dotfile) are 404.
    Raises UsageError when the folder does not exist.
    """
    ignored = _ignored_fields.get(request.method, _conditions)
    environ = {key: value for key, value in request.environ.items() if key not in ignored}
    environ["REQUEST_METHOD"] = "GET"
    response = Response()

    def start_response(status: str, headers: Pairs, exc_info: Any = None) -> Any:
        response.status = status
        response.headers = Headers(headers)

    files = _files(str(Path(folder).absolute()))
    response.response = files.respond(environ, start_response, "/" + encode_path(name))
    if response.status_code in (403, 404, 503):
        abort(response.status_code)
    response.direct_passthrough = not isinstance(response.response, list)
    if response.status_code in (200, 206):
        if content_type is not None:
            response.headers["Content-Type"] = content_type
        if download_name is not None:
            response.headers["Content-Disposition"] = attachment(download_name)
    return response


def attachment(name: str) -> str:
    """The Content-Disposition that makes browsers save a response under a name (RFC 6266).

    Slashes and control characters become `_`; a name that is not plain ASCII is sent as UTF-8, too.
    """
    name = _control.sub("_", name)
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = _not_plain.sub("_", ascii_name)
    header = f'attachment; filename="{plain}"'
    if plain == name:
        return header
    return f"{header}; filename*=UTF-8''" + quote(name, safe="!#$&+-.^_`|~")


@lru_cache(maxsize=32)
def _files(folder: str) -> StaticFiles:
    return StaticFiles(folder, index=None)
