"""Many idle and many slow clients: who is still answered. docs/servers.md says it in words.

A thread for each connection, or an event loop, goes on answering. A pool of threads that reads the
request itself is full when as many clients are slow as it has threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.raw_http import SECONDS, Connection, get
from tests.running import Start
from tests.servers.kinds import KINDS, bind
from webdemo import servers

CROWD = 200
PATIENCE_SECONDS = 3.0  # with a server that answers nobody meanwhile

# With the servers' own limits, or ours where ours are higher: Waitress has 100 connections by default.
LOCKED_OUT_BY_IDLE = {"gunicorn", "gunicorn-sync", "cheroot"}
LOCKED_OUT_BY_SLOW = {"gunicorn", "gunicorn-sync", "cheroot"}


@contextlib.contextmanager
def crowd(url: str, sent: bytes) -> Iterator[None]:
    """So many connections, each with these bytes sent on it and no more."""
    with contextlib.ExitStack() as stack:
        for _ in range(CROWD):
            connection = stack.enter_context(Connection(url))
            if sent:
                connection.send(sent)
        yield


def is_answered(url: str, *, expected: bool = True) -> bool:
    try:
        with Connection(url, seconds=SECONDS if expected else PATIENCE_SECONDS) as connection:
            return connection.request("/", headers=[("Connection", "close")]).status == 200
    except TimeoutError:
        return False


def test_who_answers_beside_200_idle_clients(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind))
    with crowd(run.url, b""):
        expected = kind not in LOCKED_OUT_BY_IDLE
        assert is_answered(run.url, expected=expected) is expected
    assert get(run.url).status == 200, "it recovers when they leave"


def test_who_answers_beside_200_slow_clients(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind))
    with crowd(run.url, b"GET / HT"):
        expected = kind not in LOCKED_OUT_BY_SLOW
        assert is_answered(run.url, expected=expected) is expected
    assert get(run.url).status == 200, "it recovers when they leave"


def test_who_answers_beside_a_client_that_begins_tls_and_says_nothing(kind: str, serving: Start) -> None:
    if not servers.find(KINDS[kind][0]).tls:
        pytest.skip("has no TLS")
    run = serving("-b", bind(kind, scheme="+https"))
    with Connection(run.url.replace("https:", "http:")):  # connected, and silent
        expected = kind not in ("cheroot", "gunicorn-sync")
        assert is_answered(run.url, expected=expected) is expected


def test_waitress_takes_as_many_clients_as_its_connection_limit(serving: Start) -> None:
    run = serving("-b", bind("waitress", "127.0.0.1:0", "connection_limit=100"))
    with crowd(run.url, b""):
        assert not is_answered(run.url, expected=False)
    assert get(run.url).status == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
def test_a_crowd_does_not_hold_up_the_stop(kind: str, serving: Start, sent: bytes) -> None:
    run = serving("-b", bind(kind))
    with crowd(run.url, sent):
        assert run.terminate() == 0
    run.wait_until_gone()
