"""Describes the machine and the versions of a run, without which no figure is worth much."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

from webdemo.compare.machine import this_machine

_PACKAGES = (
    "webdemo", "werkzeug", "jinja2", "waitress", "gunicorn", "cheroot", "falcon", "bottle", "flask",
    "pyramid", "whitenoise",
)  # fmt: skip
_PROGRAMS = {"wrk": ["-v"], "nginx": ["-v"], "valgrind": ["--version"]}


def describe() -> str:
    """One line: the date, the machine, the versions, and the load."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES if _version(name))
    programs = ", ".join(filter(None, (_program(name, *flags) for name, flags in _PROGRAMS.items())))
    busy = f"load {os.getloadavg()[0]:.1f} at the end"
    machine = this_machine()
    return (
        f"Measured on {day}: {machine.processor}, {len(os.sched_getaffinity(0))} processors, {busy}, "
        f"{machine.system}, Python {machine.python}; "
        f"{packages}; {programs or 'no wrk, nginx or valgrind'}."
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _program(name: str, *flags: str) -> str | None:
    """The program's version, from the first line that has one; None if it is not installed."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        return None
    result = subprocess.run([path, *flags], capture_output=True, text=True, timeout=10, check=False)
    first = (result.stdout + result.stderr).partition("\n")[0]
    words = [word for word in first.replace("/", " ").replace("-", " ").split() if word[:1].isdigit()]
    return f"{name} {words[0]}" if words else name
