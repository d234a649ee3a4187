"""Chunked request bodies, as apps get them: with a length, an end, and a limit."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests import running as runs
from tests.raw_http import Connection
from tests.servers.kinds import KINDS, bind
from webdemo.middleware.request_body import buffered

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

READS_BY_LENGTH = """
import hashlib

def app(environ, start_response):
    length = environ.get("CONTENT_LENGTH")
    digest, left = hashlib.sha256(), int(length or 0)
    while piece := environ["wsgi.input"].read(min(left, 65536)):
        digest.update(piece)
        left -= len(piece)
    body = f"{length} {digest.hexdigest()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""
# The body while it arrives, without webdemo's buffer.
ECHOES = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield environ.get("CONTENT_LENGTH", "none").encode()
    while piece := environ["wsgi.input"].read(3):
        yield piece
"""
GIT = """
import os, subprocess

def app(environ, start_response):
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR")
    request = {name: environ[name] for name in names if name in environ}
    sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    settings = {"GIT_PROJECT_ROOT": os.getcwd(), "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": "tester"}
    if environ.get("HTTP_CONTENT_ENCODING"):
        settings["HTTP_CONTENT_ENCODING"] = environ["HTTP_CONTENT_ENCODING"]
    done = subprocess.run(["git", "http-backend"], input=sent, stdout=subprocess.PIPE,
                          env={**os.environ, **request, **settings})
    head, _, body = done.stdout.partition(b"\\r\\n\\r\\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\\r\\n"))
    start_response(fields.pop("Status", "200 OK"), list(fields.items()))
    return [body]
"""


def call(source: Any, largest: int = 100) -> tuple[str, bytes, WSGIEnvironment]:
    """The status and body of the response, and the environ that the app gets."""
    seen: WSGIEnvironment = {}
    status = ""

    def app(environ: WSGIEnvironment, start_response: Callable[..., Any]) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    def start_response(given: str, _: Any, __: Any = None) -> Any:
        nonlocal status
        status = given

    environ = {"REQUEST_METHOD": "POST", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": source}
    body = b"".join(buffered(app, largest)(environ, start_response))
    return status, body, seen


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_chunked_body_gets_its_length_and_an_end(size: int) -> None:
    status, body, environ = call(io.BytesIO(b"x" * size))
    assert (status, body) == ("200 OK", b"x" * size)
    assert environ["CONTENT_LENGTH"] == str(size)
    assert environ["wsgi.input_terminated"] is True
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.attack("Memory and time", "a chunked body without end", "413 beyond 1 GiB; spooled to disk")
def test_a_body_beyond_the_limit_is_refused_before_the_app_is_called() -> None:
    status, body, environ = call(io.BytesIO(b"x" * 101))
    assert status == "413 Content Too Large"
    assert body == b"The body is too large: a chunked one may have 100 B.\n"
    assert not environ


def test_the_error_of_a_body_that_is_cut_off_is_raised_on() -> None:
    class Cut(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        call(Cut())


def test_a_large_body_is_on_disk_and_goes_with_the_request() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, body, environ = call(io.BytesIO(b"x" * 600_000), largest=10**6)
        assert len(body) == 600_000
        spooled = environ["wsgi.input"].fileno()
        assert os.fstat(spooled).st_size == 600_000
        del environ
        gc.collect()
        with pytest.raises(OSError):
            os.fstat(spooled)


def test_an_app_that_streams_reads_the_body_while_it_arrives(running: runs.Start) -> None:
    run = running("--no-buffer-chunked", "-b", "werkzeug://127.0.0.1:0", app=ECHOES)
    with Connection(run.url) as connection:
        connection.send_head("POST", "/", [("Transfer-Encoding", "chunked")])
        connection.send(b"3\r\nabc\r\n")
        seen = b""
        while b"abc" not in seen:  # before the body has ended
            received = connection.socket.recv(4096)
            assert received, seen
            seen += received
        connection.send(b"0\r\n\r\n")
        assert b"none" in seen


@pytest.mark.deep
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("wsgiref", "hypercorn", "waitress")])
def test_a_gigabyte_is_received_in_little_memory_and_more_is_refused(kind: str, running: runs.Start) -> None:
    run = running("-b", bind(kind), app=READS_BY_LENGTH)
    processes = run.processes()
    before = sum(process.memory_info().rss for process in processes)
    chunk = bytes(1 << 20)
    with Connection(run.url) as connection:
        connection.send_head("POST", "/", [("Transfer-Encoding", "chunked")])
        connection.send_chunks(chunk for _ in range(1000))
        assert connection.answer().text.startswith(f"{1000 << 20} ")
    grown = sum(process.memory_info().rss for process in processes) - before
    assert grown < 64 << 20
    with Connection(run.url) as connection:
        connection.send_head("POST", "/", [("Transfer-Encoding", "chunked")])
        with contextlib.suppress(ConnectionError):  # it may be refused while this is sent
            connection.send_chunks(chunk for _ in range(1025))
        with contextlib.suppress(ConnectionError):
            assert connection.answer().status == 413
    assert psutil.Process(run.pid).is_running()


@pytest.mark.deep
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "wsgiref"])
def test_git_pushes_two_megabytes(kind: str, running: runs.Start, tmp_path: Any) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    run = running("-b", bind(kind), app=GIT)
    served = run.log_file.parent / "served.git"
    work = tmp_path / "work"
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(tmp_path)}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]

    def git(*arguments: str) -> None:
        done = subprocess.run(
            ["git", *who, *arguments], env=os.environ | quiet, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    git("init", "-q", "--bare", str(served))
    git("-C", str(served), "config", "http.receivepack", "true")
    git("init", "-q", str(work))
    (work / "data").write_bytes(os.urandom(2 << 20))
    git("-C", str(work), "add", "data")
    git("-C", str(work), "commit", "-q", "-m", "data")
    git("-C", str(work), "push", "-q", f"{run.url}served.git", "HEAD:refs/heads/main")
    git("-C", str(served), "rev-parse", "main")
