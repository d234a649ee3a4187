"""A save is loaded however soon it follows another: worker/new_bytecode.py."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path

import pytest

from webdemo.worker import new_bytecode


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module's file that was saved just now; each further save has its size and its time."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "saved_twice.py"


def save(file: Path, text: str, at: float) -> None:
    file.write_text(text)
    os.utime(file, (at, at))
    sys.modules.pop(file.stem, None)
    importlib.invalidate_caches()


def imported(file: Path) -> object:
    with new_bytecode.not_kept():
        return importlib.import_module(file.stem).text


def test_a_second_save_within_a_second_is_loaded(saved: Path) -> None:
    now = time.time()
    for text in ("one", "two"):
        save(saved, f"text = {text!r}", now)
        assert imported(saved) == text


def test_so_is_one_that_fixes_a_failed_import(saved: Path) -> None:
    now = time.time()
    save(saved, "text = one", now)
    with pytest.raises(NameError):
        imported(saved)
    save(saved, "text = 'a'", now)
    assert imported(saved) == "a"


def test_bytecode_of_older_files_is_kept(saved: Path) -> None:
    save(saved, "text = 'one'", time.time() - 2)
    assert imported(saved) == "one"
    assert len(list((saved.parent / "__pycache__").iterdir())) == 1
