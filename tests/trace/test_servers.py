"""Traces to real servers: which webdemo, which server and which process answered."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import running as runs
from tests.client.peers import SECONDS, make_certificate
from tests.free_ports import free_port
from webdemo.trace import AnsweredBy, Trace, trace
from webdemo.trace.facts import TransferFacts

pytestmark = pytest.mark.process

APP = """
import os
from webdemo import App, redirect

app = App()

@app.get("/")
def pid(request):
    return str(os.getpid())

@app.get("/old")
def old(request):
    return redirect("/")
"""


def answered(found: Trace) -> AnsweredBy:
    """Who answered a successful trace."""
    assert found.failure is None, found.failure
    who = found.hops[-1].answered_by
    assert who is not None
    return who


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn"])
def test_process_and_server_that_answered_are_named(running: runs.Start, server: str) -> None:
    webdemo = running("-b", f"{server}://127.0.0.1:0", app=APP)
    found = trace(f"{webdemo.url}old")
    assert [hop.response.status for hop in found.hops if hop.response] == [302, 200]
    who = answered(found)
    [row] = webdemo.rows()
    assert who.server == f"{server} {row.version}"
    assert who.webdemo_pid == webdemo.pid
    assert who.serves == "served:app"
    assert who.pid in {process.pid for process in webdemo.processes()}
    transfer = found.hops[-1].find("transfer")
    assert transfer is not None
    assert isinstance(transfer.facts, TransferFacts)
    assert transfer.facts.is_whole


def test_worker_that_held_the_connection_is_named(running: runs.Start) -> None:
    webdemo = running("-b", "gunicorn://127.0.0.1:0?workers=2", app=APP)
    who = answered(trace(webdemo.url))
    assert who.is_exact
    assert who.pid in {process.pid for process in webdemo.processes()} - {webdemo.pid}


def test_both_families_of_loopback_lead_to_the_same_server(running: runs.Start) -> None:
    webdemo = running("-b", "waitress://:0", app=APP)
    for url in webdemo.urls:
        assert answered(trace(url)).webdemo_pid == webdemo.pid


def test_unix_socket_is_traced_to_its_server(running: runs.Start, tmp_path: Path) -> None:
    webdemo = running("-b", f"waitress+unix://{tmp_path}/site.sock", app=APP)
    assert webdemo.url == f"unix:{tmp_path}/site.sock"
    who = answered(trace(f"{webdemo.url}:/old"))
    assert who.server.startswith("waitress ")
    assert who.webdemo_pid == webdemo.pid


@pytest.mark.parametrize("server", ["werkzeug", "gunicorn"])
def test_certificate_made_at_start_is_explained(running: runs.Start, server: str) -> None:
    webdemo = running("-b", f"{server}+https://127.0.0.1:0", app=APP)
    found = trace(webdemo.url)
    assert found.failure is not None
    assert (
        found.failure.problem == "The certificate is not trusted: a webdemo signed it itself when it started."
    )
    assert found.hops[0].answered_by is not None
    assert found.hops[0].answered_by.webdemo_pid == webdemo.pid
    assert answered(trace(webdemo.url, verify=False)).server.startswith(f"{server} ")


@pytest.mark.parametrize("server", ["werkzeug", "gunicorn", "cheroot"])
def test_plain_http_to_a_tls_server_says_to_use_https(running: runs.Start, server: str) -> None:
    webdemo = running("-b", f"{server}+https://127.0.0.1:0", app=APP)
    plain = webdemo.url.replace("https:", "http:")
    failure = trace(plain, timeout_seconds=5).failure
    assert failure is not None
    assert failure.remedy == f"Use https: {webdemo.url}"


@pytest.mark.parametrize("server", ["werkzeug", "waitress", "gunicorn"])
def test_tls_to_a_plain_server_says_to_use_http(running: runs.Start, server: str) -> None:
    webdemo = running("-b", f"{server}://127.0.0.1:0", app=APP)
    failure = trace(webdemo.url.replace("http:", "https:"), timeout_seconds=8).failure
    assert failure is not None
    assert failure.remedy == f"Use http: {webdemo.url}"


def test_refused_port_names_a_webdemo_that_runs(running: runs.Start) -> None:
    webdemo = running("-b", "waitress://127.0.0.1:0", app=APP)
    port = int(webdemo.url.rstrip("/").rpartition(":")[2])
    unused = free_port()
    failure = trace(f"http://127.0.0.2:{port}/").failure
    assert failure is not None
    assert f"but 127.0.0.1:{port} is a webdemo that you started" in failure.problem
    failure = trace(f"http://127.0.0.2:{unused}/").failure
    assert failure is not None
    assert failure.problem.endswith(("has a webdemo.", "have a webdemo."))


# -- nginx -----------------------------------------------------------------------------------------

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{plain};
        location / {{ return 200 "hello"; }}
        location /old {{ return 301 http://127.0.0.1:{plain}/; }}
        location /secure {{ return 301 https://127.0.0.1:{secure}/; }}
    }}
    server {{
        listen 127.0.0.1:{secure} ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        location / {{ return 200 "hello"; }}
    }}
}}
"""


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """nginx on a plain port and on a TLS port."""
    program = shutil.which("nginx")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed")
    made = make_certificate(tmp_path, "127.0.0.1")
    plain, secure = free_port(), free_port()
    (tmp_path / "nginx.conf").write_text(
        NGINX.format(folder=tmp_path, plain=plain, secure=secure, chain=made.chain, key=made.key)
    )
    process = subprocess.Popen(
        [program, "-c", f"{tmp_path}/nginx.conf", "-e", f"{tmp_path}/error.log"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + SECONDS
        while trace(f"http://127.0.0.1:{plain}/").failure is not None:
            assert process.poll() is None, (tmp_path / "error.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield plain, secure
    finally:
        process.terminate()
        process.wait(SECONDS)


def test_nginx_is_named_as_the_process_that_answered(nginx: tuple[int, int]) -> None:
    plain, _ = nginx
    found = trace(f"http://127.0.0.1:{plain}/old")
    assert [hop.response.status for hop in found.hops if hop.response] == [301, 200]
    who = answered(found)
    assert who.is_exact
    assert "nginx" in who.process
    assert who.server == ""


def test_redirect_to_tls_is_followed(nginx: tuple[int, int]) -> None:
    plain, _ = nginx
    found = trace(f"http://127.0.0.1:{plain}/secure", verify=False)
    assert [hop.find("tls") is not None for hop in found.hops] == [False, True]
    assert found.exit_code == 0


def test_plain_http_to_the_tls_port_of_nginx_says_to_use_https(nginx: tuple[int, int]) -> None:
    _, secure = nginx
    failure = trace(f"http://127.0.0.1:{secure}/").failure
    assert failure is not None
    assert failure.kind == "speaks tls"


# -- SMTP and FTP ----------------------------------------------------------------------------------

SMTP = """
import asyncio, sys
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="mail.test"), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(serve())
"""
FTP = """
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

class Handler(FTPHandler):
    authorizer = DummyAuthorizer()
    banner = "files.test FTP ready"

server = FTPServer(("127.0.0.1", 0), Handler)
print(server.address[1], flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def program(code: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A Python program, and the port that it prints when it listens."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait(SECONDS)
        process.stdout.close()


def test_mail_server_is_traced_up_to_its_greeting() -> None:
    pytest.importorskip("aiosmtpd")
    with program(SMTP) as (process, port):
        found = trace(f"smtp://127.0.0.1:{port}")
    [hop] = found.hops
    assert [step.name for step in hop.steps] == ["url", "name", "connect", "greeting"]
    greeting = hop.greeting
    assert greeting is not None
    assert greeting.code == 220
    assert greeting.lines[0].startswith("mail.test ")
    assert answered(found).pid == process.pid


def test_file_server_is_traced_up_to_its_greeting() -> None:
    pytest.importorskip("pyftpdlib")
    with program(FTP) as (process, port):
        found = trace(f"ftp://127.0.0.1:{port}/pub")
    greeting = found.hops[0].greeting
    assert greeting is not None
    assert (greeting.code, greeting.lines) == (220, ("files.test FTP ready",))
    assert answered(found).pid == process.pid


def test_web_url_to_a_mail_server_says_to_use_smtp() -> None:
    pytest.importorskip("aiosmtpd")
    with program(SMTP) as (_, port):
        failure = trace(f"http://127.0.0.1:{port}/").failure
    assert failure is not None
    assert failure.remedy == f"Use smtp://127.0.0.1:{port}"
