"""Parametrizes the server tests over every server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import running as runs
from tests.servers.kinds import KINDS
from webdemo.servers import registry


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A server, or a variant of one, by its name in kinds.KINDS."""
    name = str(request.param)
    if registry.find(KINDS[name][0]).version() is None:
        pytest.skip(f"{KINDS[name][0]} is not installed")
    return name


@pytest.fixture
def serving(running: runs.Start) -> runs.Start:
    """Like `running`, with the app of these tests."""
    source = (Path(__file__).parent / "app.py").read_text()

    def start(*arguments: str, **options: object) -> runs.Running:
        return running(*arguments, app=source, **options)

    return start
