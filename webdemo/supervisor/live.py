"""What pages with live reload read, on the board that every server process reads.

Runs in the main process.
"""

from __future__ import annotations

import json
from typing import Any

from webdemo.errors import AppImportFailed, WebdemoError
from webdemo.stats.board import Board

_LONGEST_TRACEBACK = 16_000


def release_name(run: str, release: int) -> str:
    """The name under which pages know a release of the code."""
    return f"{run}.{release}"


class LiveReload:
    """A new version reloads pages, a new number of styles exchanges styles, an error is shown over pages."""

    def __init__(self, board: Board, run: str, *, is_on: bool) -> None:
        """`run` identifies the run: a page of an earlier one is reloaded, too. If off, it writes nothing."""
        self.is_on = is_on
        self._board = board
        self._run = run
        self._state: dict[str, Any] = {"files": 0, "styles": 0, "loading": False}
        self.serves(0)

    def serves(self, release: int) -> None:
        """This release of the code serves. A page of another one, from a process that drains, is reloaded."""
        self._write(release=release_name(self._run, release), error=None)

    def files_changed(self) -> None:
        """Files that the same processes serve have changed."""
        self._write(files=self._state["files"] + 1)

    def styles_changed(self) -> None:
        self._write(styles=self._state["styles"] + 1)

    def loads(self, is_loading: bool) -> None:
        """Whether a new release is on its way: pages then ask more often."""
        self._write(loading=is_loading)

    def failed(self, error: WebdemoError) -> None:
        """The new code cannot be loaded; the old code serves."""
        traceback = error.traceback[-_LONGEST_TRACEBACK:] if isinstance(error, AppImportFailed) else ""
        self._write(error={"problem": error.problem, "remedy": error.remedy, "traceback": traceback})

    def _write(self, **changed: Any) -> None:
        if self.is_on:
            self._state |= changed
            self._board.write(json.dumps(self._state).encode())
