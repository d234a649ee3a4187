"""What messages between processes may hold, and what is made of text that claims to be one.

The rule: whoever acts on a message acts on one that fits its form. A form declares each field of one
kind of message; what is not declared, missing, or of another kind is refused with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from webdemo.errors import UsageError

Message = dict[str, Any]

_LONGEST_SHOWN = 60
_MOST = 10**9  # more than there is of anything that is asked for
_LONGEST_PATH = 200  # of a Unix socket; systems allow some 100 bytes


class Kind(NamedTuple):
    """What a field may hold: in words, and as a check."""

    words: str
    fits: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value


class Field(NamedTuple):
    kind: Kind
    is_required: bool = True
    default: Any = None  # if it may be left out, or be null


Form = Mapping[str, Field]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TEXT = Kind("text", lambda value: isinstance(value, str))
PORT = Kind(
    "a port number, or the path of a Unix socket",
    lambda value: (
        (isinstance(value, str) and len(value) <= _LONGEST_PATH)
        or (type(value) is int and value in range(65536))
    ),
    str,
)
COUNT = Kind(
    "a number, 0 or more",
    lambda value: _is_number(value) and 0 <= value < float("inf"),
    lambda value: min(value, _MOST),
)
NUMBER = Kind("a number", _is_number)
TEXTS = Kind("a list of texts", lambda value: isinstance(value, list) and all(map(TEXT.fits, value)))
VERSIONS = Kind(
    "the versions of packages",
    lambda value: isinstance(value, dict) and all(v is None or isinstance(v, str) for v in value.values()),
)


class NoMessage(ValueError):
    """What has come is no message, or none of a known form."""

    def __init__(self, why: str) -> None:
        super().__init__(f"a message cannot be read: {why}")


def decode(data: bytes) -> Message:
    """The object that these bytes are in JSON; raises NoMessage, whatever they are."""
    try:
        message = json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:  # nested too deeply, or no UTF-8
        raise NoMessage(f"{shown(data)} is no JSON ({type(exc).__name__})") from None
    if not isinstance(message, dict):
        raise NoMessage(f"{shown(data)} is no JSON object")
    return message


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def fields(message: Message, form: Form) -> dict[str, Any]:
    """Each field of the form, as the message has it or by default; raises UsageError."""
    given = {name: value for name, value in message.items() if value is not None}
    for name in given.keys() - form.keys():
        known = ", ".join(form) or "nothing else"
        raise UsageError(f"There is no field {shown(name)} here.", remedy=f"It takes {known}.")
    found = {}
    for name, field in form.items():
        value = given.get(name)
        if value is None and field.is_required:
            raise UsageError(f"{name} is missing.", remedy=f"It is {field.kind.words}.")
        if value is not None and not field.kind.fits(value):
            raise UsageError(f"{name} cannot be {shown(value)}.", remedy=f"It is {field.kind.words}.")
        found[name] = field.default if value is None else field.kind.convert(value)
    return found


def shown(value: object) -> str:
    """The value for people to recognize, however long it is."""
    if isinstance(value, str | bytes):
        value = value[: _LONGEST_SHOWN + 1]
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with thousands of digits; lists within lists
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
