"""HAProxy and nginx in front of every server: client, scheme and host are right and cannot be forged.

The client connects from 127.0.0.9, which is not trusted; the proxies connect to webdemo from 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import running as runs
from tests.free_ports import free_port
from tests.servers.kinds import KINDS
from webdemo.servers import registry
from webdemo.supervisor.self_signed import self_signed

SECONDS = 30.0
CLIENT = "127.0.0.9"
SERVERS = [
    n for n in dict.fromkeys(name for name, _ in KINDS.values()) if registry.find(n).version() is not None
]

APP = """
import json

def app(environ, start_response):
    told = {key: value for key, value in environ.items() if key.startswith(("HTTP_", "REMOTE_", "wsgi.url_"))}
    told["server"] = environ["webdemo.server"]["name"]
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""

FORGED = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": 'for="6.6.6.6";host=evil.example;proto=gopher;x="',
}


def told(response: http.client.HTTPResponse) -> tuple[str, str, str]:
    """Client, scheme and host as the app sees them."""
    data = json.loads(response.read())
    return data["REMOTE_ADDR"], data["wsgi.url_scheme"], data["HTTP_HOST"]


class Address:
    """An address that nothing else listens on: random in the loopback network."""

    def __init__(self) -> None:
        self.host = f"127.{random.randint(16, 250)}.{random.randint(0, 250)}.{random.randint(1, 250)}"
        self.port = free_port()

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a certificate and its key, as HAProxy needs it."""
    both = tmp_path / "both.pem"
    both.touch(mode=0o600)
    both.write_text(self_signed().certificate.pem)
    return both


Proxy = Callable[[str, Address], None]


def run_proxy(command: list[str], address: Address, log: Path) -> contextlib.AbstractContextManager[None]:
    @contextlib.contextmanager
    def run() -> Iterator[None]:
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + SECONDS
            while True:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection((address.host, address.port), timeout=SECONDS).close()
                    break
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.wait(SECONDS)

    return run()


@pytest.fixture
def nginx(tmp_path: Path, certificate: Path) -> Iterator[Proxy]:
    """Starts nginx with TLS at an address, with these locations."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not installed")
    with contextlib.ExitStack() as stack:

        def start(locations: str, address: Address) -> None:
            paths = "\n".join(
                f"{kind}_temp_path {tmp_path}/{kind};"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            (tmp_path / "nginx.conf").write_text(f"""
                daemon off; master_process off; pid {tmp_path}/nginx.pid; error_log stderr;
                events {{}}
                http {{
                    access_log off;
                    {paths}
                    server {{
                        listen {address} ssl;
                        ssl_certificate {certificate};
                        ssl_certificate_key {certificate};
                        {locations}
                    }}
                }}
                """)
            command = [program, "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"]
            stack.enter_context(run_proxy(command, address, tmp_path / "nginx.log"))

        yield start


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Proxy]:
    """Starts HAProxy at an address, with these lines in its frontend and after it."""
    program = shutil.which("haproxy")
    if program is None:
        pytest.skip("HAProxy is not installed")
    with contextlib.ExitStack() as stack:

        def start(lines: str, address: Address) -> None:
            (tmp_path / "haproxy.cfg").write_text(
                "defaults\n mode http\n timeout connect 30s\n timeout client 30s\n timeout server 30s\n"
                f"frontend in\n{lines}\n"
            )
            command = [program, "-db", "-f", str(tmp_path / "haproxy.cfg")]
            stack.enter_context(run_proxy(command, address, tmp_path / "haproxy.log"))

        yield start


