"""Finds the exception behind a 500 that the app answers itself. Runs in the server processes, with --debug.

Frameworks that catch every exception report it while they do: Bottle and Falcon write to wsgi.errors in their
`except`, where the exception is the current one; Django and many apps hand it to logging.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from functools import cache
from typing import Any

_request: ContextVar[Reported | None] = ContextVar("webdemo_reported", default=None)


class Reported:
    """The newest exception that the app has reported during a request, if any; is its wsgi.errors as well."""

    def __init__(self, errors: Any) -> None:
        self.exception: BaseException | None = None
        self._errors = errors
        _watch_logging()
        _request.set(self)

    def write(self, text: str) -> Any:
        self.exception = sys.exc_info()[1] or self.exception
        return self._errors.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._errors, name)


@cache
def _watch_logging() -> None:
    """Look at each log record as it is made, so that no handler or level of the app's logging changes."""
    make = logging.getLogRecordFactory()

    def look(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = make(*arguments, **more)
        reported = _request.get()
        if reported is not None and record.exc_info and record.levelno >= logging.ERROR:
            reported.exception = record.exc_info[1] or reported.exception
        return record

    logging.setLogRecordFactory(look)
