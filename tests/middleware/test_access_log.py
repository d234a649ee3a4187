"""The access log of apps, read from a real pipe, and of real servers."""

from __future__ import annotations

import io
import json
import os
import re
import select
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

from tests import running as runs
from tests.raw_http import get
from webdemo.middleware.access_log import AccessLog, Record, coloured, mark_of, text_line
from webdemo.middleware.observe import AppRaised, watch
from webdemo.stats.counters import RequestCounter, SharedCounters
from webdemo.worker.output import LossyPipe

MARK = mark_of("0123456789abcdef")


class Logged:
    """An app wrapped by the access log, and the logged lines."""

    def __init__(self, app: Any, **settings: Any) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self._write = write
        self._counters = SharedCounters.create()
        self._log = AccessLog(
            server="waitress",
            bind_of=lambda _: ":8000",
            write=partial(os.write, write),
            mark=MARK,
            **settings,
        )
        self.app = watch(app, RequestCounter(self._counters, "waitress 8000"), self._log)
        self.head: tuple[str, list[tuple[str, str]]] | None = None

    def call(self, **changes: Any) -> bytes:
        """Call the app as a server does, read the body and close it."""
        body = self.open(**changes)
        try:
            return b"".join(body)
        finally:
            close(body)

    def open(self, **changes: Any) -> Iterable[bytes]:
        environ: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.7", "QUERY_STRING": ""}
        setup_testing_defaults(environ)
        environ |= changes
        written: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            self.head = (status, headers)
            return written.append

        return self.app(environ, start_response)

    def flush(self) -> None:
        self._log.flush()

    def lines(self) -> list[bytes]:
        self.flush()
        try:
            data = os.read(self._read, 65536)
        except BlockingIOError:
            return []
        assert data.endswith(b"\n")
        lines = data[:-1].split(b"\n")
        assert all(line.startswith(MARK) for line in lines)
        return [line.removeprefix(MARK) for line in lines]

    def entry(self) -> dict[str, Any]:
        [line] = self.lines()
        entry: dict[str, Any] = json.loads(line)
        return entry

    def end(self) -> None:
        self.flush()
        os.close(self._read)
        os.close(self._write)
        self._counters.close()


def close(body: Any) -> None:
    if hasattr(body, "close"):
        body.close()


Make = Callable[..., Logged]


@pytest.fixture
def log() -> Iterator[Make]:
    made: list[Logged] = []

    def make(app: Any, **settings: Any) -> Logged:
        made.append(Logged(app, **({"as_json": True} | settings)))
        return made[-1]

    yield make
    for one in made:
        one.end()