def ask(address: Address, path: str, headers: dict[str, str]) -> tuple[str, str, str]:
    """Through the proxy's TLS, from the client's own address, as shop.example."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is the proxy's, made for this test
    connection = http.client.HTTPSConnection(
        address.host, address.port, timeout=SECONDS, source_address=(CLIENT, 0), context=context
    )
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": "shop.example", **headers})
        return told(connection.getresponse())


def directly(url: str, headers: dict[str, str]) -> tuple[str, str, str]:
    """Without the proxy, from the client's own address."""
    connection = http.client.HTTPConnection(place(url), timeout=SECONDS, source_address=(CLIENT, 0))
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": "shop.example", **headers})
        return told(connection.getresponse())


def through_unix(path: str, headers: dict[str, str]) -> tuple[str, str, str]:
    connection = http.client.HTTPConnection("shop.example", timeout=SECONDS)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(SECONDS)
    with contextlib.closing(connection):
        connection.sock.connect(path)
        connection.request("GET", "/", headers=headers)
        return told(connection.getresponse())


@pytest.fixture
def ports(running: runs.Start) -> Callable[..., dict[str, str]]:
    """Starts webdemo with every server; the URL of each."""

    def start(*arguments: str) -> dict[str, str]:
        binds = [part for name in SERVERS for part in ("-b", f"{name}://127.0.0.1:0")]
        run = running("--no-access-log", *binds, *arguments, app=APP)
        return {row.server: row.urls[0] for row in run.rows()}

    return start


def place(url: str) -> str:
    return url.removeprefix("http://").rstrip("/")


NGINX_HEADERS = """
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Host $http_host;
"""


@pytest.mark.deep
def test_behind_nginx_every_server_tells_the_clients_address_scheme_and_host(
    ports: Any, nginx: Proxy
) -> None:
    urls = ports("--trusted-proxies", "127.0.0.1")
    address = Address()
    nginx(
        "\n".join(
            f"location /{name} {{ proxy_pass http://{place(url)}; {NGINX_HEADERS} }}"
            for name, url in urls.items()
        ),
        address,
    )
    for headers in ({}, FORGED):
        seen = {name: ask(address, f"/{name}", headers) for name in urls}
        assert seen == dict.fromkeys(SERVERS, (CLIENT, "https", "shop.example"))


@pytest.mark.parametrize("family", ["x-forwarded", "forwarded"])
@pytest.mark.deep
def test_behind_haproxy_every_server_tells_the_clients_address_scheme_and_host(
    ports: Any, haproxy: Proxy, certificate: Path, family: str
) -> None:
    urls = ports("--trusted-proxies", "127.0.0.1", "--forwarded", family)
    address = Address()
    says = {
        "x-forwarded": " option forwardfor\n"
        " http-request set-header X-Forwarded-Proto https if { ssl_fc }\n"
        " http-request set-header X-Forwarded-Host %[req.hdr(host)]\n",
        "forwarded": " http-request add-header Forwarded "
        '"for=%[src]:%[src_port];proto=https;host=%[req.hdr(host)]" if { ssl_fc }\n',
    }[family]
    haproxy(
        f" bind {address} ssl crt {certificate}\n"
        + says
        + "".join(f" use_backend {name} if {{ path /{name} }}\n" for name in urls)
        + "".join(f"backend {name}\n server s {place(url)}\n" for name, url in urls.items()),
        address,
    )
    for headers in ({}, FORGED):
        seen = {name: ask(address, f"/{name}", headers) for name in urls}
        assert seen == dict.fromkeys(SERVERS, (CLIENT, "https", "shop.example"))


@pytest.mark.deep
def test_two_proxies_in_a_row_lead_to_the_client(
    ports: Any, nginx: Proxy, haproxy: Proxy, tmp_path: Path
) -> None:
    urls = ports("--trusted-proxies", "127.0.0.1")
    outer, inner = Address(), Address()
    haproxy(
        f" bind {inner}\n"
        " http-request set-header X-Forwarded-For %[req.fhdr(x-forwarded-for)],%[src]\n"
        + "".join(f" use_backend {name} if {{ path /{name} }}\n" for name in urls)
        + "".join(f"backend {name}\n server s {place(url)}\n" for name, url in urls.items()),
        inner,
    )
    nginx(f"location / {{ proxy_pass http://{inner}; {NGINX_HEADERS} }}", outer)
    seen = {name: ask(outer, f"/{name}", FORGED) for name in urls}
    assert seen == dict.fromkeys(SERVERS, (CLIENT, "https", "shop.example"))


