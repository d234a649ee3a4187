"""Completion in the shell, by click: `_WEBDEMO_COMPLETE=bash_source webdemo`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from tests import running as runs
from webdemo.cli import main


def completed(*words: str) -> list[tuple[str, str]]:
    """What completes the last of these words of a command: the kind, and the value."""
    *before, incomplete = words
    shell = ShellComplete(main, {}, "webdemo", "_WEBDEMO_COMPLETE")
    return [(item.type, item.value) for item in shell.get_completions(before, incomplete)]


def test_servers_are_completed_wherever_one_is_named() -> None:
    for words in (("--server", "wai"), ("-s", "wai"), ("servers", "wai"), ("swap", "8000", "wai")):
        assert completed(*words) == [("plain", "waitress")], words
    assert completed("compare", "-s", "wai") == [("plain", "waitress")]
    assert completed("-b", "wai") == [("plain", "waitress://")]


def test_files_and_folders_are_left_to_the_shell() -> None:
    assert completed("--directory", "di") == [("dir", "di")]
    assert completed("--env-file", ".e") == [("file", ".e")]


def test_options_and_commands_are_completed() -> None:
    assert ("plain", "--spa") in completed("--sp")
    assert completed("comp") == [("plain", "compare"), ("plain", "compress")]


def test_ports_are_those_of_running_webdemos(
    running: runs.Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    run = running("-b", "waitress://127.0.0.1:0", environment={"XDG_RUNTIME_DIR": str(folder)})
    port = run.url.rstrip("/").rpartition(":")[2]
    for command in ("stop", "restart", "start", "swap"):
        assert completed(command, "") == [("plain", port)], command
    assert completed("stop", "x") == []


@pytest.mark.process
def test_the_script_for_a_shell_is_printed_by_the_command() -> None:
    done = subprocess.run(
        runs.SCRIPT,
        env=os.environ | {"_WEBDEMO_COMPLETE": "zsh_source"},
        capture_output=True,
        text=True,
        check=True,
        timeout=runs.START_SECONDS,
    )
    assert "#compdef webdemo" in done.stdout
