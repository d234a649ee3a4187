"""The codec of all messages: NamedTuples as lines of JSON. Runs in every process that sends or receives one.

The rule: nothing acts on a message that is not exactly what its class declares. Undeclared, missing and
invalid fields are refused by name.

NamedTuples instead of dataclasses, because creating such a class takes a seventh of the time, in every start.
A message without fields is false, and equal to every other one without fields: tell messages apart by class.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    NoReturn,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from webdemo.errors import UsageError

M = TypeVar("M", bound=NamedTuple)

_LONGEST_SHOWN = 60
# For each scalar type: the exact types that JSON yields for it, and the description for error messages.
_SCALARS: dict[type, tuple[set[type], str]] = {
    str: ({str}, "text"),
    bool: ({bool}, "true or false"),
    int: ({int}, "a whole number"),
    float: ({int, float}, "a number"),
    NoneType: ({NoneType}, "null"),
}


class InvalidMessage(UsageError):
    """The received bytes or fields are not a valid message."""


class FieldType(NamedTuple):
    """How to read a field from JSON. As the metadata of `Annotated`, it replaces what the type implies."""

    words: str
    fits: Callable[[Any], bool]
    convert: Callable[[str, Any], object] = lambda _, value: value
    """Called with the field's name, for nested errors, and with a value that fits."""

    def read(self, name: str, value: object) -> object:
        if not self.fits(value):
            raise InvalidMessage(f"{name} cannot be {shown(value)}.", remedy=f"It is {self.words}.")
        return self.convert(name, value)


class Codec(Generic[M]):
    """Encodes and decodes messages of these classes; the field `tag` holds the class's name in lower case."""

    def __init__(self, tag: str, *kinds: type[M]) -> None:
        self._tag = tag
        self._kinds = {kind.__name__.lower(): kind for kind in kinds}

    def encode(self, message: M) -> bytes:
        """The message as a line, without the line's end."""
        return json.dumps({self._tag: type(message).__name__.lower(), **plain(message)}).encode()

    def decode(self, line: bytes) -> M:
        """Raises InvalidMessage."""
        fields = read_object(line)
        name = fields.pop(self._tag, None)
        kind = self._kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            known = ", ".join(self._kinds)
            raise InvalidMessage(f"{self._tag} cannot be {shown(name)}.", remedy=f"It is one of {known}.")
        return build(kind, fields)


def plain(message: NamedTuple) -> dict[str, object]:
    """The message's fields, ready for JSON."""
    return {name: _plain(value) for name, value in message._asdict().items()}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return plain(value) if _is_message(value) else [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _is_message(value: tuple[object, ...]) -> TypeGuard[NamedTuple]:
    return hasattr(value, "_fields")


def read_object(line: bytes) -> dict[str, object]:
    """Parse a JSON object; raises InvalidMessage for any other bytes."""
    try:
        found = json.loads(line.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # RecursionError: nested too deeply
        found = None
    if not isinstance(found, dict):
        raise InvalidMessage(f"A message cannot be {shown(line)}.", remedy="It is a JSON object on a line.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def build(kind: type[M], fields: Mapping[str, object], *, prefix: str = "") -> M:
    """The message from the fields of a JSON object. Raises InvalidMessage, which names the field."""
    known = _field_types(kind)
    for name in fields.keys() - known.keys():
        takes = ", ".join(known) or "no fields"
        raise InvalidMessage(f"There is no field {shown(prefix + name)} here.", remedy=f"It takes {takes}.")
    found: dict[str, Any] = {}
    for name, field_type in known.items():
        value = fields.get(name)
        if value is not None or (name in fields and field_type.fits(None)):
            found[name] = field_type.read(prefix + name, value)
        elif name not in kind._field_defaults:
            raise InvalidMessage(f"{prefix}{name} is missing.", remedy=f"It is {field_type.words}.")
    make: Callable[..., M] = kind
    return make(**found)


@functools.cache
def _field_types(kind: type[NamedTuple]) -> dict[str, FieldType]:
    return {name: _field_type(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def _field_type(hint: Any) -> FieldType:
    alternatives = _alternatives(hint)
    if types := _json_types(alternatives):
        return FieldType(_words(alternatives), lambda value: type(value) in types)
    if NoneType in alternatives:
        [kind] = [part for part in alternatives if part is not NoneType]
        inner = _field_type(kind)
        return FieldType(
            f"{inner.words}, or null",
            lambda value: value is None or inner.fits(value),
            lambda name, value: None if value is None else inner.convert(name, value),
        )
    return _field_type_of(hint)


def _field_type_of(kind: Any) -> FieldType:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        field_type: FieldType = kind.__metadata__[0]
        return field_type
    if origin is tuple:
        return _list_of(parts[0])
    if origin is dict:
        inner = _field_type(parts[1])
        return FieldType(
            "an object",
            lambda value: type(value) is dict,
            lambda name, value: {
                key: inner.read(f"{name}[{shown(key)}]", item) for key, item in value.items()
            },
        )
    if kind is Path:
        return FieldType("a path", lambda value: type(value) is str, lambda _, value: Path(value))
    return FieldType(
        "an object",
        lambda value: type(value) is dict,
        lambda name, value: build(kind, value, prefix=f"{name}."),
    )


def _list_of(item: Any) -> FieldType:
    alternatives = _alternatives(item)
    if types := _json_types(alternatives):  # all items are checked at once: a series may be long
        return FieldType(
            f"a list, each item {_words(alternatives)}",
            lambda value: type(value) is list and types.issuperset(map(type, value)),
            lambda _, value: tuple(value),
        )
    inner = _field_type(item)
    return FieldType(
        "a list",
        lambda value: type(value) is list,
        lambda name, value: tuple(inner.read(f"{name}[{n}]", each) for n, each in enumerate(value)),
    )


def _alternatives(hint: Any) -> Sequence[Any]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else [hint]


def _json_types(alternatives: Sequence[Any]) -> set[type]:
    """The exact types that JSON yields for these scalar types; empty if one is not scalar."""
    found: set[type] = set()
    for kind in alternatives:
        if kind not in _SCALARS:
            return set()
        found |= _SCALARS[kind][0]
    return found


def _words(alternatives: Sequence[Any]) -> str:
    return " or ".join(_SCALARS[kind][1] for kind in alternatives)


def shown(value: object) -> str:
    """The value's repr for a message, cut to 60 characters."""
    if isinstance(value, str | bytes):
        value = value[: _LONGEST_SHOWN + 1]
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with thousands of digits, or nested too deeply
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
