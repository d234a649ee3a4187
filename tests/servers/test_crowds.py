"""Many idle and many slow clients: is a normal client still answered? docs/servers.md describes it.

A server with a thread per connection or an event loop keeps answering. A thread pool whose threads read the
requests is exhausted by as many slow clients as it has threads; idle connections occupy no thread.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator

import pytest

from tests.raw_http import SECONDS, Connection, get
from tests.running import Start
from tests.servers.kinds import KINDS, bind
from webdemo.servers import registry

CROWD = 200
PATIENCE_SECONDS = 3.0  # the wait for a server that is blocked meanwhile

# The option that limits the connections. Hypercorn has none: it closes idle connections after some seconds.
LIMITED = {
    "werkzeug": "connections",
    "waitress": "connection_limit",
    "gunicorn": "connections",
    "wsgiref": "connections",
    "cheroot": "connections",
    "gevent": "connections",
}

LOCKED_OUT_BY_IDLE = {"gunicorn-sync"}
LOCKED_OUT_BY_SLOW = {"gunicorn", "gunicorn-sync", "cheroot"}


@contextlib.contextmanager
def crowd(url: str, sent: bytes) -> Iterator[None]:
    """CROWD connections, each with only these bytes sent on it."""
    with contextlib.ExitStack() as stack:
        for _ in range(CROWD):
            connection = stack.enter_context(Connection(url))
            if sent:
                connection.send(sent)
        yield


def is_answered(url: str, *, expected: bool = True, seconds: float = SECONDS) -> bool:
    try:
        with Connection(url, seconds=seconds if expected else PATIENCE_SECONDS) as connection:
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
    if not registry.find(KINDS[kind][0]).tls:
        pytest.skip("has no TLS")
    run = serving("-b", bind(kind, scheme="+https"))
    with Connection(run.url.replace("https:", "http:")):  # connected, and silent
        expected = kind not in ("cheroot", "gunicorn-sync")
        assert is_answered(run.url, expected=expected) is expected


@pytest.mark.parametrize(("kind", "option"), LIMITED.items())
@pytest.mark.attack(
    "Bounds", "more idle connections than a server has room for", "the longest idle are closed"
)
def test_at_the_limit_of_connections_idle_ones_are_closed(kind: str, option: str, serving: Start) -> None:
    run = serving("-b", bind(kind, "127.0.0.1:0", f"{option}=50"))
    with crowd(run.url, b""):
        assert is_answered(run.url)
    assert get(run.url).status == 200
    said = run.wait_for(rf"option {option}\.")
    assert len(said) == 1, "it is said once, with the option that changes it"


@pytest.mark.parametrize("kind", LIMITED)
@pytest.mark.attack("Bounds", "more unfinished requests than a server has room for", "they are closed")
def test_at_the_limit_of_connections_unfinished_requests_are_closed(kind: str, serving: Start) -> None:
    if kind in LOCKED_OUT_BY_SLOW:
        pytest.skip("its threads are taken")
    run = serving("-b", bind(kind, "127.0.0.1:0", f"{LIMITED[kind]}=50"))
    with crowd(run.url, b"GET / HT"):
        assert is_answered(run.url)


@pytest.mark.deep
@pytest.mark.attack("Bounds", "5,000 idle connections", "another client is answered within 5 seconds")
def test_who_answers_beside_5000_idle_clients(kind: str, serving: Start) -> None:
    if kind in LOCKED_OUT_BY_IDLE:
        assert registry.find(KINDS[kind][0]).lapses
        pytest.skip("declared")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = min(5000, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, many + 200), hard))
    try:
        run = serving("-b", bind(kind))
        with contextlib.ExitStack() as stack:
            for _ in range(many):
                stack.enter_context(Connection(run.url))
            assert any(is_answered(run.url, seconds=5) for _ in range(3))  # the machine may be busy
        assert get(run.url).status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
def test_a_crowd_does_not_hold_up_the_stop(kind: str, serving: Start, sent: bytes) -> None:
    run = serving("-b", bind(kind))
    with crowd(run.url, sent):
        assert run.terminate() == 0
    run.wait_until_gone()
