"""Tells the app's own code from the standard library, installed packages and webdemo.

Runs in the processes that hold the app. The rule: a traceback shows only frames of the user's own code,
or all frames if there are none.
"""

from __future__ import annotations

import importlib
import traceback
from functools import cache
from pathlib import Path

from webdemo.errors import AppImportFailed

_PACKAGE_FOLDERS = ("/site-packages/", "/dist-packages/")
_OURS = Path(__file__).resolve().parent


def is_installed(file: str) -> bool:
    """Whether a source file belongs to an installed package."""
    return any(part in file for part in _PACKAGE_FOLDERS)


def is_own(file: str) -> bool:
    """Whether a source file belongs to the app."""
    return file.startswith("/") and not is_installed(file) and not file.startswith(_folders_of_others())


@cache
def _folders_of_others() -> tuple[str, ...]:
    import sysconfig  # here, because it is not needed at startup

    paths = sysconfig.get_paths()
    return tuple(f"{folder}/" for folder in (_OURS, paths["stdlib"], paths["platstdlib"]))


def failure(name: str, exc: BaseException) -> AppImportFailed:
    """The error for an exception of the app's own code while `name` was imported or called."""
    report, frames = own_traceback(exc)
    if isinstance(exc, SyntaxError) and exc.filename:
        where = f" ({Path(exc.filename).name}, line {exc.lineno})"
    else:
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    what = f"{type(exc).__name__}: {report}"  # not exc: some classes have no text
    if isinstance(exc, SystemExit):
        what = f"it called sys.exit({exc.code!r})"
    remedy = f"Fix the app{where}, or choose another --app."
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        remedy = f"Install or fix what it imports: {exc.name}{where}."
    return AppImportFailed(
        f"The app {name!r} cannot be loaded: {' '.join(what.split())}",
        remedy=remedy,
        traceback="".join(report.format()),
    )


def own_traceback(
    exc: BaseException,
) -> tuple[traceback.TracebackException, list[traceback.FrameSummary]]:
    """The traceback with the app's frames, ready to be formatted, and those of the exception itself."""
    report = traceback.TracebackException.from_exception(exc)
    return report, _shorten(report)


def _shorten(report: traceback.TracebackException) -> list[traceback.FrameSummary]:
    """Reduce the report, its causes included, to the app's frames; returns those of the report itself."""
    for earlier in (report.__cause__, report.__context__):
        if earlier is not None:
            _shorten(earlier)
    frames = [frame for frame in report.stack if not _is_import_machinery(frame.filename)]
    frames = [frame for frame in frames if is_own(frame.filename)] or frames
    report.stack = traceback.StackSummary.from_list(frames)
    return frames


def _is_import_machinery(file: str) -> bool:
    return (
        file.startswith("<frozen importlib")
        or file == importlib.__file__
        or Path(file).is_relative_to(_OURS / "worker")
    )
