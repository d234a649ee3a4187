"""What is known about an exception, as data that is safe to show: bounded, and with secrets masked.

The rule: nothing of the app can make the report fail, grow without bound, or end the process: not a
`__repr__` or `__str__` that raises, not huge or recursive values, not an endless recursion.
"""

from __future__ import annotations

import linecache
import os
import reprlib
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from urllib.parse import quote

from webdemo.user_code import is_own, own_traceback
from webdemo.web.masking import LONGEST_SHOWN, MASK, is_secret_name, mask_text

_LINES_AROUND = 5
_MOST_FRAMES = 40  # of one exception; those in the middle of an endless recursion are left out
_MOST_VARIABLES = 60
_MOST_CAUSES = 8
_LONGEST_MESSAGE = 4000

# The URLs by which editors open a file, by the name of the command in VISUAL or EDITOR.
_EDITORS = {
    "code": "vscode://file{file}:{line}",
    "codium": "vscodium://file{file}:{line}",
    "cursor": "cursor://file{file}:{line}",
    "idea": "idea://open?file={file}&line={line}",
    "pycharm": "pycharm://open?file={file}&line={line}",
    "subl": "subl://open?url=file://{file}&line={line}",
    "zed": "zed://file{file}:{line}",
}


class SourceLine(NamedTuple):
    number: int
    text: str
    is_current: bool


class Frame(NamedTuple):
    """One call: `left_out` is the number of calls that are not shown before it."""

    file: str
    short_file: str
    line: int
    function: str
    is_own: bool
    source: tuple[SourceLine, ...]
    variables: tuple[tuple[str, str], ...]
    editor_url: str
    left_out: int = 0


class Report(NamedTuple):
    """An exception and the frames that it passed, outermost first; and those that led to it."""

    kind: str
    message: str
    frames: tuple[Frame, ...]
    text: str  # the traceback, of the app's own frames if there are any
    relation: str = ""  # to the exception after it, which it led to
    earlier: tuple[Report, ...] = ()  # the causes, first one first

    @classmethod
    def of(cls, exc: BaseException) -> Report:
        text = "".join(own_traceback(exc)[0].format())
        return cls(*_named(exc), _frames(exc), text, earlier=tuple(_causes(exc)))


def _causes(exc: BaseException) -> list[Report]:
    found: list[Report] = []
    seen = {id(exc)}
    while len(found) < _MOST_CAUSES:
        if exc.__cause__ is not None:
            exc, relation = exc.__cause__, "was the direct cause of"
        elif exc.__context__ is not None and not exc.__suppress_context__:
            exc, relation = exc.__context__, "was being handled when this happened:"
        else:
            break
        if id(exc) in seen:
            break
        seen.add(id(exc))
        found.insert(0, Report(*_named(exc), _frames(exc), "", relation))
    return found


def _named(exc: BaseException) -> tuple[str, str]:
    """The exception's class, and its message with what the traceback module adds: notes, the syntax error."""
    lines = "".join(traceback.TracebackException(type(exc), exc, None).format_exception_only()).rstrip("\n")
    message = lines if isinstance(exc, SyntaxError) else lines.partition(": ")[2]
    return type(exc).__qualname__, _cut(message, _LONGEST_MESSAGE)


def _frames(exc: BaseException) -> tuple[Frame, ...]:
    calls = list(traceback.walk_tb(exc.__traceback__))
    calls = [(frame, line) for frame, line in calls if not _is_ours(frame)] or calls[-1:]
    if isinstance(exc, SyntaxError) and exc.filename and not exc.filename.startswith("<"):
        last = [_frame_at(exc.filename, exc.lineno or 1, "", {})]
    else:
        last = []
    left_out = len(calls) - _MOST_FRAMES
    half = _MOST_FRAMES // 2
    if left_out > 0:
        calls = calls[:half] + calls[-half:]
    frames = [_frame_at(f.f_code.co_filename, line, f.f_code.co_name, f.f_locals) for f, line in calls]
    if left_out > 0:
        frames[half] = frames[half]._replace(left_out=left_out)
    return (*frames, *last)


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("webdemo.")


def _frame_at(file: str, line: int, function: str, variables: Mapping[str, Any]) -> Frame:
    own = is_own(file)
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    first = max(1, line - _LINES_AROUND)
    around = lines[first - 1 : line + _LINES_AROUND] if own else lines[line - 1 : line]
    first = first if own else line
    return Frame(
        file=file,
        short_file=_short(file),
        line=line,
        function=function,
        is_own=own,
        source=tuple(
            SourceLine(number, _cut(text.rstrip("\n"), 500), number == line)
            for number, text in enumerate(around, first)
        ),
        variables=tuple(_shown_variables(variables)) if own else (),
        editor_url=_editor_url(file, line) if lines else "",
    )


def _short(file: str) -> str:
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (ValueError, OSError):
        _, packages, rest = file.rpartition("/site-packages/")
        return rest if packages else file


def _editor_url(file: str, line: int) -> str:
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    name = Path(command.split(" ")[0]).name
    return _EDITORS.get(name, _EDITORS["code"]).format(file=quote(file), line=line)


# -- values ----------------------------------------------------------------------------------------


def _shown_variables(variables: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = [str(name) for name in list(variables)[: _MOST_VARIABLES + 1] if str(name).isidentifier()]
    return [(name, shown_value(name, variables[name])) for name in names[:_MOST_VARIABLES]]


def shown_value(name: str, value: Any) -> str:
    """The value's repr, cut, and masked as on /inspect: by its name, names in it, and what it looks like."""
    if is_secret_name(name) and value is not None and not callable(value):
        return MASK
    try:
        return _cut(_values.repr(value), LONGEST_SHOWN)
    except BaseException as exc:  # noqa: BLE001 - a __repr__ may raise whatever it likes, SystemExit too
        return f"({type(value).__name__}; its repr raised {type(exc).__name__})"


class _Values(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = 20
        self.maxstring = self.maxother = 600

    def repr_str(self, value: str, level: int) -> str:
        return super().repr_str(mask_text(value[:LONGEST_SHOWN]), level)

    def repr_bytes(self, value: bytes, level: int) -> str:
        return "b" + self.repr_str(value[:LONGEST_SHOWN].decode("latin-1"), level)

    def repr_instance(self, value: Any, level: int) -> str:
        return mask_text(super().repr_instance(value, level))

    def repr_dict(self, value: dict[Any, Any], level: int) -> str:
        if level <= 0:
            return "{...}" if value else "{}"
        pairs = []
        for key in list(value)[: self.maxdict]:
            secret = isinstance(key, str) and is_secret_name(key)
            pairs.append(
                f"{self.repr1(key, level - 1)}: {MASK if secret else self.repr1(value[key], level - 1)}"
            )
        return f"{{{', '.join(pairs)}{', ...' if len(value) > self.maxdict else ''}}}"


_values = _Values()


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} ... ({len(text):,} characters)"
