from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients.serving import SERVERS, Served, served


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(server: str) -> Iterator[Callable[[Path], Served]]:
    """Serves folders with each of the servers."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(served(server, folder))
