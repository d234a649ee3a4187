"""What all tests of compare need."""

from __future__ import annotations

import pytest

from tests.running import START_SECONDS
from webdemo.compare import runner


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that start in this process may take longer beside other tests than beside nothing."""
    monkeypatch.setattr(runner, "START_SECONDS", START_SECONDS)
