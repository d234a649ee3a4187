"""Which app is in the current folder, found by reading: nothing is imported."""

from __future__ import annotations

import re
from pathlib import Path

from webdemo.config.sources import DEFAULT, Resolved

_SETTINGS = re.compile(r"DJANGO_SETTINGS_MODULE[\"']\s*,\s*[\"']([\w.]+)\.settings")
_APP = re.compile(r"^(?:(app|application)\s*(?::[^=\n]+)?=(?!=)|def ((?:create|make)_app)\()", re.MULTILINE)
_LONGEST_READ = 100_000


def app_note(resolved: Resolved) -> str | None:
    """With which flag the app of this folder would be served, if none was named; None if there is none."""
    if resolved.sources["app"] != DEFAULT or resolved.settings.directory:
        return None
    found = app_here(Path.cwd())
    return found and f"This is the demo site. The app of {found[0]} is served with --app {found[1]}"


def app_here(folder: Path) -> tuple[str, str] | None:
    """The file that shows an app, and its name for --app; None if the usual files do not."""
    text = _read(folder / "manage.py")
    if found := _SETTINGS.search(text):
        return "manage.py", f"{found[1]}.wsgi:application"
    for module in ("app", "wsgi"):
        if found := _APP.search(_read(folder / f"{module}.py")):
            return f"{module}.py", f"{module}:{found[1]}" if found[1] else f"'{module}:{found[2]}()'"
    return None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_READ).decode("utf-8", "replace")
    except OSError:
        return ""
