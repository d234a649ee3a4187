"""Granian opens its own port: what it keeps all the same, and what is refused by name."""

from __future__ import annotations

import inspect
import signal
import socket
import threading

import pytest

from tests.raw_http import get
from tests.running import Start
from tests.servers.kinds import SOFTWARE
from webdemo.errors import UsageError
from webdemo.net.bind import Bind
from webdemo.supervisor import plan

granian = pytest.importorskip("granian")

APP = """
import json

def app(environ, start_response):
    found = {name: environ[name] for name in ("HTTP_X_USER", "HTTP_AUTHORIZATION") if name in environ}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
"""


def test_granian_takes_no_open_socket() -> None:
    parameters = inspect.signature(granian.Granian.__init__).parameters
    assert {"address", "port", "uds"} <= parameters.keys()
    assert not [name for name in parameters if "sock" in name.replace("websockets", "") or "fd" in name]


@pytest.mark.parametrize(
    ("bind", "said"),
    [
        ("granian+https://127.0.0.1:0", "The server granian has no TLS."),
        ("granian+unix:///tmp/granian.sock", "The server granian has no Unix sockets."),
        ("granian://127.0.0.1:0?workers=2",
         "The server granian opens its port itself: it has one process, not 2."),
        ("granian://*:0", "The server granian serves one address, and granian://*:0 may be several."),
    ],
)  # fmt: skip
def test_what_granian_cannot_keep_is_refused_by_name(bind: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        plan.services([Bind.parse(bind)], default_server="werkzeug")
    assert refused.value.problem == said


@pytest.mark.deep
def test_granian_serves_beside_others_and_comes_back_after_a_kill_and_a_reload(serving: Start) -> None:
    run = serving("-b", "granian://127.0.0.1:0", "-b", "waitress://127.0.0.1:0")
    ours, others = run.urls
    assert get(ours).text.startswith(SOFTWARE["granian"])
    assert get(others).text.startswith(SOFTWARE["waitress"])
    run.wait_for("granian .* GET / 200")
    run.servers()[0].kill()
    run.wait_for("granian .* is up again")
    assert get(ours).status == 200
    run.signal(signal.SIGHUP)
    run.wait_for("granian .* has the new code")
    assert get(ours).text.startswith(SOFTWARE["granian"])
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(get(ours, "/slow?1").text))
    slow.start()
    run.wait_for("begun /slow")
    assert run.terminate() == 0
    slow.join()
    assert answers == ["slow, and whole"]
    run.wait_until_gone()


@pytest.mark.deep
def test_granian_passes_on_the_header_fields_that_it_declares(running: Start) -> None:
    run = running("-b", "granian://127.0.0.1:0", app=APP)
    sent = [("X-User", "1"), ("X_User", "2"), ("Authorization", "a"), ("Authorization", "b")]
    assert get(run.url, headers=sent).json == {"HTTP_X_USER": "2", "HTTP_AUTHORIZATION": "a,b"}


@pytest.mark.deep
def test_granian_does_not_share_a_port_that_is_in_use(serving: Start) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        run = serving("-b", f"granian://127.0.0.1:{holder.getsockname()[1]}", wait=False)
        assert run.wait() == 69
        assert "is already in use by" in run.log()
