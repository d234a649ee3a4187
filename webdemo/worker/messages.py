"""Decoding and validation of messages between processes. Runs in every process that receives them.

The rule: nothing acts on a message that does not match its form. A form declares the fields of one kind of
message; undeclared, missing and invalid fields are refused with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from webdemo.errors import UsageError

Message = dict[str, Any]

_LONGEST_SHOWN = 60
_MOST = 10**9  # larger than any count that makes sense
_LONGEST_PATH = 200  # of a Unix socket; systems allow about 100 bytes


class Kind(NamedTuple):
    """A type of field: its description for messages, its check, and its conversion."""

    words: str
    fits: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value


class Field(NamedTuple):
    kind: Kind
    is_required: bool = True
    default: Any = None  # for an optional field that is missing or null


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
    """The received bytes are not a valid message."""

    def __init__(self, why: str) -> None:
        super().__init__(f"a message cannot be read: {why}")


def decode(data: bytes) -> Message:
    """Decode a JSON object. Raises NoMessage for any other bytes."""
    try:
        message = json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:  # RecursionError: nested too deeply
        raise NoMessage(f"{shown(data)} is no JSON ({type(exc).__name__})") from None
    if not isinstance(message, dict):
        raise NoMessage(f"{shown(data)} is no JSON object")
    return message


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def fields(message: Message, form: Form) -> dict[str, Any]:
    """The message's value, or the default, of each field of the form. Raises UsageError."""
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
    """The value's repr for a message, cut to 60 characters."""
    if isinstance(value, str | bytes):
        value = value[: _LONGEST_SHOWN + 1]
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with thousands of digits, or nested too deeply
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
