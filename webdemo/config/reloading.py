"""The settings at a reload: most apply with the new release; those that need other sockets need a restart."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from webdemo.config.binds import binds_or_default
from webdemo.config.checks import check_folders
from webdemo.config.planning import make_plan
from webdemo.config.settings import FIELDS
from webdemo.config.sources import Resolved, read_settings
from webdemo.errors import UsageError
from webdemo.net.bind import Bind
from webdemo.servers import registry
from webdemo.supervisor.plan import Plan

NEEDS_RESTART = ("admin", "dashboard", "dashboard_read_only", "in_process", "open")
LISTENING = ("bind", "port", "host", "server")
"""They need a restart if the sockets that they ask for are other ones; otherwise they apply too."""


class Rereading:
    """Reads the settings again at a reload, in the folder to which the user's path leads by then."""

    def __init__(
        self,
        flags: Mapping[str, Any],
        resolved: Resolved,
        folder: Path,
        opened: Iterable[Bind],
        activated: Iterable[Bind] = (),
    ) -> None:
        """`opened`: the binds of the open sockets; `activated`: those that systemd has passed."""
        self.resolved = resolved
        self._flags = flags
        self._folder = folder
        self._activated = list(activated)
        # Without the servers and options of the settings: a server that is left is of systemd's names.
        self._opened = [
            replace(bind, server=None if wanted.server else bind.server, options=()) if wanted else bind
            for bind, wanted in _matched(opened, self._wanted(resolved))
        ]

    def read(self) -> tuple[Plan, str]:
        """The plan from now on, on the same sockets, and what has changed in a line. Raises UsageError."""
        try:
            os.chdir(self._folder)
        except OSError as exc:
            raise UsageError(
                f"The folder {self._folder} cannot be entered: {exc.strerror}.",
                remedy="Put it back, or start webdemo in the folder that holds the app.",
            ) from exc
        before, now = self.resolved, read_settings(self._flags)
        old, new = before.settings, now.settings
        changed = {name: getattr(old, name) for name in FIELDS if getattr(old, name) != getattr(new, name)}
        needs_sockets = self._sockets(before) != self._sockets(now)
        kept = {
            name: value
            for name, value in changed.items()
            if name in NEEDS_RESTART or (needs_sockets and name in LISTENING)
        }
        now = now._replace(settings=replace(new, **kept))
        matched = _matched(self._opened, self._wanted(now))
        binds = [
            replace(bind, server=wanted.server or bind.server, options=wanted.options) if wanted else bind
            for bind, wanted in matched
        ]
        check_folders(now)
        plan = make_plan(now, binds)._replace(folder=str(Path.cwd()))
        self.resolved = now
        told = [
            f"{', '.join(name.replace('_', '-') for name in names)} changed{what}"
            for names, what in (
                ([name for name in changed if name not in kept], ""),
                (kept, ", which needs a restart"),
            )
            if names
        ]
        return plan, f"Settings: {'; '.join(told)}." if told else ""

    def _wanted(self, resolved: Resolved) -> list[Bind]:
        return binds_or_default(resolved, self._activated)

    def _sockets(self, resolved: Resolved) -> Counter[tuple[object, ...]]:
        """What cannot change while the sockets are open, by bind."""
        found: Counter[tuple[object, ...]] = Counter()
        for bind in self._wanted(resolved):
            adapter = registry.find(bind.server or resolved.settings.server)
            where = (bind.host, bind.port, bind.path, bind.fd, bind.tls, bind.mode)
            found[(*where, adapter.protocol, adapter.opens_own_sockets)] += 1
        return found


def _matched(opened: Iterable[Bind], wanted: Iterable[Bind]) -> list[tuple[Bind, Bind | None]]:
    """Each open bind with the one of the settings that it was opened for; None if another port was chosen."""
    left, matched = list(wanted), []
    for bind in opened:
        same = [w for w in left if (w.host, w.path, w.fd) == (bind.host, bind.path, bind.fd)]
        found = next((w for port in (bind.port, 0) for w in same if w.port == port), None)
        if found is not None:
            left.remove(found)
        matched.append((bind, found))
    return matched
