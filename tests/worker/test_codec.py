"""Any bytes received as a message have a known form, or are refused by the name of the field."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.middleware.stack import EdgeSettings, Features, ServiceFacts
from webdemo.servers import Certificate, MadeCertificate
from webdemo.stats.figures import Sample, Series, ServiceHistory
from webdemo.supervisor.control_messages import (
    COMMANDS,
    Completed,
    Count,
    History,
    Killed,
    Log,
    LogLine,
    LogLines,
    Port,
    ProcessStatus,
    Reload,
    Reply,
    Restart,
    RunHistory,
    RunStatus,
    ServiceStatus,
    Start,
    Stop,
    Swap,
)
from webdemo.worker.app_import import Target
from webdemo.worker.codec import Codec, InvalidMessage, build, plain, read_object, shown
from webdemo.worker.messages import (
    LOADER_REPORTS,
    ORDERS,
    SERVER_REPORTS,
    Began,
    Exited,
    Failed,
    Load,
    Loaded,
    Ready,
    Refused,
    Signal,
    Sources,
    Spawn,
    Spawned,
)


class Inner(NamedTuple):
    name: str
    size: float | None


class Example(NamedTuple):
    port: Port
    server: str
    lines: Count = 200
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    names: tuple[str, ...] = ()
    flags: dict[str, str | bool] | None = None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_CODECS = [COMMANDS, ORDERS, LOADER_REPORTS, SERVER_REPORTS]
_NAMES = ["status", "log", "swap", "kill", "load", "spawn", "signal", "loaded", "failed", "exited", "ready"]
_FIELDS = ["port", "lines", "server", "process", "target", "settings", "sources", "versions", "code", "x"]


@given(st.binary() | st.text().map(str.encode) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidMessage):
        assert isinstance(read_object(data), dict)


@given(
    st.sampled_from(_CODECS),
    st.sampled_from(["do", "event"]),
    st.sampled_from(_NAMES) | _JSON,
    st.dictionaries(st.sampled_from(_FIELDS), _JSON),
)
def test_any_object_is_a_message_or_refused(
    codec: Codec[NamedTuple], tag: str, name: object, fields: dict[str, object]
) -> None:
    with contextlib.suppress(InvalidMessage):
        message = codec.decode(json.dumps({tag: name} | fields).encode())
        assert codec.decode(codec.encode(message)) == message


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"1", b'"do"', b"NaN", b'{"a": NaN}', b'{"a": Infinity}', b"\xff", b"\x00", b"{",
        b"[" * 100_000, b'{"a":' * 100_000, b'{"a": 1' + b"0" * 5000 + b"}", "{}".encode("utf-16"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        read_object(data)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"server": "x"}, "port is missing."),
        ({"port": None, "server": "x"}, "port is missing."),
        ({"port": True, "server": "x"}, "port cannot be True."),
        ({"port": -1, "server": "x"}, "port cannot be -1."),
        ({"port": 80.0, "server": "x"}, "port cannot be 80.0."),
        ({"port": "1", "server": 1}, "server cannot be 1."),
        ({"port": "1", "server": "x", "lines": float("inf")}, "lines cannot be inf."),
        ({"port": "1", "server": "x", "lines": True}, "lines cannot be True."),
        ({"port": "1", "server": "x", "prot": 1}, "There is no field 'prot' here."),
        ({"port": "1", "server": "x", "inner": []}, "inner cannot be []."),
        ({"port": "1", "server": "x", "inner": {"name": "y"}}, "inner.size is missing."),
        ({"port": "1", "server": "x", "several": {}}, "several cannot be {}."),
        ({"port": "1", "server": "x", "names": ["a", 1]}, "names[1] cannot be 1."),
        ({"port": "1", "server": "x", "several": [{"name": 1}]}, "several[0].name cannot be 1."),
        ({"port": "1", "server": "x", "several": [{"nome": 1}]}, "There is no field 'several[0].nome' here."),
        ({"port": "1", "server": "x", "flags": {"a": 1}}, "flags['a'] cannot be 1."),
    ],
)
def test_a_field_that_does_not_fit_is_named(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        build(Example, fields)
    assert raised.value.problem == problem
    assert raised.value.remedy


def test_fields_are_as_given_or_by_default() -> None:
    assert build(Example, {"port": 8000, "server": "x", "lines": None}) == Example("8000", "x", 200)
    assert build(Example, {"port": 1, "server": "x", "lines": 10**4000}).lines == 10**9
    assert build(Inner, {"name": "x", "size": None}) == Inner("x", None)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{}", "do cannot be None."),
        (b'{"do": "fly"}', "do cannot be 'fly'."),
        (b'{"do": []}', "do cannot be []."),
        (b'{"do": "Status"}', "do cannot be 'Status'."),
        (b'{"do": "status", "port": 1}', "There is no field 'port' here."),
        (b"nonsense", "A message cannot be b'nonsense'."),
    ],
)
def test_a_command_that_is_not_known_is_refused(line: bytes, problem: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        COMMANDS.decode(line)
    assert raised.value.problem == problem


_SETTINGS = EdgeSettings(
    process_id=1, token="t", service="waitress 8000", server="waitress", version="3", binds={"8000": ":8000"},
    features=Features(access_log=None),
    services=(ServiceFacts("smtp", ("smtp://[::1]:25",), {"spool": "x"}),),
)  # fmt: skip
_TARGET = Target("webdemo.dashboard.app:make_app", arguments=("k", False))
_SPAWN = Spawn(
    process=1, own_import=True, server="waitress", options={"threads": "4"}, workers=1, has_siblings=False,
    cpus=(0, 1), worker_cpus=(), certificate=Certificate(Path("/a"), Path("/b")), made_certificate=None,
    grace_seconds=8, writes_stacks=False, reload=True, settings=_SETTINGS, target=_TARGET,
)  # fmt: skip
_FAILED = Failed("No.", "Why not?", None, 1)


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        *((COMMANDS, command) for command in (
            Reload(), History(), Log("8000", 5), Restart(), Restart("/run/x.sock"), Stop("1"), Start("1"),
            Swap("1", "gunicorn?workers=2"),
        )),
        (ORDERS, Load(_TARGET, "/srv", ("waitress",), True, False, 8.0)),
        (ORDERS, _SPAWN),
        (ORDERS, _SPAWN._replace(certificate=None, made_certificate=MadeCertificate("PEM"))),
        (ORDERS, Signal(1, 15)),
        (LOADER_REPORTS, Loaded(0.5, None, Sources(("/srv",)), {"waitress": "3", "gone": None})),
        (LOADER_REPORTS, _FAILED),
        (LOADER_REPORTS, Spawned(1)),
        (LOADER_REPORTS, Refused(1, _FAILED)),
        (LOADER_REPORTS, Exited(1, None)),
        (SERVER_REPORTS, Began(4711)),
        (SERVER_REPORTS, Ready(Sources())),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_message_arrives_as_it_was_sent(codec: Codec[NamedTuple], message: NamedTuple) -> None:
    arrived = codec.decode(codec.encode(message))
    assert arrived == message
    assert type(arrived) is type(message)


_FIGURES = Sample(1.5, 1, 0, 10, None, None, 0, 0.0, 5, 1.0, 1, 1, 0, 10)
_SERVICE = ServiceStatus(
    "waitress", "3", "up", False, ("8000",), ("http://127.0.0.1:8000/",), 1, 0,
    (ProcessStatus(None, "starting", 1.0),), _FIGURES,
)  # fmt: skip


@pytest.mark.parametrize(
    "reply",
    [
        Completed(),
        RunStatus(1, "site:app", 1.0, False, (_SERVICE, _SERVICE._replace(figures=None))),
        RunHistory(1.0, 1.0, (ServiceHistory("x", ("1",), Series._make([(1, 2)] * 9)),)),
        LogLines((LogLine(1.0, True, "GET /"),)),
        Killed((1, 2)),
    ],
    ids=lambda reply: type(reply).__name__,
)
def test_a_reply_arrives_as_it_was_sent(reply: Reply) -> None:
    assert build(type(reply), read_object(json.dumps(plain(reply)).encode())) == reply


def test_what_is_shown_is_short() -> None:
    for value in ("x" * 10**6, b"x" * 10**6, 10**5000, ["x" * 999] * 999):
        assert len(shown(value)) < 100
