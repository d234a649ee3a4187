"""Writes events as text for people or as JSON lines for programs. Runs in a thread of the main process.

The rule: the printer never blocks the supervisor and never makes it fail. The terminal may be paused, and
the reader of a pipe may be slow or gone: lines wait in a bounded queue, and lines beyond it are dropped,
with a note.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import TextIO

from webdemo.errors import AppImportFailed, WebdemoError
from webdemo.middleware.access_log import coloured
from webdemo.supervisor import events
from webdemo.supervisor.actions import ACTIONS
from webdemo.supervisor.events import Event
from webdemo.text import format_duration, table, terminal_line

_MOST_LINES = 10_000
_LINES_AT_ONCE = 500
_SECONDS_FOR_LAST_LINES = 2.0
_UP = {"again": "is up again"} | {name: action.event for name, action in ACTIONS.items()}


class Printer:
    """Called with each event, always from one thread; writes in its own thread."""

    def __init__(self, stream: TextIO | None = None, *, colour: bool = False, as_json: bool = False) -> None:
        self._fd = (stream or sys.stdout).fileno()
        self._colour = colour
        self._as_json = as_json
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._news = threading.Event()
        self._is_closed = False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        for line in self.json_lines(event) if self._as_json else self.lines(event):
            if len(self._lines) < _MOST_LINES:
                self._lines.append(line)
            else:
                self._dropped += 1
        self._news.set()

    def close(self) -> None:
        """Write the remaining lines, waiting _SECONDS_FOR_LAST_LINES at most for their reader."""
        self._is_closed = True
        self._news.set()
        self._thread.join(_SECONDS_FOR_LAST_LINES)

    def _write(self) -> None:
        is_read = True
        while not self._is_closed or self._lines:
            self._news.wait()
            self._news.clear()
            while self._lines:
                batch = [self._lines.popleft() for _ in range(min(len(self._lines), _LINES_AT_ONCE))]
                if self._dropped:
                    batch.append(f"({self._dropped} lines were dropped because they were not read in time)")
                    self._dropped = 0
                is_read = is_read and self._write_all("".join(f"{line}\n" for line in batch))

    def _write_all(self, text: str) -> bool:
        """False when the reader has gone (`webdemo | head`); the servers keep running."""
        data = text.encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            return False
        return True

    # -- text ------------------------------------------------------------------------------------

    def lines(self, event: Event) -> list[str]:
        match event:
            case events.Output(source, line, complete):
                if complete:
                    return [coloured(line) if self._colour else line]
                return [self._said(source, line)]
            case events.Loaded(_, str(reason)):
                return [f"Each server imports its own copy of the app, because {terminal_line(reason)}."]
            case events.Loaded():
                return []
            case events.Started(rows, seconds):
                return [*self._table(rows), f"Ready in {format_duration(seconds)}. Stop with Ctrl-C."]
            case events.Up(service, pids, why, seconds):
                return [f"{service} {_UP[why]} after {format_duration(seconds)} (pid {_listed(pids)})."]
            case events.StoppedService(service):
                return [f"{service} is stopped; its port is closed."]
            case events.Note(text):
                return [terminal_line(text)]
            case events.Changed(paths):
                shown = ", ".join(map(terminal_line, paths[:3])) + (" ..." if len(paths) > 3 else "")
                return [f"Changed: {shown}"]
            case events.Draining(why, grace):
                return [f"Stopping ({why}): requests in flight have {grace:g} s."]
            case events.Stopped(seconds):
                return [f"Stopped after {format_duration(seconds)}."]
            case _:
                return self._failure_lines(event)

    def _failure_lines(self, event: events.Failure) -> list[str]:
        match event:
            case events.LoadFailed(error, old_code_serves):
                after = ["The old code keeps running."] if old_code_serves else []
                return [
                    *self._all_said("app", traceback_lines(error)),
                    *problem_lines(error, colour=self._colour),
                    *after,
                ]
            case events.Died(service, pid, how, again, times):
                when = "at once" if again == 0 else f"in {format_duration(again)}"
                who = f"{service} (pid {pid})" if pid else service
                often = f" (for the {times}th time)" if times > 3 else ""
                return [self._red(f"{who} {how}{often}; it is started again {when}.")]
            case events.Hung(service, pid, seconds):
                problem = f"{service} (pid {pid}) has answered nothing for {seconds:g} s; it is replaced."
                return [self._red(problem)]
            case events.LoaderLost(how, again):
                when = "" if again == 0 else f" in {format_duration(again)}"
                problem = f"The loader {how}; the servers keep running, and the app is loaded again{when}."
                return [self._red(problem)]
            case events.GivenUp(service, deaths, tail):
                often = f" after {deaths} deaths in quick succession" if deaths > 1 else ""
                problem = f"{service} is given up{often}; its port is closed."
                return [self._red(problem), *self._all_said(service, tail)]
            case events.ReplaceFailed(service, why, tail):
                problem = f"The new {service} {why}; the old one keeps running."
                return [self._red(problem), *self._all_said(service, tail)]
            case events.InternalError(what, trace):
                problem = f"Internal error; the run continues: {what}"
                return [self._red(problem), *self._all_said("webdemo", trace.rstrip().split("\n"))]
            case events.CutOff(pids, grace):
                return [self._red(f"Requests of process {_listed(pids)} were cut off after {grace:g} s.")]

    def json_lines(self, event: Event) -> list[str]:
        if isinstance(event, events.Output) and event.complete:
            return [event.line]
        if isinstance(event, events.LoadFailed):
            fields = {"problem": event.error.problem, "remedy": event.error.remedy,
                      "old_code_serves": event.old_code_serves}  # fmt: skip
        else:
            fields = event._asdict()
            if isinstance(event, events.Started):
                fields["rows"] = [row._asdict() for row in event.rows]
        return [json.dumps({"time": _now(), "event": type(event).__name__} | fields)]

    def _table(self, rows: tuple[events.Row, ...]) -> list[str]:
        cells = [("SERVER", "VERSION", "URL", "PROCESS", "WORKERS")]
        for row in rows:
            urls = row.urls if row.state == "up" else ("given up",)
            cells += [(row.server, row.version, urls[0], _listed(row.pids), str(row.workers))]
            cells += [("", "", url, "", "") for url in urls[1:]]
        heading, *lines = table(cells)
        return [self._bold(heading), *lines]

    def _said(self, source: str, line: str) -> str:
        """A line of foreign text, prefixed with its source so that it cannot pass for one of our own."""
        lead, line = f"{terminal_line(source)} |", terminal_line(line)
        return f"\x1b[2m{lead}\x1b[0m {line}" if self._colour else f"{lead} {line}"

    def _all_said(self, source: str, lines: Iterable[str]) -> list[str]:
        return [self._said(source, line) for line in lines]

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{terminal_line(text)}\x1b[0m" if self._colour else terminal_line(text)

    def _red(self, text: str) -> str:
        return _red(text) if self._colour else terminal_line(text)


def error_lines(error: WebdemoError, *, colour: bool) -> list[str]:
    """The app's traceback, if the failure is the app's own, then the problem and the remedy."""
    return [*map(terminal_line, traceback_lines(error)), *problem_lines(error, colour=colour)]


def problem_lines(error: WebdemoError, *, colour: bool) -> list[str]:
    """The problem and the remedy, a line each."""
    return [_red(error.problem) if colour else terminal_line(error.problem), terminal_line(error.remedy)]


def traceback_lines(error: WebdemoError) -> list[str]:
    """The traceback of the app's own failure, not escaped yet; empty for any other error."""
    if isinstance(error, AppImportFailed) and error.traceback:
        return error.traceback.rstrip().split("\n")
    return []


def _red(text: str) -> str:
    return f"\x1b[31m{terminal_line(text)}\x1b[0m"


def _listed(pids: tuple[int, ...]) -> str:
    return " ".join(map(str, pids)) or "-"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
