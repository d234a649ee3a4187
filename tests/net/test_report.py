"""The output of `webdemo port`, as text and as JSON, for real listeners."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from tests.net.programs import listening, needs_root, run_as_nobody
from webdemo.errors import BindTextError
from webdemo.net.bind import Bind
from webdemo.net.listener import listen
from webdemo.net.ports import ephemeral_range
from webdemo.net.report import answer, examine, free_port, render_listening

PYTHON = Path(sys.executable).name


def fact(text: str, label: str) -> str:
    """The line of a fact."""
    return next(
        line.strip().removeprefix(label).strip()
        for line in text.splitlines()
        if line.startswith(f"  {label}")
    )


@pytest.mark.process
def test_without_arguments_everything_that_listens_is_told(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    with listening() as (tcp, port), listening("AF_UNIX", str(path)) as (unix, _):
        lines = answer().splitlines()
        assert lines[0].split() == ["PORT", "ADDRESS", "USER", "PID", "SINCE", "COMMAND"]
        (row,) = (line.split() for line in lines if line.startswith(f"{port} "))
        assert row[1] == "127.0.0.1"
        assert row[3:4] == [str(tcp.pid)]
        assert row[6:8] == [PYTHON, "-c"]
        (row,) = (line.split() for line in lines if str(path) in line.split())
        assert (row[0], row[3]) == ("unix", str(unix.pid))
        found = json.loads(answer(as_json=True))
        (entry,) = (one for one in found if one["port"] == port)
        assert entry["processes"][0]["pid"] == tcp.pid
        assert entry["processes"][0]["is_mine"] is True
        assert str(path) in [one["path"] for one in found]


def test_path_made_to_deceive_is_shown_without_its_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\x0bb\nc d e f g h i j"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        text = answer()
    assert f"{tmp_path}/a\\x1b[31m\\x0bb" in text
    assert text.replace("\n", "").isprintable()


def test_nothing_that_listens_is_told_too() -> None:
    assert render_listening([]) == "Nothing listens on this machine, as far as this user can see."


@pytest.mark.process
@needs_root
def test_hidden_programs_are_counted() -> None:
    with listening() as (_, port):
        printed = run_as_nobody(
            "from webdemo.net.holders import tcp_listeners\n"
            "from webdemo.net.report import render_listening\n"
            f"print(render_listening(tcp_listeners({port})))"
        )
        assert printed.splitlines()[1].split() == [str(port), "127.0.0.1", "root", "?", "?", "?"]
        assert printed.splitlines()[3] == "One program is hidden: only its owner or root can see which."


def test_free_port_is_described_with_its_names_and_what_to_do() -> None:
    port = free_port()
    report = examine(port)
    assert report.free
    text = answer([str(port)])
    assert text.startswith(f"Port {port}\n")
    assert fact(text, "state") == "free"
    assert fact(text, "advice") == f"Serve there: webdemo --port {port}"


def test_well_known_port_has_every_kind_of_name() -> None:
    text = answer(["smtp"])
    assert text.startswith("Port 25\n")
    assert fact(text, "range").startswith("system (well-known), 0-1023: ")
    assert fact(text, "used for") == "Mail between servers; many networks block it for clients"
    assert fact(text, "IANA") == "smtp (tcp, udp) Simple Mail Transfer"
    assert fact(text, "browsers") == "refuse to open it (the Fetch standard's port blocking)"
    assert fact(text, "advice") == "Use another port for pages: no browser opens this one."


def test_port_of_the_kernels_own_range_is_marked() -> None:
    kernels = ephemeral_range()
    assert kernels is not None
    low, high = kernels
    text = answer([str(low + 1)])
    assert fact(text, "kernel") == f"uses ports {low}-{high} for outgoing connections, possibly this one"
    assert f"For a service choose one below {low}: an outgoing connection may be using this one." in text


@pytest.mark.process
def test_taken_port_is_described_with_its_holder_and_what_to_do() -> None:
    with listening() as (process, port):
        report = examine(port)
        assert not report.free
        assert report.next_free is not None
        text = answer([str(port)])
        assert fact(text, "listens").startswith(f"127.0.0.1:{port} is {PYTHON} -c ")
        assert f"(pid {process.pid}, yours, started " in fact(text, "listens")
        assert fact(text, "state") == "in use"
        assert report.advice[:2] == (
            f"Stop it: webdemo port {port} --stop",
            f"Use the next free port: webdemo --port {report.next_free}",
        )


@pytest.mark.process
@needs_root
def test_taken_port_of_another_user_is_not_offered_for_a_stop() -> None:
    with listening(as_nobody=True) as (_, port):
        assert not any("--stop" in advice for advice in examine(port).advice)


@pytest.mark.process
@needs_root
def test_port_that_needs_a_privilege_says_so() -> None:
    printed = run_as_nobody("from webdemo.net.report import answer\nprint(answer(['81']))")
    if "privileges" not in printed:
        pytest.skip("here every user may listen on port 81")
    assert fact(printed, "privileges").startswith("needed: this user may listen on ")
    assert fact(printed, "state") == "unavailable"
    assert fact(printed, "advice").startswith("Use a higher port (--port 8081), or allow it: ")


def test_port_zero_asks_for_any() -> None:
    text = answer(["0"])
    assert fact(text, "state") == "requests any free port"
    assert fact(text, "advice").startswith("Serve on any free port: webdemo --port 0 (free now: ")


@pytest.mark.process
def test_json_has_the_same_facts() -> None:
    with listening() as (process, port):
        (report,) = json.loads(answer([str(port)], as_json=True))
        assert report["port"] == port
        assert report["free"] is False
        assert report["range"]["name"] in ("user", "dynamic")
        assert report["listening"][0]["processes"][0]["pid"] == process.pid
        assert isinstance(report["next_free"], int)
        assert report["advice"]


@pytest.mark.process
def test_short_range_is_shown_port_by_port() -> None:
    with listening() as (process, port):
        low = min(port, 65530)
        text = answer([f"{low}-{low + 5}"])
        rows = text.splitlines()
        assert rows[0].split() == ["PORT", "RANGE", "USED", "FOR", "LISTENS"]
        assert [row.split()[0] for row in rows[1:7]] == [str(low + offset) for offset in range(6)]
        assert f"(pid {process.pid}, " in text
        assert rows[-1].startswith("6 ports, ")


@pytest.mark.process
def test_long_range_shows_what_is_in_use_or_well_known() -> None:
    with listening() as (_, port):
        table = [line.split()[0] for line in answer(["0-65535"]).splitlines()[1:-1]]
        entries = [str(entry["port"]) for entry in json.loads(answer(["0-65535"], as_json=True))]
        for shown in (table, entries):  # other programs' ports come and go between the two
            assert {str(port), "80", "443", "8000"} <= set(shown)
            assert "81" not in shown


def test_several_targets_are_answered_together() -> None:
    assert [line for line in answer(["ssh", "25", "25"]).splitlines() if line.startswith("Port")] == [
        "Port 22",
        "Port 25",
    ]


def test_target_without_meaning_is_refused() -> None:
    with pytest.raises(BindTextError):
        answer(["8000", "postgrse"])


def test_free_port_can_be_listened_on() -> None:
    port = free_port()
    for sock in listen(Bind(port=port)):
        sock.close()


def test_port_this_process_holds_itself_is_told_as_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (entry,) = json.loads(answer([str(server.getsockname()[1])], as_json=True))
        assert entry["listening"][0]["processes"][0]["pid"] == os.getpid()
