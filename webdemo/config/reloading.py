"""The settings at a reload: which of them apply at once, and which need a restart."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from webdemo.config.settings import FIELDS
from webdemo.config.sources import Resolved, read_settings
from webdemo.errors import UsageError

AT_RELOAD = (
    *("app", "directory", "release", "health", "metrics", "metrics_networks", "access_log"),
    *("trusted_proxies", "forwarded", "trace_hosts", "buffer_chunked", "static"),
    *("spa", "cors", "immutable", "assets_archive"),
)
"""The settings that a reload applies; the others need a restart."""


class Rereading:
    """Reads the settings again at a reload, in the folder to which the user's path leads by then."""

    def __init__(self, flags: Mapping[str, Any], resolved: Resolved, folder: Path) -> None:
        self._flags = flags
        self._resolved = resolved
        self._folder = folder

    def read(self) -> tuple[Resolved, str | None]:
        """The settings in effect from now on, and a note of what has changed. Raises UsageError."""
        try:
            os.chdir(self._folder)
        except OSError as exc:
            raise UsageError(
                f"The folder {self._folder} cannot be entered: {exc.strerror}.",
                remedy="Put it back, or start webdemo in the folder that holds the app.",
            ) from exc
        before, now = self._resolved.settings, read_settings(self._flags)
        changed = [name for name in FIELDS if getattr(before, name) != getattr(now.settings, name)]
        kept = {name: getattr(before, name) for name in changed if name not in AT_RELOAD}
        self._resolved = now._replace(settings=replace(now.settings, **kept))
        if not changed:
            return self._resolved, None
        applied = [name for name in changed if name in AT_RELOAD]
        told = [f"{_listed(applied)} changed"] if applied else []
        told += [f"{_listed(kept)} changed, which needs a restart"] if kept else []
        return self._resolved, f"Settings: {'; '.join(told)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", "-") for name in names)
