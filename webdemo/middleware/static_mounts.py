"""Static files beside any app: folders served below a path, before the app is asked.

Runs in the server processes.
"""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote

from webdemo.errors import UsageError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


_USUAL_PREFIX = "/static/"
_USUAL_FOLDERS = ("static", "staticfiles", "public", "assets")


class FolderOptions(NamedTuple):
    """How the folders of --directory and --static are served."""

    spa: bool = False
    cors: bool = False
    immutable: str = ""

    def app(self, folder: str, *, listing: bool = False) -> WSGIApplication:
        """The app that serves a folder so. Raises UsageError."""
        from webdemo.web.static.app import StaticFiles

        files = StaticFiles(
            folder,
            listing=listing and not self.spa,  # a folder's path may be one that the app in the browser knows
            spa=self.spa,
            immutable=self.immutable or None,
        )
        if not self.cors:
            return files
        from webdemo.middleware.cors import readable_by_all

        return readable_by_all(files)


class Mount(NamedTuple):
    """A folder, absolute, and the path below which it is served; it begins and ends with a slash."""

    prefix: str
    folder: str
    options: FolderOptions = FolderOptions()

    @classmethod
    def parse(cls, text: str, options: FolderOptions = FolderOptions()) -> Mount:  # noqa: B008
        """Parse `/static/=DIR`. Raises UsageError."""
        prefix, equals, folder = text.partition("=")
        prefix = prefix.rstrip("/") + "/"
        if not equals or not folder or not prefix.startswith("/") or not prefix.isprintable():
            raise UsageError(
                f"static cannot be {text!r}.", remedy="Give a path and a folder: --static /static/=DIR"
            )
        right = posixpath.normpath("/" + unquote(prefix).lstrip("/")).rstrip("/") + "/"
        if right == "/":
            raise UsageError(
                f"static cannot be {text!r}: no request would reach the app.",
                remedy=f"To serve only a folder: --directory {folder}",
            )
        if right != prefix:
            from shlex import quote

            raise UsageError(
                f"static cannot be {text!r}: its path must be decoded, and without '.', '..' and '//'.",
                remedy=f"Write: --static {quote(f'{right}={folder}')}",
            )
        path = Path(folder).absolute()
        if not path.is_dir():
            raise UsageError(
                f"The folder {path}, to be served below {prefix}, does not exist.",
                remedy="Make it, or name one that exists.",
            )
        return cls(prefix, str(path), options)


def mounted(app: WSGIApplication, mounts: Sequence[Mount]) -> WSGIApplication:
    """WSGI middleware that serves these folders; the longest prefix wins. Raises UsageError."""
    below = {
        mount.prefix.encode().decode("latin-1"): mount.options.app(mount.folder)
        for mount in sorted(mounts, key=lambda mount: len(mount.prefix), reverse=True)
    }
    prefixes = tuple(below)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not path.startswith(prefixes):
            return app(environ, start_response)
        prefix = next(prefix for prefix in prefixes if path.startswith(prefix))
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix[:-1]
        environ["PATH_INFO"] = path[len(prefix) - 1 :]
        return below[prefix](environ, start_response)

    return answer


def with_archive(app: WSGIApplication, folder: str) -> WSGIApplication:
    """WSGI middleware that names the assets archive to every StaticFiles behind it."""
    from webdemo.web.static.app import ARCHIVE

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[ARCHIVE] = folder, environ.get("SCRIPT_NAME", "")
        return app(environ, start_response)

    return answer


def with_django_finders(app: WSGIApplication) -> WSGIApplication:
    """The app with Django's own handler for development, which finds static files without collectstatic.

    The app itself, if Django or its staticfiles are not used.
    """
    settings = _django_settings()
    if settings is None or not settings.STATIC_URL:
        return app
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    return cast("WSGIApplication", StaticFilesHandler(app))


def _django_settings() -> Any:
    """Django's settings, if the process has loaded an app that uses its staticfiles; else None."""
    if "django.core.handlers.wsgi" not in sys.modules:
        return None
    from django.apps import apps
    from django.conf import settings

    uses_them = settings.configured and apps.ready and apps.is_installed("django.contrib.staticfiles")
    return settings if uses_them else None


class MissingHint:
    """Called with the path of each 404; tells once, with `tell`, which --static would serve the file."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._is_told = False

    def __call__(self, path: str) -> None:
        if not self._is_told and (text := _hint(path)):
            self._is_told = True
            self._tell(text)


def _hint(path: str) -> str | None:
    settings = _django_settings()
    prefix = getattr(settings, "STATIC_URL", None) or _USUAL_PREFIX
    if not path.startswith(prefix):
        return None
    name = path.partition("?")[0].removeprefix(prefix)
    collected = getattr(settings, "STATIC_ROOT", None)
    folders = [str(collected)] if collected else [] if settings else _USUAL_FOLDERS
    for folder in folders:
        if ".." not in name and Path(folder, name).is_file():
            return f"The app does not serve {prefix}{name}; webdemo would: --static {prefix}={_short(folder)}"
    if settings is None:
        return None
    return (
        f"Django serves no static files itself, such as {prefix}{name}: with --debug webdemo finds them; "
        f"in production run collectstatic, and add --static {prefix}={_short(collected or 'STATIC_ROOT')}"
    )


def _short(folder: str | os.PathLike[str]) -> str:
    """The shorter form of its path: absolute, or from the current folder."""
    return min(os.path.relpath(folder), str(folder), key=len)
