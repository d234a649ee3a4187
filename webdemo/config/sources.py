"""Where settings come from: a file, the environment and the command line, in rising priority.

The file is the project's, in the current folder. With --directory no file is read: the folder being served,
or its parent, may be under the control of someone else. An unknown setting is refused with the nearest known
name.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from webdemo.config.settings import FIELDS, Settings
from webdemo.errors import UsageError
from webdemo.servers import nearest, parse_value
from webdemo.worker.app_import import read_env_file

SETTINGS_FILE = "webdemo.toml"
PYPROJECT = "pyproject.toml"
PREFIX = "WEBDEMO_"
ENV_FILE = ".env"
SECRET_KEY = "WEBDEMO_SECRET_KEY"  # read by the app itself
DEFAULT = "default"
FLAG = "flag"

# These both say where to listen: a source that gives one of them overrides both of lower-priority sources.
PLACES = ("bind", "port")


class Resolved(NamedTuple):
    """The settings, and the source of each value."""

    settings: Settings
    sources: Mapping[str, str]
    on_platform: bool  # PORT is in the environment: a platform routes requests to us from another machine


def read_settings(flags: Mapping[str, Any]) -> Resolved:
    """The settings from the current folder, the environment and `flags`; raises UsageError."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        raise UsageError(
            "The current folder has been deleted.", remedy="Change to one that exists, and start there."
        ) from None
    return _with_env_file(resolve_settings(flags, os.environ, folder), folder)