@pytest.mark.attack(
    "What remote clients see",
    "nginx without a single header setting, and HAProxy with `option forwardfor`, forward remote clients",
    "they count as remote, even if `Host` is a loopback name",
)
def test_who_comes_through_a_proxy_of_this_machine_is_a_stranger(
    running: runs.Start, nginx: Proxy, haproxy: Proxy
) -> None:
    run = running("--no-access-log", *(part for name in SERVERS for part in ("-b", f"{name}://127.0.0.1:0")))
    urls = {row.server: row.urls[0] for row in run.rows()}
    by_nginx, by_haproxy = Address(), Address()
    nginx(
        "\n".join(f"location /{name}/ {{ proxy_pass http://{place(url)}/; }}" for name, url in urls.items()),
        by_nginx,
    )
    haproxy(
        f" bind {by_haproxy}\n option forwardfor\n"
        + "".join(f" use_backend {name} if {{ path_beg /{name}/ }}\n" for name in urls)
        + "".join(
            f"backend {name}\n http-request replace-path /{name}(/.*) \\1\n server s {place(url)}\n"
            for name, url in urls.items()
        ),
        by_haproxy,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is the proxy's, made for this test

    def status(connection: http.client.HTTPConnection, path: str, host: str) -> int:
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": host})
            return connection.getresponse().status

    for name, url in urls.items():
        for host in ("shop.example", "localhost"):
            through_nginx = http.client.HTTPSConnection(
                by_nginx.host, by_nginx.port, timeout=SECONDS, context=context
            )
            assert status(through_nginx, f"/{name}/mail", host) == 403
            through_haproxy = http.client.HTTPConnection(by_haproxy.host, by_haproxy.port, timeout=SECONDS)
            assert status(through_haproxy, f"/{name}/mail", host) == 403
        straight = http.client.HTTPConnection(place(url), timeout=SECONDS)
        assert status(straight, "/mail", "localhost") == 200


def test_past_the_proxy_nobody_is_believed(ports: Any) -> None:
    urls = ports("--trusted-proxies", "127.0.0.1")
    honest = {**FORGED, "X-Forwarded-Proto": "https"}
    seen = {name: directly(url, honest) for name, url in urls.items()}
    assert seen == dict.fromkeys(SERVERS, (CLIENT, "http", "shop.example"))


def test_the_environment_variable_that_gunicorn_reads_names_the_proxies_too(running: runs.Start) -> None:
    run = running(
        "-b", "waitress://127.0.0.1:0", app=APP, environment={"FORWARDED_ALLOW_IPS": f"10.0.0.1,{CLIENT}"}
    )
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    assert directly(run.url, headers) == ("192.0.2.7", "https", "shop.example")


@pytest.mark.parametrize("trusted", ["unix", "127.0.0.1"])
def test_the_peer_on_a_unix_socket_is_believed_only_where_asked_for(
    running: runs.Start, tmp_path: Path, trusted: str
) -> None:
    able = [name for name in SERVERS if registry.find(name).unix]
    binds = [part for name in able for part in ("-b", f"{name}+unix://{tmp_path}/{name}")]
    running("--trusted-proxies", trusted, *binds, app=APP)
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example"}
    seen = {name: through_unix(f"{tmp_path}/{name}", headers) for name in able}
    if trusted == "unix":
        assert seen == dict.fromkeys(able, ("192.0.2.7", "https", "a.example"))
    else:
        assert {name: (scheme, host) for name, (_, scheme, host) in seen.items()} == dict.fromkeys(
            able, ("http", "shop.example")
        )