def hello(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hel", b"lo"]


# -- the fields -----------------------------------------------------------------------------------


def test_a_line_has_every_field_in_json(log: Make) -> None:
    logged = log(hello)
    before = time.time()
    assert logged.call(PATH_INFO="/caf\xc3\xa9", SCRIPT_NAME="/shop", QUERY_STRING="q=1") == b"hello"
    entry = logged.entry()
    assert list(entry) == [
        "time", "server", "bind", "client", "method", "path", "status", "bytes", "ms", "request_id",
    ]  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
    assert entry | {"time": "", "ms": 0, "request_id": ""} == {
        "time": "", "server": "waitress", "bind": ":8000", "client": "192.0.2.7", "method": "GET",
        "path": "/shop/café?q=1", "status": 200, "bytes": 5, "ms": 0, "request_id": "",
    }  # fmt: skip
    assert 0 <= entry["ms"] < (time.time() - before) * 1000 + 1


def test_a_line_is_short_in_text_and_coloured_on_a_terminal(log: Make) -> None:
    logged = log(hello, as_json=False)
    logged.call(PATH_INFO="/a", HTTP_X_REQUEST_ID="r-1")
    [line] = logged.lines()
    assert re.fullmatch(rb"\d\d:\d\d:\d\d waitress :8000 192\.0\.2\.7 GET /a 200 5B \d+\.\dms r-1", line), (
        line
    )
    assert " \x1b[32m200\x1b[0m 5B " in coloured(line.decode())


@pytest.mark.parametrize(
    ("status", "colour"), [("200", "32"), ("304", "36"), ("404", "33"), ("503", "31"), ("101", "0")]
)
def test_colours_tell_kinds_of_status_apart(status: str, colour: str) -> None:
    line = text_line(Record(0, "s", ":1", "c", "GET", "/", status, 0, 0, "r"))
    assert f"\x1b[{colour}m{status}\x1b[0m" in coloured(line)


def test_a_peer_on_a_unix_socket_is_called_unix_whatever_the_server_calls_it(log: Make) -> None:
    logged = log(hello)
    for peer in ("", "localhost", "<local>"):
        logged.call(REMOTE_ADDR=peer)
        assert logged.entry()["client"] == "unix"


# -- nothing is injected ----------------------------------------------------------------------------


def test_what_a_client_sends_cannot_make_a_line_or_a_field_or_a_colour(log: Make) -> None:
    logged = log(hello, as_json=False)
    logged.call(
        PATH_INFO="/a b\r\n\x1e12:00:00 fake\x1b[2J\xe2\x80\xae\xc2\x9b\\x",
        REQUEST_METHOD="GE\x1bT X",
        REMOTE_ADDR="1.2.3.4\n",
        HTTP_X_REQUEST_ID="a\nb",
    )
    [line] = logged.lines()
    text = line.decode()
    assert text.isprintable()
    assert r" 1.2.3.4\n GE\x1bT\x20X /a\x20b\r\n\x1e12:00:00\x20fake\x1b[2J\u202e\x9b\\x 200 5B " in text
    assert len(text.split(" ")) == 10


def test_json_stays_one_line_whatever_the_path_holds(log: Make) -> None:
    logged = log(hello)
    logged.call(PATH_INFO='/"}\n{"\x1b\xff\xe2\x80\xa8')
    assert logged.entry()["path"] == '/"}\n{"\x1b\ufffd\u2028'


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("char", ["a", "\x1b", "\xff", "\xf0\x9f\x90\x8d", "\xe2\x80\xae"])
def test_the_longest_line_fits_into_one_write(log: Make, as_json: bool, char: str) -> None:
    logged = log(hello, as_json=as_json)
    logged.call(PATH_INFO="/" + char * 20000, REQUEST_METHOD="M" * 9000, HTTP_X_REQUEST_ID="i" * 64)
    [line] = logged.lines()
    assert 300 < len(line) < 4096 - 2
    assert line.rstrip(b"}").endswith((b"i" * 64, b"i" * 64 + b'"'))


# -- bodies ---------------------------------------------------------------------------------------


class Body:
    """A body that counts the calls of its close()."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = chunks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks

    def close(self) -> None:
        self.closed += 1


def answering(body: Any, status: str = "200 OK") -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, [])
        return body

    return app


@pytest.mark.parametrize("body", [[], [b"abc", b"", b"de"], (b"abc", b"de"), iter([b"abc", b"de"])])
def test_the_bytes_of_lists_and_iterables_are_counted(log: Make, body: Any) -> None:
    logged = log(answering(body))
    sent = logged.call()
    assert logged.entry()["bytes"] == len(sent)


def test_a_lists_length_can_still_be_taken(log: Make) -> None:
    body = log(answering([b"one"])).open()
    assert isinstance(body, list)
    assert len(body) == 1
    close(body)


def test_an_iterable_is_sent_as_it_comes_and_closed_once(log: Make) -> None:
    body = Body(iter([b"a", b"bc"]))
    logged = log(answering(body))
    opened = logged.open()
    chunks = iter(opened)
    assert next(chunks) == b"a"
    assert logged.lines() == []
    assert next(chunks) == b"bc"
    assert list(chunks) == []
    assert (body.closed, logged.lines()) == (0, [])
    close(opened)
    assert body.closed == 1
    assert logged.entry()["bytes"] == 3


def test_a_client_that_leaves_is_logged_with_what_it_was_given(log: Make) -> None:
    body = Body([b"abc", b"def"])
    logged = log(answering(body))
    opened = logged.open()
    assert next(iter(opened)) == b"abc"
    close(opened)
    assert body.closed == 1
    entry = logged.entry()
    assert (entry["status"], entry["bytes"]) == (200, 3)


def test_a_line_is_written_once_even_if_a_server_closes_twice(log: Make) -> None:
    for body in ([b"a"], iter([b"a"])):
        logged = log(answering(body))
        opened = logged.open()
        close(opened)
        close(opened)
        assert len(logged.lines()) == 1


def test_the_line_is_written_when_the_bodys_close_fails(log: Make) -> None:
    class Bad(Body):
        def close(self) -> None:
            raise OSError("no")

    logged = log(answering(Bad([b"a"])))
    with pytest.raises(AppRaised, match=r"OSError\('no'\)"):
        logged.call()
    assert logged.entry()["bytes"] == 1


def test_bytes_written_the_old_way_are_counted(log: Make) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"ab")
        write(b"c")
        return [b"d"]

    logged = log(app)
    logged.call()
    assert logged.entry()["bytes"] == 4


def test_the_answer_to_head_has_no_bytes(log: Make) -> None:
    logged = log(hello)
    logged.call(REQUEST_METHOD="HEAD")
    assert logged.entry()["bytes"] == 0


def test_a_file_wrapper_goes_through_as_it_is_and_is_closed_once(log: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    file = (tmp_path / "file").open("rb")

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "1000")])
        return environ["wsgi.file_wrapper"](file)

    logged = log(app)
    opened = logged.open(**{"wsgi.file_wrapper": FileWrapper})
    assert type(opened) is FileWrapper
    assert b"".join(opened) == b"x" * 1000
    assert logged.lines() == []
    close(opened)
    assert file.closed
    assert logged.entry()["bytes"] == 1000


def test_a_file_without_close_is_logged_too(log: Make) -> None:
    class Wrapper:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            return iter([self.file.read()])

    logged = log(answering(Wrapper(io.BytesIO(b"abc"))))
    assert logged.call(**{"wsgi.file_wrapper": Wrapper}) == b"abc"
    assert logged.entry()["status"] == 200


# -- failures -------------------------------------------------------------------------------------


def test_an_app_that_raises_is_logged_as_500_and_still_raises(log: Make) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        raise ValueError("no")

    logged = log(app)
    with pytest.raises(ValueError, match="no"):
        logged.open()
    assert logged.entry()["status"] == 500


def test_a_body_that_raises_before_its_first_byte_is_a_500_and_later_is_what_was_sent(log: Make) -> None:
    def failing(chunks: list[bytes]) -> Iterator[bytes]:
        yield from chunks
        raise ValueError("no")

    for chunks, status in (([], 500), ([b"", b""], 500), ([b"ab"], 200)):
        body = Body(failing(chunks))
        logged = log(answering(body))
        with pytest.raises(ValueError, match="no"):
            logged.call()
        assert body.closed == 1
        assert (logged.entry()["status"], body.closed) == (status, 1)


def test_the_status_of_a_second_start_response_counts(log: Make) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError as exc:
            start_response("503 Unavailable", [], (type(exc), exc, exc.__traceback__))
        return [b""]

    logged = log(app)
    logged.call()
    assert logged.head is not None
    assert logged.head[0] == "503 Unavailable"
    assert logged.entry()["status"] == 503


@pytest.mark.parametrize("status", ["", "abc", "2", "\x1b[2J"])
def test_a_status_that_is_none_does_not_break_the_log(log: Make, status: str) -> None:
    logged = log(answering([b""], status))
    logged.call()
    assert logged.entry()["status"] == (2 if status == "2" else 0)


def test_a_content_length_that_is_none_does_not_break_the_answer(log: Make) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "many")])
        return [b"abc"]

    assert log(app).call() == b"abc"


def test_lines_are_written_together_in_pieces_that_a_pipe_takes_whole() -> None:
    pieces: list[bytes] = []
    counters = SharedCounters.create()
    log = AccessLog(server="s", bind_of=lambda _: ":1", write=pieces.append, mark=MARK)
    app = watch(hello, RequestCounter(counters, "s 1"), log)
    for number in range(200):
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        environ["PATH_INFO"] = f"/{number}/" + "x" * number
        close(app(environ, lambda *_: lambda _: None))
    log.flush()
    counters.close()
    assert max(map(len, pieces)) <= select.PIPE_BUF
    assert len(pieces) < 20
    assert all(piece.endswith(b"\n") for piece in pieces)
    lines = b"".join(pieces).splitlines()
    assert [int(re.findall(rb" /(\d+)/x* ", line)[0]) for line in lines] == list(range(200))


def test_a_log_that_nobody_reads_does_not_break_the_answer() -> None:
    read, write = os.pipe()
    os.close(read)
    counters = SharedCounters.create()
    try:
        pipe = LossyPipe(write, lambda _: None)
        log = AccessLog(server="s", bind_of=lambda _: ":1", write=pipe.write, mark=MARK)
        app = watch(hello, RequestCounter(counters, "s 1"), log)
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        body = app(environ, lambda *_: lambda _: None)
        close(body)
        log.flush()
    finally:
        os.close(write)
        counters.close()


# -- request ids and headers ------------------------------------------------------------------------


def test_each_request_gets_an_id_that_app_answer_and_line_share(log: Make) -> None:
    ids = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        ids.append(environ["webdemo.request_id"])
        return hello(environ, start_response)

    logged = log(app)
    for _ in range(2):
        logged.call()
        assert logged.head is not None
        assert dict(logged.head[1])["X-Request-ID"] == ids[-1] == logged.entry()["request_id"]
    assert ids[0] != ids[1]


def test_an_id_that_comes_with_the_request_is_kept_if_it_is_harmless(log: Make) -> None:
    logged = log(hello)
    logged.call(HTTP_X_REQUEST_ID="4f-A.b:c_9")
    assert logged.entry()["request_id"] == "4f-A.b:c_9"


@pytest.mark.parametrize("sent", ["", "a b", "a\r\nSet-Cookie: x", "x" * 65, "é", "a\n"])
def test_an_id_that_is_not_harmless_is_replaced_everywhere(log: Make, sent: str) -> None:
    received = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        received.append(environ["HTTP_X_REQUEST_ID"])
        return hello(environ, start_response)

    logged = log(app)
    logged.call(HTTP_X_REQUEST_ID=sent)
    assert received == [logged.entry()["request_id"]]
    assert received != [sent]


def test_an_apps_own_id_header_is_not_doubled(log: Make) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("x-request-id", environ["webdemo.request_id"])])
        return [b""]

    logged = log(app)
    logged.call()
    assert logged.head is not None
    assert [name.lower() for name, _ in logged.head[1]] == ["x-request-id"]


def test_a_header_list_that_the_app_keeps_is_not_changed(log: Make) -> None:
    kept = [("Content-Type", "text/plain")]

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", kept)
        return [b""]

    logged = log(app)
    for _ in range(2):
        logged.call()
    assert kept == [("Content-Type", "text/plain")]


@pytest.mark.process
def test_after_a_fork_ids_are_still_of_one_process_each(log: Make) -> None:
    logged = log(hello)
    logged.call()
    logged.flush()
    pid = os.fork()
    if pid == 0:
        try:
            logged.call()
            logged.flush()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    logged.call()
    first, child, second = (json.loads(line)["request_id"].split("-")[0] for line in logged.lines())
    assert first == second != child


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ["list", "iterable", "write"])
def test_wsgirefs_validator_finds_nothing_wrong_on_either_side(log: Make, method: str, kind: str) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
        content = b"" if method == "HEAD" else b"abc"
        if kind == "write":
            write(content)
            return [b""]
        return [content] if kind == "list" else iter([content])

    logged = log(validator(app))
    logged.app = validator(logged.app)
    logged.call(REQUEST_METHOD=method)


# -- real servers -----------------------------------------------------------------------------------

FILES = """
import os

sendfile = os.sendfile

def told(*arguments):
    print("sent by the system", flush=True)
    return sendfile(*arguments)

os.sendfile = told

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "3000000"), ("Content-Type", "application/x-test")])
    return environ["wsgi.file_wrapper"](open(__file__ + ".data", "rb"))
"""


@pytest.mark.parametrize("server", ["waitress", "gunicorn", "wsgiref"])
def test_files_go_through_the_log_to_servers_that_send_them_themselves(
    running: runs.Start, tmp_path: Path, server: str
) -> None:
    folder = tmp_path / "run1"
    folder.mkdir()
    data = os.urandom(3_000_000)
    (folder / "served.py.data").write_bytes(data)
    run = running("-b", f"{server}://127.0.0.1:0", app=FILES)
    assert get(run.url, "/file").body == data
    run.wait_for(rf"^[\d:]{{8}} {server} \S+ 127\.0\.0\.1 GET /file 200 3000000B ")
    if server == "gunicorn":
        run.wait_for("sent by the system")
