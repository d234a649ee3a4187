"""Defaults that are wrong in production say so: one line each, once, with the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from webdemo.config.binds import development_server_note, wanted_binds
from webdemo.config.sources import resolve_settings
from webdemo.middleware.stack import UNTRUSTED_PROXY

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_ADDR"].encode()]
"""
OPEN = "Werkzeug's development server is open to other machines; for production: --server gunicorn"


@pytest.mark.parametrize(
    ("flags", "environment", "note"),
    [
        ({"port": ("8000",)}, {}, None),
        ({"bind": ("werkzeug://127.0.0.1:8000", "gunicorn://*:8001")}, {}, None),
        ({"bind": ("*:8000",), "server": "waitress"}, {}, None),
        ({"bind": ("unix:///run/x.sock",)}, {}, None),
        ({"bind": ("*:8000",)}, {}, OPEN),
        ({"port": ("8000",), "host": "0.0.0.0"}, {}, OPEN),
        ({}, {"PORT": "8000"}, f"PORT is in the environment, and no server is named: {OPEN}"),
        ({"server": "gunicorn"}, {"PORT": "8000"}, None),
    ],
)
def test_the_development_server_open_to_others_is_noted(
    flags: dict[str, object], environment: dict[str, str], note: str | None, tmp_path: Path
) -> None:
    resolved = resolve_settings(flags, environment, tmp_path)
    assert development_server_note(resolved, wanted_binds(resolved)) == note


def test_an_untrusted_proxy_and_the_proxy_protocol_are_told_once(running: runs.Start) -> None:
    one = running("-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0", app=APP)
    for url in one.urls:
        for _ in range(3):
            with raw_http.Connection(url) as connection:
                answer = connection.request(headers=[("X-Forwarded-For", "203.0.113.5")])
                assert answer.text == "127.0.0.1"
            for first in (b"PROXY TCP4 203.0.113.5 127.0.0.1 5 6\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11"):
                with raw_http.Connection(url) as connection:
                    connection.send(first + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert connection.ended()
    one.wait_for("send-proxy")
    one.wait_for(re.escape(UNTRUSTED_PROXY))
    one.wait_for("Invalid HTTP request line: 'PROXY TCP4")  # Gunicorn's own parser tells it so
    assert one.terminate() == 0
    assert one.log().count(UNTRUSTED_PROXY) == 1
    assert one.log().count("send-proxy") == 1
