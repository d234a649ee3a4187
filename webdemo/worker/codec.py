"""The codec of all messages: NamedTuples as lines of JSON. Runs in every process that sends or receives one.

The rule: nothing acts on a message that is not exactly what its class declares. Undeclared, missing and
invalid fields are refused by name.

NamedTuples instead of dataclasses, because creating such a class takes a seventh of the time, in every start.
A message without fields is false, and equal to every other one without fields: tell messages apart by class.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from webdemo.errors import UsageError

M = TypeVar("M", bound=NamedTuple)

_LONGEST_SHOWN = 60


class InvalidMessage(UsageError):
    """The received bytes or fields are not a valid message."""


class FieldType(NamedTuple):
    """How to read a field from JSON. As the metadata of `Annotated`, it replaces what the type implies."""

    words: str
    types: tuple[type, ...]  # the exact types that JSON yields for it
    convert: Callable[[str, Any], object] | None = None
    """Called with the field's name, for nested errors, and a value of these types. May raise ValueError."""

    def read(self, name: str, value: object) -> object:
        if type(value) in self.types:
            if value is None or self.convert is None:
                return value
            with contextlib.suppress(ValueError):
                return self.convert(name, value)
        raise InvalidMessage(f"{name} cannot be {shown(value)}.", remedy=f"It is {self.words}.")


_SIMPLE = {
    str: FieldType("text", (str,)),
    bool: FieldType("true or false", (bool,)),
    int: FieldType("a whole number", (int,)),
    float: FieldType("a number", (int, float)),
    NoneType: FieldType("null", (NoneType,)),
    Path: FieldType("a path", (str,), lambda _, value: Path(value)),
}


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


def _plain(value: Any) -> object:
    if hasattr(value, "_asdict"):
        return plain(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


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
        if value is not None or (name in fields and NoneType in field_type.types):
            found[name] = field_type.read(prefix + name, value)
        elif name not in kind._field_defaults:
            raise InvalidMessage(f"{prefix}{name} is missing.", remedy=f"It is {field_type.words}.")
    make: Callable[..., M] = kind
    return make(**found)


@cache
def _field_types(kind: type[NamedTuple]) -> dict[str, FieldType]:
    return {name: _field_type(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def _field_type(kind: Any) -> FieldType:
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        field_type: FieldType = parts[1]
        return field_type
    if origin in (Union, UnionType):
        return _union(list(map(_field_type, parts)))
    if origin is tuple:
        return FieldType("a list", (list,), partial(_read_list, _field_type(parts[0])))
    if origin is Literal:
        return FieldType(f"one of {', '.join(parts)}", (str,), partial(_read_literal, parts))
    if origin is dict:
        return FieldType("an object", (dict,), partial(_read_dict, _field_type(parts[1])))
    return FieldType("an object", (dict,), lambda name, value: build(kind, value, prefix=f"{name}."))


def _union(parts: list[FieldType]) -> FieldType:
    """At most one of the parts may have a `convert`: JSON would not tell several apart."""
    return FieldType(
        " or ".join(part.words for part in parts),
        tuple(kind for part in parts for kind in part.types),
        next((part.convert for part in parts if part.convert), None),
    )


def _read_list(item: FieldType, name: str, values: list[object]) -> tuple[object, ...]:
    if item.convert is None and set(map(type, values)).issubset(item.types):  # fast: a series may be long
        return tuple(values)
    return tuple(item.read(f"{name}[{number}]", value) for number, value in enumerate(values))


def _read_literal(values: tuple[str, ...], name: str, value: str) -> str:
    if value not in values:
        raise ValueError
    return value


def _read_dict(item: FieldType, name: str, values: dict[str, object]) -> dict[str, object]:
    return {key: item.read(f"{name}[{shown(key)}]", value) for key, value in values.items()}


def shown(value: object) -> str:
    """The value's repr for a message, cut to 60 characters."""
    if isinstance(value, str | bytes):
        value = value[: _LONGEST_SHOWN + 1]
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer with thousands of digits, or nested too deeply
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
