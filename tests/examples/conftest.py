"""Starts examples/notes as its README does, on free ports and with an empty folder for its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running import Running, Start

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "notes"


@pytest.fixture
def start_notes(running: Start, tmp_path: Path) -> Start:
    """Takes the binds and other arguments."""

    def start(*arguments: str) -> Running:
        environment = {
            "NOTES_DATA": str(tmp_path / "data"),
            "PYTHONPATH": str(EXAMPLE),
            "WEBDEMO_SECRET_KEY": "a key for tests, which is no secret",
        }
        return running("--app", "notes:app", *arguments, environment=environment)

    return start
