"""`python -m bench`: what it says when something is missing, and that a part runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import content, inproc, instructions, load, threads, wire
from bench.cases import CASES
from bench.contestants import BARE, OWN, find
from bench.effort import QUICK
from bench.processes import Running, ask
from bench.tables import Part
from tests.free_ports import free_port

SECONDS = 60


def test_missing_wrk_is_said_and_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not load.is_there()
    for part in (wire.measure(QUICK), threads.measure(QUICK)):
        assert "there is no wrk here" in part.notes[0]
        assert part.tables == []


def test_missing_valgrind_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    part = Part("inproc")
    instructions.add(part, [find(BARE)], tmp_path)
    assert part.notes == ["Instructions are not counted: there is no valgrind here."]


@pytest.mark.process
def test_unknown_part_is_refused_with_those_that_there_are() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bench", "memory"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert result.returncode == 2
    assert "there is no part 'memory'; these are: inproc, edge, wire, threads, start, ports" in result.stderr


def test_calls_take_cpu_time(tmp_path: Path) -> None:
    runners, _ = inproc.equal_runners(CASES[0], [find(BARE), find(OWN)], tmp_path)
    assert runners[OWN].calls(50) > 0


@pytest.mark.process
def test_running_tells_of_a_command_that_does_not_answer(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('it cannot')"]
    with pytest.raises(RuntimeError, match="it cannot"), Running([command], [free_port()], tmp_path / "log"):
        raise AssertionError("it answers")


@pytest.mark.process
def test_running_starts_weighs_and_stops_a_server(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("hello")
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind=127.0.0.1", f"--directory={tmp_path}", str(port)]
    with Running([command], [port], tmp_path / "log") as running:
        assert ask(port, "/file.txt").body == b"hello"
        assert running.ready_seconds > 0
        assert running.cpu_seconds() > 0
        assert running.pss_bytes() > 1_000_000
        assert running.peak_bytes() > 1_000_000
        pid = running.pids()[0]
        assert running.stop() < SECONDS
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.process
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind")
@pytest.mark.timeout(300)
@pytest.mark.deep
def test_instructions_are_counted_for_each_case(tmp_path: Path) -> None:
    content.write_files(tmp_path)
    counted = instructions.count(str(shutil.which("valgrind")), BARE, tmp_path)
    assert counted.keys() == {case.name for case in CASES}
    assert 1000 < counted["hello"] < counted["json"] < counted["page"]
