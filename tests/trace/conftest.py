"""A resolver with names chosen by the test: tests must not depend on, or query, real names."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.running import END_SECONDS
from webdemo.trace import answering

Names = Callable[..., None]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webdemo that is asked for its status may be busy beside other tests."""
    monkeypatch.setattr(answering, "_STATUS_SECONDS", END_SECONDS)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """`names(host=["127.0.0.1", ...])` makes names resolve to addresses, in this order."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, family: int = 0, *args: Any, **options: Any) -> list[Any]:
        if host not in known:
            return real(host, port, family, *args, **options)
        found = []
        for address in known[host]:
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            if family in (0, kind):
                found += real(address, port, kind, *args, **options)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def set_names(**addresses: list[str]) -> None:
        known.update({name.replace("_", "."): found for name, found in addresses.items()})

    return set_names
