"""Who may see and do what: every refusal over a real socket, and its lack of effect."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import raw_http
from tests.dashboard.conftest import THREE, Dashboard, start

pytestmark = pytest.mark.process

GOOD = {"do": "restart"}


def pids(dashboard: Dashboard) -> set[int]:
    return {process.pid for process in dashboard.run.servers()}


def refused(dashboard: Dashboard, answer: raw_http.Answer, before: set[int], status: int = 403) -> None:
    assert answer.status == status, answer.text
    assert pids(dashboard) == before


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Webdemo-Key", "wrong")],
        [("X-Webdemo-Key", "")],
        [("X-Webdemo-Key", "\xe9")],
        [("Cookie", "webdemo-key={key}")],
        [("X-Webdemo-Key", "{key}"), ("Origin", "http://evil.example")],
        [("X-Webdemo-Key", "{key}"), ("Origin", "null")],
        [("X-Webdemo-Key", "{key}"), ("Origin", "http://127.0.0.1:1")],
        [("X-Webdemo-Key", "{key}"), ("Sec-Fetch-Site", "cross-site")],
        [("X-Webdemo-Key", "{key}"), ("Sec-Fetch-Site", "same-site")],
        [("X-Webdemo-Key", "{key}"), ("X-Forwarded-For", "192.0.2.1")],
        [("X-Webdemo-Key", "{key}"), ("Forwarded", "for=192.0.2.1")],
    ],
    ids=str,
)
def test_actions_without_the_key_or_from_elsewhere_are_refused(
    dashboard: Dashboard, headers: list[tuple[str, str]]
) -> None:
    before = pids(dashboard)
    filled = [(name, value.format(key=dashboard.key)) for name, value in headers]
    refused(dashboard, dashboard.post("/act", GOOD | {"port": dashboard.ports[0]}, *filled), before)
    refused(dashboard, dashboard.post("/twin", {"method": "GET", "path": "/"}, *filled), before)


def test_a_form_of_another_site_does_nothing(dashboard: Dashboard) -> None:
    before = pids(dashboard)
    headers = (
        ("Origin", "https://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Referer", "https://evil.example/"),
    )
    fields = GOOD | {"port": dashboard.ports[0], "key": dashboard.key, "X-Webdemo-Key": dashboard.key}
    refused(dashboard, dashboard.post("/act", fields, *headers), before)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_only_post_acts(dashboard: Dashboard, method: str) -> None:
    before = pids(dashboard)
    target = f"/act?do=restart&port={dashboard.ports[0]}"
    answer = raw_http.get(dashboard.url, target, method=method, headers=[("X-Webdemo-Key", dashboard.key)])
    assert answer.status == 405
    assert answer.headers["Allow"] == "OPTIONS, POST"
    assert pids(dashboard) == before


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9000", "127.0.0.1.evil.example", "10.0.0.1", "[::]"]
)
@pytest.mark.parametrize("target", ["/", "/live", "/twin"])
def test_a_foreign_host_sees_nothing(dashboard: Dashboard, target: str, host: str) -> None:
    with raw_http.Connection(dashboard.url) as connection:
        connection.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = connection.answer()
    assert answer.status == 403
    assert "werkzeug" not in answer.text
    head = [
        "POST /act HTTP/1.1",
        f"Host: {host}",
        f"X-Webdemo-Key: {dashboard.key}",
        "Connection: close",
        "Content-Type: application/x-www-form-urlencoded",
    ]
    body = f"do=restart&port={dashboard.ports[0]}"
    with raw_http.Connection(dashboard.url) as connection:
        connection.send("\r\n".join([*head, f"Content-Length: {len(body)}", "", body]).encode())
        assert connection.answer("POST").status == 403


def test_it_listens_on_loopback_alone(dashboard: Dashboard) -> None:
    port = urlsplit(dashboard.url).port
    [process] = [
        process
        for process in dashboard.run.processes()
        if any(c.laddr.port == port for c in process.net_connections() if c.status == "LISTEN")
        and process.pid == dashboard.run.pid
    ]
    hosts = {c.laddr.ip for c in process.net_connections() if c.status == "LISTEN" and c.laddr.port == port}
    assert hosts <= {"127.0.0.1", "::1"}


def test_without_the_key_there_are_figures_and_neither_logs_nor_buttons(dashboard: Dashboard) -> None:
    raw_http.get(dashboard.run.urls[0], "/secret-in-the-path")
    dashboard.run.wait_for(" GET /secret-in-the-path ")
    for target in ("/", f"/live?log={dashboard.ports[0]}"):
        answer = dashboard.get(target)
        assert answer.status == 200
        assert "werkzeug" in answer.text
        assert "secret-in-the-path" not in answer.text
        assert "kill" not in answer.text
        assert dashboard.key not in answer.text
    shown = dashboard.get(f"/live?log={dashboard.ports[0]}", ("X-Webdemo-Key", dashboard.key)).text
    assert "secret-in-the-path" in shown
    assert 'value="kill"' in shown
    assert dashboard.key not in shown


def test_every_page_forbids_framing_foreign_scripts_and_storing(dashboard: Dashboard) -> None:
    for target in ("/", "/live", "/twin", "/nowhere"):
        answer = dashboard.get(target)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "stop", "port": ""},
        {"do": "stop"},
        {"do": "reload", "port": "PORT"},
        {"do": "stop", "port": "DASHBOARD"},
        {"do": "swap", "port": "PORT", "server": "nonsense"},
        {"do": "swap", "port": "PORT", "server": ""},
        {"do": "restart", "port": "1"},
        {"port": "PORT"},
    ],
    ids=str,
)
def test_actions_that_cannot_be_are_refused_with_the_reason(
    dashboard: Dashboard, fields: dict[str, str]
) -> None:
    before = pids(dashboard)
    ports = {"PORT": dashboard.ports[0], "DASHBOARD": dashboard.url.rpartition(":")[2]}
    filled = {name: ports.get(value, value) for name, value in fields.items()}
    answer = dashboard.post_with_key("/act", filled)
    refused(dashboard, answer, before, status=400)
    assert answer.json["problem"]


def test_read_only_acts_for_nobody(tmp_path: Any) -> None:
    dashboard = start(tmp_path, *THREE, "--dashboard-read-only")
    try:
        before = pids(dashboard)
        answer = dashboard.post_with_key("/act", GOOD | {"port": dashboard.ports[0]})
        refused(dashboard, answer, before)
        assert "--dashboard-read-only" in answer.text
        fields = {"method": "POST", "path": "/", "confirmed": "yes"}
        refused(dashboard, dashboard.post_with_key("/twin", fields), before)
        assert dashboard.post_with_key("/twin", fields | {"method": "GET"}).status == 200
        shown = dashboard.get(f"/live?log={dashboard.ports[0]}", ("X-Webdemo-Key", dashboard.key)).text
        assert "Last log lines" in shown
        assert 'value="kill"' not in shown
    finally:
        dashboard.run.clean_up()


def test_the_dashboard_leaves_the_log_to_the_servers(dashboard: Dashboard) -> None:
    dashboard.get("/live")
    raw_http.get(dashboard.run.urls[0], "/after")
    dashboard.run.wait_for(" GET /after ")
    assert "GET /live" not in dashboard.run.log_so_far()


def test_an_abandoned_connection_does_no_harm(dashboard: Dashboard) -> None:
    port = urlsplit(dashboard.url).port
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(b"POST /act HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\ndo=")
    assert dashboard.get("/live").status == 200
