"""Writes events as text for people or as JSON lines for programs. Runs in a thread of the main process.

The rule: the printer never blocks the supervisor and never makes it fail. The terminal may be paused, the
reader of a pipe may be slow or gone, the disk may be full: lines wait in a bounded queue, those beyond it and
those that cannot be written are dropped, and their number is written as soon as something can be written.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from collections.abc import Iterable
from typing import TextIO

from webdemo.errors import AppImportFailed, WebdemoError
from webdemo.middleware.access_log import coloured
from webdemo.supervisor import events
from webdemo.supervisor.actions import ACTIONS
from webdemo.supervisor.events import Event
from webdemo.text import format_duration, table, terminal_line

_MOST_WAITING = 8 << 20  # characters
_SECONDS_FOR_LAST_LINES = 2.0
_RETRY_SECONDS = 1.0
_UP = {"again": "is up again"} | {name: action.event for name, action in ACTIONS.items()}


class Printer:
    """Called with each event, always from one thread; writes in its own thread."""

    def __init__(self, stream: TextIO | None = None, *, colour: bool = False, as_json: bool = False) -> None:
        self._fd = (stream or sys.stdout).fileno()
        self._colour = colour
        self.as_json = as_json
        self._changed = threading.Condition()  # guards the next four
        self._waiting: list[str] = []
        self._waiting_size = 0
        self._not_read = 0  # lines dropped after those that wait
        self._is_closed = False
        self._failed = 0  # lines that could not be written
        self._failure = ""
        self._is_mid_line = False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        lines = self._format(event)
        if not lines:
            return
        text = "\n".join(lines) + "\n"
        with self._changed:
            if self._waiting_size < _MOST_WAITING:
                self._waiting.append(text)
                self._waiting_size += len(text)
                self._changed.notify()
            else:
                self._not_read += len(lines)

    def close(self) -> None:
        """Write the remaining lines, waiting _SECONDS_FOR_LAST_LINES at most for their reader."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_SECONDS_FOR_LAST_LINES)

    def _write(self) -> None:
        is_closed = False
        while not is_closed:
            with self._changed:
                if not self._waiting and not self._is_closed:
                    self._changed.wait(_RETRY_SECONDS if self._failed else None)
                text, self._waiting, self._waiting_size = "".join(self._waiting), [], 0
                not_read, self._not_read = self._not_read, 0
                is_closed = self._is_closed
            self._write_or_drop(text)
            if not_read and not self._failed:
                self._write_or_drop(self._dropped(not_read, "they were not read in time"))
            else:
                self._failed += not_read

    def _write_or_drop(self, text: str) -> None:
        """Write it after a note of what is missing; if that fails, this is missing, too."""
        if self._failed:
            if self._write_all(self._dropped(self._failed, f"they could not be written: {self._failure}")):
                self._failed += text.count("\n")
                return
            self._failed = 0
        self._failed = self._write_all(text)

    def _dropped(self, lines: int, why: str) -> str:
        return "\n".join([*self._format(events.Dropped(lines, why)), ""])

    def _write_all(self, text: str) -> int:
        """Write it, and return how many lines were not written."""
        begin = b"\n" if self._is_mid_line and text else b""  # ends the line that was cut
        data = memoryview(begin + text.encode("utf-8", "replace"))
        position = 0
        try:
            while position < len(data):
                try:
                    position += os.write(self._fd, data[position:])
                except BlockingIOError:  # another program has set our terminal or pipe to non-blocking mode
                    select.select([], [self._fd], [])
                else:
                    self._is_mid_line = data[position - 1] != 0x0A
        except OSError as exc:
            self._failure = exc.strerror or str(exc)
        return bytes(data[max(position, len(begin)) :]).count(b"\n")

    def _format(self, event: Event) -> list[str]:
        return self.json_lines(event) if self.as_json else self.lines(event)

    # -- text ------------------------------------------------------------------------------------

    def lines(self, event: Event) -> list[str]:
        match event:
            case events.Output(source, lines, complete):
                if complete:
                    return list(map(coloured, lines)) if self._colour else lines
                return self._said(source, lines)
            case events.Dropped(count, why):
                return [terminal_line(f"({count} lines were dropped because {why})")]
            case events.Loaded(_, str(reason)):
                return [f"Each server imports its own copy of the app, because {terminal_line(reason)}."]
            case events.Loaded():
                return []
            case events.Started(rows, seconds, app):
                what = "Folder" if app.startswith("/") else "App"
                ready = f"Ready in {format_duration(seconds)}. Stop with Ctrl-C."
                urls = (url for row in rows if row.state == "up" for url in row.open_urls)
                return [f"{what}: {terminal_line(app)}", *self._table(rows), ready, *open_lines(urls)]
            case events.Up(service, why, seconds, pids):
                return [f"{service} {_UP[why]} after {format_duration(seconds)} (pid {_listed(pids)})."]
            case events.StoppedService(service):
                return [f"{service} is stopped; its port is closed."]
            case events.Note(text):
                return [terminal_line(text)]
            case events.Changed(paths, seconds):
                shown = ", ".join(map(terminal_line, paths[:3])) + (" ..." if len(paths) > 3 else "")
                took = "" if seconds is None else f" ({format_duration(seconds)})"
                return [f"Changed: {shown}{took}"]
            case events.Draining(why, serves=False):
                return [f"Stopping ({why})."]
            case events.Draining(why, grace, delay):
                first = f"not ready from now on, and in {delay:g} s the ports close; " if delay else ""
                return [f"Stopping ({why}): {first}requests in flight have {grace:g} s."]
            case events.Stopped(seconds):
                return [f"Stopped after {format_duration(seconds)}."]
            case _:
                return self._failure_lines(event)

    def _failure_lines(self, event: events.Failure) -> list[str]:
        after: list[str] = []
        match event:
            case events.LoadFailed(error, old_code_serves):
                lines = [
                    *self._said("app", traceback_lines(error)),
                    *problem_lines(error, colour=self._colour),
                ]
                return [*lines, "The old code keeps running."] if old_code_serves else lines
            case events.Died(service, how, again, times, pid):
                when = "at once" if again == 0 else f"in {format_duration(again)}"
                who = f"{service} (pid {pid})" if pid else service
                often = f" ({times} times by now)" if times > 3 else ""
                problem = f"{who} {how}{often}; it is started again {when}."
            case events.Hung(service, seconds, pid):
                problem = f"{service} (pid {pid}) has answered nothing for {seconds:g} s; it is replaced."
            case events.LoaderLost(how, again):
                when = "" if again == 0 else f" in {format_duration(again)}"
                problem = f"The loader {how}; the servers keep running, and the app is loaded again{when}."
            case events.GivenUp(service, deaths, tail):
                often = f" after {deaths} deaths in quick succession" if deaths > 1 else ""
                problem = f"{service} is given up{often}; its port is closed."
                after = self._said(service, tail)
            case events.ReplaceFailed(service, why, tail):
                problem = f"The new {service} {why}; the old one keeps running."
                after = self._said(service, tail)
            case events.InternalError(what, trace):
                problem = f"Internal error; the run continues: {what}"
                after = self._said("webdemo", trace.rstrip().split("\n"))
            case events.CutOff(grace, pids):
                problem = f"Requests of process {_listed(pids)} were cut off after {grace:g} s."
        return [_red(problem) if self._colour else terminal_line(problem), *after]

    def json_lines(self, event: Event) -> list[str]:
        if isinstance(event, events.Output):
            if event.complete:
                return event.lines
            return [self._json(event, {"source": event.source, "line": line}) for line in event.lines]
        if isinstance(event, events.LoadFailed):
            fields = {"problem": event.error.problem, "remedy": event.error.remedy,
                      "old_code_serves": event.old_code_serves}  # fmt: skip
        else:
            fields = event._asdict()
            if isinstance(event, events.Started):
                fields["rows"] = [row._asdict() for row in event.rows]
        return [self._json(event, fields)]

    def _json(self, event: Event, fields: dict[str, object]) -> str:
        return json.dumps({"time": _now(), "event": type(event).__name__} | fields)

    def _table(self, rows: tuple[events.Row, ...]) -> list[str]:
        cells = [("SERVER", "VERSION", "URL", "PROCESS", "WORKERS")]
        for row in rows:
            urls = row.urls if row.state == "up" else ("given up",)
            cells += [(row.server, row.version, urls[0], _listed(row.pids), str(row.workers))]
            cells += [("", "", url, "", "") for url in urls[1:]]
        heading, *lines = table(cells)
        return [self._bold(heading), *lines]

    def _said(self, source: str, lines: Iterable[str]) -> list[str]:
        """Lines of foreign text, prefixed with their source so that they cannot pass for our own."""
        lead = f"{terminal_line(source)} |"
        if self._colour:
            lead = f"\x1b[2m{lead}\x1b[0m"
        return [f"{lead} {terminal_line(line)}" for line in lines]

    def _bold(self, text: str) -> str:
        return f"\x1b[1m{terminal_line(text)}\x1b[0m" if self._colour else terminal_line(text)


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


def open_lines(urls: Iterable[str]) -> list[str]:
    """A line on the URLs for other machines, if there are any."""
    listed = " ".join(urls)
    return [f"Open to other machines: {listed}"] if listed else []


def _red(text: str) -> str:
    return f"\x1b[31m{terminal_line(text)}\x1b[0m"


def _listed(pids: tuple[int, ...]) -> str:
    return " ".join(map(str, pids)) or "-"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