def resolve_settings(flags: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Resolved:
    """Read the settings from the file in `folder`, the environment and the flags; raises UsageError."""
    values: dict[str, Any] = {name: f.default for name, f in FIELDS.items()}
    sources = dict.fromkeys(values, DEFAULT)
    given_here = [_from_environment(environment), _from_flags(flags)]
    if not _serves_folder(given_here):
        given_here.insert(0, _from_file(folder))
    for given in given_here:
        if given.keys() & set(PLACES):
            for name in PLACES:
                values[name], sources[name] = (), DEFAULT
        # An app on the command line replaces a folder from the file or the environment.
        if "app" in given and "directory" not in given:
            values["directory"], sources["directory"] = "", DEFAULT
        for name, (value, source) in given.items():
            values[name], sources[name] = value, source
    settings = Settings(**values)
    if sources["app"] != DEFAULT and sources["app"] == sources["directory"]:
        raise UsageError("--app and --directory exclude each other.", remedy="Leave one of them out.")
    return Resolved(settings, sources, on_platform=bool(environment.get("PORT")))


def _serves_folder(given_here: list[dict[str, tuple[Any, str]]]) -> bool:
    """Whether the source of highest priority that says what to serve names a folder."""
    says = [given for given in given_here if given.keys() & {"app", "directory"}]
    return bool(says) and "directory" in says[-1]


def _from_flags(flags: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    return {name: (value, FLAG) for name, value in flags.items() if value is not None and value != ()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    given = {}
    for name, f in FIELDS.items():
        for variable in (f.metadata["variable"], PREFIX + name.upper()):
            if text := environment.get(variable, "").strip():
                given[name] = (_read_text(f, variable, text), variable)
    known = [*(PREFIX + name.upper() for name in FIELDS), SECRET_KEY]
    for variable in environment:
        if variable.startswith(PREFIX) and variable not in known:
            raise _unknown(variable, known, "The environment")
    return given


def _from_file(folder: Path) -> dict[str, tuple[Any, str]]:
    for name in (SETTINGS_FILE, PYPROJECT):
        path = folder / name
        if not path.is_file():
            continue
        table = _table(path)
        if name == PYPROJECT:
            table = _table_within(_table_within(table, "tool", "tool"), "webdemo", "tool.webdemo")
            if not table:
                continue
        keys: dict[str, str] = {}
        for key in table:
            first = keys.setdefault(_name_of(key, name), key)
            if first != key:
                raise UsageError(
                    f"{first} and {key} in {name} are the same setting.", remedy="Leave one of them out."
                )
        return {field: (_read_value(FIELDS[field], name, table[key]), name) for field, key in keys.items()}
    return {}


def _table_within(table: dict[str, Any], key: str, path: str) -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise UsageError(
            f"{path} in {PYPROJECT} is not a table.",
            remedy="Write [tool.webdemo] once, and the settings below it.",
        )
    return found


def _table(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        if path.name == PYPROJECT and "webdemo" not in text:
            return {}  # skips the import of tomllib: every Python project has this file
        import tomllib

        table = tomllib.loads(text)
        repr(table)  # a hexadecimal number may be too long to be printed
        return table
    except (ValueError, OSError) as exc:  # not TOML, not UTF-8, or not readable
        raise UsageError(
            f"{path.name} cannot be read: {exc}.", remedy="Fix the TOML syntax, or the file's permissions."
        ) from exc


def _name_of(key: str, source: str) -> str:
    """The setting's name, which may be written with dashes."""
    name = key.replace("-", "_")
    if name not in FIELDS:
        raise _unknown(key, [n.replace("_", "-") for n in FIELDS], source)
    return name


def _unknown(key: str, known: Sequence[str], source: str) -> UsageError:
    guess = nearest(key, known)
    remedy = f"Did you mean {guess}?" if guess else f"These are known: {', '.join(known)}."
    return UsageError(f"{source} has a setting that is not known: {key}.", remedy=remedy)


def _read_text(f: dataclasses.Field[Any], source: str, text: str) -> Any:
    if f.type == "tuple[str, ...]":
        # A bind may contain commas, so binds are separated by spaces only.
        return tuple(text.split() if f.name == "bind" else text.replace(",", " ").split())
    return _check_choice(f, source, parse_value(source, str(f.type), text))


def _read_value(f: dataclasses.Field[Any], source: str, value: Any) -> Any:
    """Convert a TOML value to the setting's type; one item counts as a list. Raises UsageError."""
    what = f"{f.name.replace('_', '-')} in {source}"
    if any(isinstance(item, str) and not item.strip() for item in _items(value)):
        raise UsageError(f"{what} is empty.", remedy="Give it a value, or leave it out.")
    if f.type == "tuple[str, ...]":
        items = _items(value)
        if all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
            return tuple(map(str, items))
    elif f.type == "str" and isinstance(value, str):
        return _check_choice(f, what, value)
    elif f.metadata["alone"] and isinstance(value, bool):
        return f.metadata["alone"] if value else f.default
    elif f.metadata["is_port"] and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    elif f.type == "bool" and isinstance(value, bool):
        return value
    elif f.type in ("int", "float") and isinstance(value, int | float) and not isinstance(value, bool):
        return parse_value(what, str(f.type), str(value))
    forms = {"tuple[str, ...]": "a list of strings", "str": "a string", "bool": "true or false"}
    form = "a port, or a string" if f.metadata["is_port"] else forms.get(str(f.type), "a number")
    raise UsageError(f"{what} cannot be {value!r}.", remedy=f"It is {form}.")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_choice(f: dataclasses.Field[Any], source: str, value: Any) -> Any:
    choices = f.metadata["choices"]
    if choices and value not in choices:
        raise UsageError(f"{source} cannot be {value!r}.", remedy=f"Choose {' or '.join(choices)}.")
    return value


def _with_env_file(resolved: Resolved, folder: Path) -> Resolved:
    """With --debug, the folder's .env. PORT in an env file sets the port, unless that is set, and no more."""
    s, sources = resolved.settings, dict(resolved.sources)
    if s.debug and not s.env_file and not s.directory and (folder / ENV_FILE).is_file():
        s, sources["env_file"] = replace(s, env_file=ENV_FILE), "debug"
    if s.env_file and not s.port and not s.bind:
        port = read_env_file(s.env_file).get("PORT", "").strip()
        if port:
            s, sources["port"] = replace(s, port=(port,)), s.env_file
    return resolved._replace(settings=s, sources=sources)


def given_as(resolved: Resolved, name: str) -> str:
    """What a setting was given as: an option, a variable, or a key in a file."""
    option, source = f"--{name.replace('_', '-')}", resolved.sources[name]
    if source in (SETTINGS_FILE, PYPROJECT):
        return f"{option[2:]} in {source}"
    return option if source in (FLAG, DEFAULT) else source


def given_folder() -> Path:
    """The current folder by the path that the user gave: a symlink to a release stays one."""
    given = Path(os.environ.get("PWD", ""))
    return given if given.is_absolute() and given.is_dir() and given.samefile(Path.cwd()) else Path.cwd()


def setting_rows(resolved: Resolved) -> list[tuple[str, str, str]]:
    """Each setting's name, value and source, as `webdemo config` prints them."""
    rows = []
    for name in FIELDS:
        value = getattr(resolved.settings, name)
        if isinstance(value, tuple):
            text = " ".join(value)
        elif isinstance(value, bool):
            text = "true" if value else "false"
        else:
            text = f"{value:g}" if isinstance(value, float) else str(value)
        rows.append((name.replace("_", "-"), text or "-", resolved.sources[name]))
    return rows


def settings_note(resolved: Resolved) -> str | None:
    """A note on which file set what, or why an existing one was not read; None if there is neither."""
    names = [name for name, source in resolved.sources.items() if source in (SETTINGS_FILE, PYPROJECT)]
    if names:
        listed = ", ".join(name.replace("_", "-") for name in names)
        return f"Settings from {resolved.sources[names[0]]}: {listed}."
    if resolved.settings.directory and Path(SETTINGS_FILE).is_file():
        return f"{SETTINGS_FILE} is not read, because --directory serves a folder and runs no project."
    return None


def env_file_note(resolved: Resolved) -> str | None:
    """Which variables an env file has, without their values; None without one."""
    s = resolved.settings
    if not s.env_file:
        return None
    names = ", ".join(read_env_file(s.env_file)) or "no variables"
    return f"From {s.env_file}: {names}."
