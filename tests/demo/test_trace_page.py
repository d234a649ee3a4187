"""/trace: what it shows, who may start one, and that it gives no access to a private network."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from webdemo.demo import make_app
from webdemo.demo.trace_page import MOST_AT_ONCE
from webdemo.demo.trace_policy import allow_loopback_and
from webdemo.net.addresses import machine_addresses

HERE = {"REMOTE_ADDR": "127.0.0.1", "wsgi.multithread": True}
JSON = {"Accept": "application/json"}


@pytest.fixture
def client() -> Client:
    return Client(make_app(), use_cookies=False)


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        self.send_response(302 if server.location else 200)
        if server.location:
            self.send_header("Location", server.location)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *text: Any) -> None:
        pass


@pytest.fixture
def local() -> Iterator[Any]:
    """An HTTP server on loopback; with a `location` it redirects there."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        server.location = ""  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def guarded() -> Iterator[socket.socket]:
    """A listener on all addresses of this machine that must not get any connection."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


def trace(client: Client, url: str, headers: dict[str, str] | None = None, **environ: Any) -> TestResponse:
    return client.post("/trace", data={"url": url}, headers=headers, environ_overrides=HERE | environ)


def failure_of(client: Client, url: str, **environ: Any) -> str:
    """The kind of failure that ended the trace."""
    found = trace(client, url, JSON, **environ).get_json()
    hop = found["hops"][-1]
    failures = [step["failure"] for step in hop["steps"] if step["failure"]]
    if hop["redirect"] and hop["redirect"]["failure"]:
        failures.append(hop["redirect"]["failure"])
    return str(failures[-1]["kind"])


def test_steps_are_drawn_on_one_axis(client: Client, local: Any) -> None:
    page = trace(client, f"http://127.0.0.1:{local.server_port}/").text
    for name in ("Parse the URL", "Connect to the port", "Wait for the response", "Receive the body"):
        assert name in page
    assert "200 OK" in page
    assert "Answered by" in page
    assert page.count('<rect class="bar') == page.count("<li>") - page.count("<li><a")


def test_trace_is_json_for_programs(client: Client, local: Any) -> None:
    found = trace(client, f"http://127.0.0.1:{local.server_port}/", JSON).get_json()
    assert found["exit_code"] == 0
    assert [step["name"] for step in found["hops"][0]["steps"]][:3] == ["url", "name", "connect"]


def test_failure_explains_itself_in_the_step(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    page = trace(client, f"http://127.0.0.1:{port}/").text
    assert f"Nothing listens on 127.0.0.1:{port}" in page
    assert 'class="bar failed"' in page


def test_link_fills_the_form_in_and_sends_nothing(client: Client, guarded: socket.socket) -> None:
    url = f"http://127.0.0.1:{guarded.getsockname()[1]}/"
    response = client.get("/trace", query_string={"url": url}, environ_overrides=HERE)
    assert response.status_code == 200
    assert f'value="{url}"' in response.text


@pytest.mark.parametrize(
    ("headers", "environ"),
    [
        ({"Origin": "http://evil.example"}, {}),
        ({"Origin": "http://localhost:8001"}, {}),
        ({"Origin": "null"}, {}),
        ({"Sec-Fetch-Site": "cross-site"}, {}),
        ({"Host": "rebound.example"}, {}),
        ({"X-Forwarded-For": "192.0.2.7"}, {}),
        ({}, {"REMOTE_ADDR": "192.0.2.7"}),
    ],
)
def test_nobody_else_starts_a_trace(
    client: Client, guarded: socket.socket, headers: dict[str, str], environ: dict[str, str]
) -> None:
    response = trace(client, f"http://127.0.0.1:{guarded.getsockname()[1]}/", headers, **environ)
    assert response.status_code == 403
    assert "timeline" not in response.text


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "93.184.216.34",
        "[::]",
        "[::ffff:10.0.0.1]",
        "[::ffff:0.0.0.0]",
        "[::ffff:169.254.169.254]",
        "[fc00::1]",
        "[fe80::1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
    ],
)
def test_only_loopback_is_contacted(client: Client, host: str) -> None:
    assert failure_of(client, f"http://{host}/") == "not allowed"


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://127.0.0.1@10.0.0.1/",
        "http://localhost:80@10.0.0.1/",
        "http://10.0.0.1#@127.0.0.1/ x",
        "http://10.0.0.1\\@127.0.0.1/",
        "http://[::1%25eth0]/",
        "http://1２7.0.0.1/",
        "http:10.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://127.0.0.1:70000/",
        "http://127.0.0.1\r\nX: y/",
        "",
    ],
)
def test_url_that_can_be_read_in_two_ways_is_refused(client: Client, url: str) -> None:
    response = trace(client, url)
    assert response.status_code == 400
    assert 'role="alert"' in response.text


def test_unix_sockets_are_not_contacted(client: Client) -> None:
    assert failure_of(client, "unix:/var/run/docker.sock") == "not allowed"


def test_all_zeros_does_not_lead_to_this_machine(client: Client, guarded: socket.socket) -> None:
    port = guarded.getsockname()[1]
    for host in ("0.0.0.0", "[::]", "[::ffff:0.0.0.0]"):
        assert failure_of(client, f"http://{host}:{port}/") == "not allowed"


def test_redirect_does_not_lead_into_the_network(client: Client, local: Any, guarded: socket.socket) -> None:
    port = guarded.getsockname()[1]
    own = machine_addresses()
    for host in ("0.0.0.0", "[::ffff:10.0.0.1]", "10.0.0.1", *(a for a in own if ":" not in a)):
        local.location = f"http://{host}:{port}/"
        assert failure_of(client, f"http://127.0.0.1:{local.server_port}/") == "not allowed", host
    local.location = f"http://u@0.0.0.0:{port}/"
    found = trace(client, f"http://127.0.0.1:{local.server_port}/", JSON).get_json()
    assert len(found["hops"]) == 1


def _resolve_to(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> None:
    """Stand in for a name server: a test cannot run one that the system's resolver would query."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **options: Any) -> list[Any]:
        if host != name:
            return real(host, port, *rest, **options)
        return [entry for address in addresses for entry in real(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_name_that_leads_into_the_network_is_not_followed(
    client: Client, guarded: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = guarded.getsockname()[1]
    _resolve_to(monkeypatch, "inside.example", "0.0.0.0", "10.0.0.1", *machine_addresses()[:1])
    assert failure_of(client, f"http://inside.example:{port}/") == "not allowed"
    allowed = {"webdemo.trace_hosts": ("inside.example",)}
    assert failure_of(client, f"http://inside.example:{port}/", **allowed) == "not allowed"


def test_policy_lets_named_hosts_be_reached_at_public_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, "site.example", "93.184.216.34", "10.0.0.1", "2606:2800:220:1::1", "fc00::1")
    allow = allow_loopback_and(["site.example"])
    reachable = ["93.184.216.34", "2606:2800:220:1::1", "127.0.0.1", "::1"]
    refused = ["10.0.0.1", "fc00::1", "93.184.216.35", "0.0.0.0"]
    assert all(allow(ipaddress.ip_address(address), 80) for address in reachable)
    assert not any(allow(ipaddress.ip_address(address), 80) for address in refused)


def test_policy_takes_an_address_that_was_allowed_at_its_word() -> None:
    allow = allow_loopback_and(["10.0.0.1", "[fc00::1]"])
    assert allow(ipaddress.ip_address("10.0.0.1"), 80)
    assert allow(ipaddress.ip_address("fc00::1"), 80)
    assert not allow(ipaddress.ip_address("10.0.0.2"), 80)


def test_server_that_answers_one_at_a_time_does_not_wait_for_itself(client: Client) -> None:
    alone: dict[str, Any] = {"wsgi.multithread": False, "wsgi.multiprocess": False, "SERVER_PORT": "8000"}
    response = trace(client, "http://localhost:8000/", None, **alone)
    assert response.status_code == 409
    assert "one request at a time" in response.text


def test_only_so_many_traces_run_at_once(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        codes: list[int] = []
        threads = [
            threading.Thread(target=lambda: codes.append(trace(client, url).status_code)) for _ in "12"
        ]
        for thread in threads:
            thread.start()
        silent.settimeout(30)
        connections = [silent.accept()[0] for _ in threads]
        busy = trace(client, url).status_code
        for connection in connections:
            connection.close()
        for thread in threads:
            thread.join()
    assert (busy, codes) == (503, [200] * MOST_AT_ONCE)
