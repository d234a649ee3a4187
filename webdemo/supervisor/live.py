"""What pages with live reload read, on the board that every server process reads.

Runs in the main process.
"""

from __future__ import annotations

import json

from webdemo.errors import AppImportFailed, WebdemoError
from webdemo.stats.board import Board

_LONGEST_TRACEBACK = 16_000


def release_name(run: str, release: int) -> str:
    """The name under which pages know a release of the code."""
    return f"{run}.{release}"


class LiveReload:
    """A new version reloads pages, a new number of styles exchanges styles, an error is shown over pages."""

    def __init__(self, board: Board, run: str) -> None:
        """`run` identifies the run: a page of an earlier one is reloaded, too."""
        self._board = board
        self._run = run
        self._release = 0
        self._files = 0
        self._styles = 0
        self._is_loading = False
        self._error: WebdemoError | None = None
        self._write()

    def serves(self, release: int) -> None:
        """This release of the code serves. A page of another one, from a process that drains, is reloaded."""
        self._release = release
        self._error = None
        self._write()

    def files_changed(self) -> None:
        """Files that the same processes serve have changed."""
        self._files += 1
        self._write()

    def loads(self, is_loading: bool) -> None:
        """Whether a new release is on its way: pages then ask more often."""
        self._is_loading = is_loading
        self._write()

    def styles_changed(self) -> None:
        self._styles += 1
        self._write()

    def failed(self, error: WebdemoError) -> None:
        """The new code cannot be loaded; the old code serves."""
        self._error = error
        self._write()

    def _write(self) -> None:
        error = self._error
        told = error and {
            "problem": error.problem,
            "remedy": error.remedy,
            "traceback": error.traceback[-_LONGEST_TRACEBACK:] if isinstance(error, AppImportFailed) else "",
        }
        state = {
            "release": release_name(self._run, self._release),
            "files": self._files,
            "styles": self._styles,
            "loading": self._is_loading,
            "error": told,
        }
        self._board.write(json.dumps(state).encode())
