"""The requests that are sent to the user's app: of given paths, of a recording, or of the app's routes."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from webdemo.client.wire import Request
from webdemo.errors import UsageError, WebdemoError
from webdemo.worker import interpreter
from webdemo.worker.app_import import Target
from webdemo.worker.codec import plain

_IMPORT_SECONDS = 30.0
_SAFE_CHARACTERS = "/:@!$&'()*+,;=-._~?%"
# Headers that belong to the connection or are made from the body.
_LEFT_OUT = ("host", "connection", "content-length", "transfer-encoding", "accept-encoding")

_LIST_ROUTES = """
import json, sys
from webdemo.errors import WebdemoError
from webdemo.worker.app_import import Target, load
from webdemo.worker.codec import build
from webdemo.web.app import App
try:
    app = load(build(Target, json.loads(sys.argv[1]))).app
    result = app.paths() if isinstance(app, App) else []
except WebdemoError as exc:
    result = {"problem": exc.problem, "remedy": exc.remedy}
print("\\n" + json.dumps(result))
"""


class AppRequest(NamedTuple):
    """One request to the app, with a name of its own."""

    request: Request
    number: int = 1  # among requests that differ only in their headers or body

    @property
    def name(self) -> str:
        name = f"{self.request.method} {self.request.target}"
        return f"{name} ({self.number})" if self.number > 1 else name


def of_paths(paths: Sequence[str]) -> list[AppRequest]:
    """GET requests for these paths; raises UsageError for anything but an absolute path."""
    for path in paths:
        if not path.startswith("/"):
            raise UsageError(f"The path {path!r} does not begin with /.", remedy=f"Write --path /{path}")
    return [AppRequest(Request("GET", quote(path, safe=_SAFE_CHARACTERS))) for path in paths]


def of_har(file: Path) -> list[AppRequest]:
    """The requests recorded by a browser (HAR 1.2), in order; raises UsageError."""
    try:
        entries = json.loads(file.read_text("utf-8-sig"))["log"]["entries"]
        found = [_of_entry(entry["request"]) for entry in entries]
    except OSError as exc:
        raise UsageError(
            f"{file} cannot be read: {exc.strerror}.", remedy="Give a HAR file: --har FILE"
        ) from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise UsageError(
            f"{file} is not a HAR file.", remedy="Record one: browser, developer tools, network, save as HAR."
        ) from exc
    counts: Counter[tuple[str, str]] = Counter()
    requests = []
    for request in dict.fromkeys(found):
        counts[request.method, request.target] += 1
        requests.append(AppRequest(request, counts[request.method, request.target]))
    return requests


def _of_entry(request: dict[str, Any]) -> Request:
    url = urlsplit(request["url"])
    return Request(
        method=str(request["method"]),
        target=quote(url.path or "/", safe=_SAFE_CHARACTERS) + (f"?{url.query}" if url.query else ""),
        headers=tuple(
            (header["name"], header["value"])
            for header in request.get("headers") or ()
            if header["name"].lower() not in _LEFT_OUT and not header["name"].startswith(":")
        ),
        body=str((request.get("postData") or {}).get("text", "")).encode(),
    )


def of_routes(target: Target) -> list[AppRequest]:
    """GET requests for a webdemo app's routes without parameters, or for / of any other app.

    The app is imported in a separate process. Raises WebdemoError if that fails.
    """
    remedy = f"Find the cause with: python -m webdemo --app {target.app}"
    try:
        done = subprocess.run(
            [*interpreter.python(), "-c", _LIST_ROUTES, json.dumps(plain(target))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_IMPORT_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as exc:
        problem = f"Importing {target.app} takes longer than {_IMPORT_SECONDS:g} s."
        raise WebdemoError(problem, remedy=remedy) from exc
    except (ValueError, IndexError) as exc:
        raise WebdemoError(f"Importing {target.app} ends the process.", remedy=remedy) from exc
    if isinstance(found, dict):
        raise WebdemoError(**found)
    return of_paths(found or ["/"])
