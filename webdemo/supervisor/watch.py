"""Watches the app's files, and reports each burst of changes once. Runs in a thread of the main process.

The rule: every file that may change a response counts, templates and data included. By-products (caches,
version control, editors' temporary files, logs, databases, the file that our output goes to) do not. A folder
that is deleted and created again is watched again.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import watchfiles

from webdemo.supervisor.loop import Barrier

IGNORED_FOLDERS = (
    ".git", ".hg", ".svn", ".venv", "venv", "node_modules", "site-packages", "__pycache__", ".tox",
    ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".idea", ".vscode", "*.egg-info",
)  # fmt: skip
IGNORED_FILES = (
    "*.py[cod]", "*~", "#*#", ".#*", "*.sw[opx]", "4913", "*.tmp", "*.bak", ".DS_Store",
    ".goutputstream-*", "*___jb_*___", "*.log", "*.pid", "*.lock", "*.sock",
    "nohup.out", "*.db", "*.db-*", "*.sqlite", "*.sqlite-*", "*.sqlite3", "*.sqlite3-*",
)  # fmt: skip

_LOOK_MS = 500  # how often the watched folders themselves are checked
_POLL_MS = 1000
_LONGEST_BURST = 16  # times `quiet_ms`: a program that never stops writing must not delay a reload forever

_Identity = tuple[int, int]


class Watcher:
    """Calls `on_change`, in its own thread, with the paths of each burst of changes.

    A burst is over when nothing has changed for `quiet_ms`. When the system has no watches left, files are
    polled every second instead. `on_note` is called with the cause and the remedy, and if folders cannot be
    watched. `exclude`: shell patterns of names, or of paths from a watched folder. `since`: a time in seconds
    since the epoch; files changed after it and before the watch began are reported with the first burst.
    """

    def __init__(
        self,
        paths: Iterable[str],
        on_change: Callable[[tuple[str, ...]], None],
        *,
        barrier: Barrier,
        on_note: Callable[[str], None] = lambda _: None,
        exclude: Iterable[str] = (),
        since: float | None = None,
        quiet_ms: int = 100,
    ) -> None:
        self._on_change = on_change
        self._on_note = on_note
        self._is_excluded = _matcher(exclude)
        self._since = since
        self._quiet_ms = quiet_ms
        self._paths: list[Path] = []
        for path in sorted({Path(path).resolve() for path in paths}):
            if not self.counts(str(path)):  # otherwise a folder above it is watched already
                self._paths.append(path)
        self._polls = False
        self._skips_unreadable = False
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=[self._identities()], name="webdemo-watch", daemon=True
        )
        self._barrier = barrier

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; when this returns, `on_change` will not be called again."""
        self._stop.set()
        self._thread.join()

    def counts(self, path: str) -> bool:
        """Whether a change to this path counts as a change of the app."""
        changed = Path(path)
        return any(
            changed == root or (root in changed.parents and self._counts_within(changed.relative_to(root)))
            for root in self._paths
        )

    def _counts_within(self, path: Path) -> bool:
        *folders, name = path.parts
        return not (
            any(map(_is_ignored_folder, folders))
            or _is_ignored_folder(name)
            or _is_ignored_file(name)
            or any(map(self._is_excluded, [*path.parts, *map(str, path.parents), str(path)]))
        )

    def _run(self, before: dict[Path, _Identity]) -> None:
        while not self._stop.is_set():
            if not before:
                self._stop.wait(_LOOK_MS / 1000)
            elif not self._barrier.call(partial(self._watch, before)):
                self._stop.wait(_POLL_MS / 1000)
            now = self._identities()
            replaced = tuple(str(path) for path in self._paths if now.get(path) != before.get(path))
            before = now
            if replaced and not self._stop.is_set():
                self._on_change(replaced)

    def _watch(self, identities: dict[Path, _Identity]) -> None:
        """Report changes until `stop` is called, or until one of the paths is replaced or deleted."""
        try:
            for changes in watchfiles.watch(
                *identities,
                watch_filter=lambda _, path: self.counts(path) and not _is_our_output(path),
                debounce=self._quiet_ms * _LONGEST_BURST,
                step=self._quiet_ms,
                stop_event=self._stop,
                rust_timeout=_LOOK_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                force_polling=self._polls or None,
                poll_delay_ms=_POLL_MS,
                ignore_permission_denied=self._skips_unreadable,
            ):
                if self._identities() != identities:
                    return
                changed = {path for _, path in changes} | set(self._missed())
                if changed:
                    self._on_change(tuple(sorted(changed)))
        except FileNotFoundError:
            return  # deleted just now
        except PermissionError:
            # Not from the start, because it would also hide that the system has no watches left.
            self._skips_unreadable = True
            self._on_note(
                "Folders that this user may not read are not watched: changes in them reload nothing. "
                "To watch less: start in the app's own folder."
            )
        except (OSError, RuntimeError) as exc:
            if self._polls:
                raise
            self._polls = True
            self._on_note(
                f"Files are polled every second because the system cannot watch them ({_reason(exc)}). "
                "To see changes at once, raise fs.inotify.max_user_watches and max_user_instances by sysctl."
            )

    def _missed(self) -> Iterator[str]:
        """The files that changed before the watch began; none the second time."""
        since, self._since = self._since, None
        if since is None:
            return
        for path in self._files():
            with contextlib.suppress(OSError):
                if path.stat().st_ctime > since and self.counts(str(path)) and not _is_our_output(str(path)):
                    yield str(path)

    def _files(self) -> Iterator[Path]:
        for root in self._paths:
            if root.is_file():
                yield root
            for folder, folders, files in os.walk(root):
                folders[:] = [name for name in folders if not _is_ignored_folder(name)]
                yield from (Path(folder, name) for name in files)

    def _identities(self) -> dict[Path, _Identity]:
        """Device and inode of each path that exists: a folder created again gets another identity."""
        found = {}
        for path in self._paths:
            try:
                status = path.stat()
            except OSError:
                continue
            found[path] = (status.st_dev, status.st_ino)
        return found


def _is_our_output(path: str) -> bool:
    """Whether our output is redirected to this file: a reload writes to it, and must not cause the next."""
    try:
        changed = Path(path).stat()
    except OSError:
        return False
    return any(os.path.samestat(changed, os.fstat(stream)) for stream in (1, 2))


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    expression = re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")
    return lambda name: expression.match(name) is not None


_is_ignored_folder = _matcher(IGNORED_FOLDERS)
_is_ignored_file = _matcher(IGNORED_FILES)


def _reason(exc: Exception) -> str:
    text = str(exc)
    return "the limit of watches is reached" if "limit" in text else "too many watchers"
