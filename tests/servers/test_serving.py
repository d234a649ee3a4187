"""One app on every server at once: what is equal, and what is known to differ."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import running as runs
from tests.raw_http import Connection, get
from tests.running import Start
from tests.servers.app import large
from tests.servers.kinds import KINDS, SOFTWARE, bind

pytestmark = [pytest.mark.process, pytest.mark.smoke]

BODY = b"0123456789abcdef" * 5000
DIGEST = f"{len(BODY)} {hashlib.sha256(BODY).hexdigest()}"
WITHOUT_KEEP_ALIVE = ("werkzeug", "wsgiref", "gunicorn-sync")
JOINED_BY_US = ("werkzeug", "waitress", "gunicorn", "gunicorn-sync", "wsgiref")

Urls = dict[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    """Every kind on IPv4, IPv6 and a Unix socket, all in one run."""
    folder = tmp_path_factory.mktemp("run")
    binds = []
    for kind in KINDS:
        # The same server with other options is another service, with its own process.
        binds += ["-b", bind(kind), "-b", bind(kind, "[::1]:0")]
        binds += ["-b", bind(kind, f"{folder}/{kind}.sock", scheme="+unix")]
    run = runs.start(
        folder,
        *binds,
        app=(Path(__file__).parent / "app.py").read_text(),
        environment={"SECRET_OF_THE_PROCESS": "never shown"},
    )
    try:
        yield {kind: row.urls for kind, row in zip(KINDS, run.rows(), strict=True)}
        assert run.terminate() == 0
        run.wait_until_gone()
        assert not list(folder.glob("*.sock")), "the files of Unix sockets go with the run"
    finally:
        run.clean_up()


@pytest.fixture
def url(kind: str, everywhere: Urls) -> str:
    return everywhere[kind][0]


def test_the_server_that_was_named_answers_on_ipv4_ipv6_and_a_unix_socket(
    kind: str, everywhere: Urls
) -> None:
    for url in everywhere[kind]:
        assert get(url).text.startswith(SOFTWARE[KINDS[kind][0]])


def test_the_environ_is_as_pep_3333_has_it(kind: str, everywhere: Urls) -> None:
    for url in everywhere[kind]:
        environ = get(url, "/environ?a=b%20c").json
        assert environ["REQUEST_METHOD"] == "GET"
        assert environ["SCRIPT_NAME"] == ""
        assert environ["PATH_INFO"] == "/environ"
        assert environ["QUERY_STRING"] == "a=b%20c"
        assert environ["SERVER_PROTOCOL"] in ("HTTP/1.1", "HTTP/1.0")
        assert isinstance(environ["SERVER_NAME"], str)
        assert environ["SERVER_NAME"]
        assert isinstance(environ["SERVER_PORT"], str)
        assert environ["wsgi.version"] == [1, 0]
        assert environ["wsgi.url_scheme"] == "http"
        assert environ["wsgi.run_once"] is False
        # gevent's greenlets are not threads, and a sync worker has only one.
        assert environ["wsgi.multithread"] is (kind not in ("gevent", "gunicorn-sync"))
        assert "CONTENT_TYPE" not in environ or not environ["CONTENT_TYPE"]
        assert "SECRET_OF_THE_PROCESS" not in environ


def test_the_environ_tells_addresses_and_ports_of_both_ends(kind: str, everywhere: Urls) -> None:
    for url, address in zip(everywhere[kind][:2], ("127.0.0.1", "::1"), strict=True):
        with Connection(url) as connection:
            environ = connection.request("/environ").json
            assert environ["SERVER_PORT"] == str(urlsplit(url).port)
            assert environ["REMOTE_ADDR"] == address
            if kind != "hypercorn":  # it does not set REMOTE_PORT
                assert environ["REMOTE_PORT"] == str(connection.socket.getsockname()[1])


def test_the_environ_of_a_unix_socket_is_the_same_on_every_server(kind: str, everywhere: Urls) -> None:
    environ = get(everywhere[kind][2], "/environ").json
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ


def test_a_stranger_cannot_make_the_scheme_https(kind: str, url: str) -> None:
    environ = get(
        url, "/environ", headers=[("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "8.8.8.8")]
    ).json
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_a_body_with_a_length_arrives_whole(kind: str, everywhere: Urls) -> None:
    for url in everywhere[kind]:
        assert get(url, "/upload", method="POST", body=BODY).text == DIGEST


def test_a_body_has_an_end(kind: str, url: str) -> None:
    assert get(url, "/read-all", method="POST", body=b"four").text == "4"
    assert get(url, "/read-all").text == "0"
    if kind != "cheroot":  # it sets it for chunked bodies only
        assert get(url, "/environ").json["wsgi.input_terminated"] is True


def test_a_chunked_body_arrives_whole_or_is_refused(kind: str, url: str) -> None:
    with Connection(url) as connection:
        connection.send_head("POST", "/upload", [("Transfer-Encoding", "chunked")])
        if kind == "wsgiref":
            assert connection.answer().status == 411
        else:
            connection.send_chunks(BODY[i : i + 7777] for i in range(0, len(BODY), 7777))
            assert connection.answer().text == DIGEST


def test_a_client_that_waits_for_100_continue_is_answered(kind: str, url: str) -> None:
    with Connection(url) as connection:
        connection.send_head(
            "POST", "/upload", [("Content-Length", str(len(BODY))), ("Expect", "100-continue")]
        )
        if kind == "wsgiref":  # HTTP/1.0 has no 100 Continue
            connection.socket.settimeout(1)  # curl waits as long
            with pytest.raises(TimeoutError):
                connection.socket.recv(1)
        else:
            interim = b""
            while not interim.endswith(b"\r\n\r\n"):
                interim += connection.socket.recv(1) or pytest.fail("the connection was closed")
            assert interim.startswith(b"HTTP/1.1 100 ")
        connection.socket.settimeout(30)
        connection.send(BODY)
        assert connection.answer().text == DIGEST


def test_a_body_that_the_app_does_not_read_harms_no_later_request(kind: str, url: str) -> None:
    with Connection(url) as connection:
        answer = connection.request("/ignore-body", method="POST", body=b"GET /stolen HTTP/1.1\r\n\r\n")
        assert answer.text == "not read"
        if kind == "werkzeug":
            return  # it closes, or reads on until the client leaves: docs/servers.md
        if kind in WITHOUT_KEEP_ALIVE:
            assert connection.ended()
        else:
            assert connection.request("/slow?0").text == "slow, and whole"


def test_a_body_that_breaks_off_is_an_error_or_a_short_read(kind: str, url: str) -> None:
    with Connection(url) as connection:
        connection.send_head("POST", "/upload", [("Content-Length", str(len(BODY)))])
        connection.send(BODY[:1000])
        connection.socket.shutdown(socket.SHUT_WR)
        data = b""
        with contextlib.suppress(ConnectionError):
            while received := connection.socket.recv(65536):
                data += received
    if kind in ("gunicorn", "gunicorn-sync", "cheroot"):
        assert b"1000 " in data, "the app is given what came, and has to compare"
    else:
        assert b" 200 " not in data
    assert get(url).status == 200


def test_what_differs_is_as_the_documentation_says(kind: str, url: str) -> None:
    environ = get(url, "/environ").json
    assert environ["file_wrapper"] is (kind in ("waitress", "gunicorn", "gunicorn-sync", "wsgiref"))
    assert ("REMOTE_PORT" in environ) is (kind != "hypercorn")
    if kind != "wsgiref":
        with Connection(url) as connection:
            connection.send_head("POST", "/environ", [("Transfer-Encoding", "chunked")])
            connection.send_chunks([b"abc"])
            environ = connection.answer().json
        assert environ["CONTENT_LENGTH"] == "3"
        assert "HTTP_TRANSFER_ENCODING" not in environ


def test_a_chunked_body_that_is_cut_off_is_not_taken_for_a_whole_one(kind: str, url: str) -> None:
    if kind == "hypercorn":
        pytest.skip("passes it on as if it were complete")
    with Connection(url) as connection:
        connection.send_head("POST", "/upload", [("Transfer-Encoding", "chunked")])
        with contextlib.suppress(OSError):  # wsgiref may have refused the head and closed already
            connection.send(b"5\r\nhello\r\n")
            connection.socket.shutdown(socket.SHUT_WR)
        data = b""
        with contextlib.suppress(ConnectionError):
            while received := connection.socket.recv(65536):
                data += received
    assert b" 200 " not in data


def test_head_has_the_headers_of_get_and_no_body(kind: str, everywhere: Urls) -> None:
    for url in everywhere[kind]:
        with Connection(url) as connection:
            connection.send_head("HEAD", "/upload", [("Connection", "close")])
            answer = connection.answer("HEAD")
            assert answer.status == 200
            assert answer.headers["Content-Length"] == str(len(f"0 {hashlib.sha256().hexdigest()}"))
            assert connection.socket.recv(100) == b""


@pytest.mark.parametrize("path", ["/head", "/head-length"])
def test_an_app_that_answers_head_with_a_body_puts_no_connection_out_of_step(
    kind: str, url: str, path: str
) -> None:
    if kind in WITHOUT_KEEP_ALIVE:
        pytest.skip("keeps no connection alive")
    with Connection(url) as connection:
        connection.send_head("HEAD", path)
        connection.send_head("GET", "/slow?0", [("Connection", "close")])
        received = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.socket.recv(65536):
                received += data
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b" 200 " in head
    if b"connection: close" in head.lower():
        assert rest == b""
    else:
        assert rest.startswith(b"HTTP/1.1 200 ")
        assert rest.endswith(b"slow, and whole")


def test_a_connection_is_kept_alive_where_the_server_can(kind: str, url: str) -> None:
    with Connection(url) as connection:
        first = connection.request("/slow?0")
        assert first.text == "slow, and whole"
        if kind in WITHOUT_KEEP_ALIVE:
            assert connection.ended(5)
        else:
            assert connection.request("/slow?0").text == "slow, and whole"


def test_a_stream_arrives_as_it_is_made(kind: str, url: str) -> None:
    with Connection(url) as connection:
        connection.send_head("GET", "/endless")
        assert connection.socket.recv(12, socket.MSG_WAITALL).endswith(b" 200")
        seen = b""
        while b"data: first" not in seen:
            seen += connection.socket.recv(65536) or pytest.fail("the stream was cut off")


def test_a_large_answer_arrives_whole(kind: str, everywhere: Urls) -> None:
    for url in everywhere[kind]:
        assert get(url, "/large").body == large({})


def test_a_short_answer_arrives_in_one_piece(kind: str, url: str) -> None:
    if kind not in JOINED_BY_US:
        pytest.skip("sends as it likes")
    with Connection(url) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head, _, body = connection.socket.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.")
    assert body


def test_an_answer_without_a_body_arrives(kind: str, url: str) -> None:
    answer = get(url, "/nothing")
    assert answer.status == 204
    assert answer.headers["X-Nothing"] == "yes"
    assert answer.body == b""


def test_write_and_the_returned_body_come_in_this_order(kind: str, url: str) -> None:
    assert get(url, "/write").text == "written, and returned"


def test_sixteen_binds_of_several_servers_answer_in_one_run(serving: Start) -> None:
    servers = ("werkzeug", "waitress", "gunicorn", "wsgiref")
    run = serving(*(argument for i in range(16) for argument in ("-b", bind(servers[i % 4]))))
    assert len(run.rows()) == 4
    assert len(run.servers()) == 4, "the binds of a server share one process"
    for row in run.rows():
        assert len(row.urls) == 4
        for url in row.urls:
            assert get(url).text.startswith(SOFTWARE[row.server])
    assert run.terminate() == 0
    run.wait_until_gone()


def test_sixty_four_binds_of_waitress_answer_in_one_process(serving: Start) -> None:
    run = serving(*(argument for _ in range(64) for argument in ("-b", bind("waitress"))))
    [row] = run.rows()
    assert len(row.urls) == 64
    assert {get(url).text for url in row.urls} == {f"waitress {row.pids[0]}"}
    assert run.terminate() == 0


def test_workers_share_the_port_on_every_server(kind: str, serving: Start) -> None:
    run = serving("-b", bind(kind, "127.0.0.1:0", "workers=2"))
    answered: set[str] = set()
    for _ in range(300):
        answered.add(get(run.url).text)
        if len(answered) == 2:
            break
    assert len(answered) == 2
    assert run.terminate() == 0
    run.wait_until_gone()
