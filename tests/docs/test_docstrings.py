"""Every public name of the framework has a docstring of its own, which editors show."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

import webdemo

PUBLIC = [name for name in webdemo.__all__ if name != "app"]  # the demo site


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """The public methods and computed attributes that webdemo defines for a class."""
    for base in inspect.getmro(value) if inspect.isclass(value) else ():
        if base.__module__.partition(".")[0] == "webdemo":
            for name, member in vars(base).items():
                if not name.startswith("_") and (inspect.isroutine(member) or hasattr(member, "__get__")):
                    yield f"{base.__name__}.{name}", member


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_and_its_members_have_docstrings(name: str) -> None:
    value = getattr(webdemo, name)
    documented = [(name, value), *_members(value)]
    assert [each for each, member in documented if not (member.__doc__ or "").strip()] == []
