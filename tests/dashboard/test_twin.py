"""Twin mode: requests go to every server and nowhere else; differences are marked and explained."""

from __future__ import annotations

import itertools
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import raw_http
from tests import running as runs
from tests.dashboard.conftest import Dashboard
from tests.free_ports import free_port
from webdemo.client.wire import Request
from webdemo.compare.behaviour.differences import compare
from webdemo.compare.behaviour.known import reason_of
from webdemo.compare.behaviour.observation import Observation
from webdemo.dashboard import twin
from webdemo.dashboard.overview import Card, Port, Series, Watch
from webdemo.dashboard.twin import read_request
from webdemo.errors import UsageError
from webdemo.supervisor.control import Instance

HTTP_SERVERS = ("werkzeug", "waitress", "gunicorn", "wsgiref", "cheroot", "gevent", "hypercorn")


def card(server: str, url: str = "http://127.0.0.1:1/") -> Card:
    name = url.rstrip("/").rpartition(":")[2]
    return Card(
        key=name,
        colour=1,
        server=server,
        version="1",
        state="up",
        ports=(Port(name, url),),
        urls=(url,),
        processes=(),
        workers=1,
        restarts=0,
        problem="",
        runs_app=True,
        figures=None,
        series=Series(),
        actions=(),
        swaps=(),
    )


def response(body: bytes, *headers: tuple[str, str], status: str = "200") -> Observation:
    return Observation(status, headers, body, "OK")


# -- the request ----------------------------------------------------------------------------------


def test_a_request_is_sent_as_written() -> None:
    request = read_request("GET", "/a%2Fb?x=1&y=ü", "X-Twice: 1\nX-Twice: 2\n", "")
    assert request.encode("127.0.0.1:80") == (
        b"GET /a%2Fb?x=1&y=%C3%BC HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\n"
        b"X-Twice: 1\r\nX-Twice: 2\r\n\r\n"
    )


def test_a_body_comes_with_its_length_or_in_chunks() -> None:
    assert read_request("POST", "/", "", "häh").encode("h").endswith(b"Content-Length: 4\r\n\r\nh\xc3\xa4h")
    chunked = read_request("POST", "/", "Transfer-Encoding: chunked", "hello").encode("h")
    assert chunked.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert b"Content-Length" not in chunked


def test_a_host_header_of_its_own_takes_the_place_of_ours() -> None:
    assert read_request("GET", "/", "Host: example.com", "").encode("h").count(b"ost: ") == 1


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("TRACE", "/", ""),
        ("get", "/", ""),
        ("", "/", ""),
        ("GET / HTTP/1.1\r\nX: y", "/", ""),
        ("GET", "", ""),
        ("GET", "http://192.0.2.1/", ""),
        ("GET", "192.0.2.1:80", ""),
        ("CONNECT", "192.0.2.1:80", ""),
        ("GET", "/" + "x" * 5000, ""),
        ("GET", "/", "no colon"),
        ("GET", "/", "Na me: x"),
        ("GET", "/", "Name: a\rInjected: b\x00"),
        ("GET", "/", "Name: \u2028x"),
        ("GET", "/", "Content-Length: 5"),
        ("GET", "/", "Connection: keep-alive"),
        ("GET", "/", "Transfer-Encoding: gzip"),
        ("GET", "/", "X: y\n" * 5000),
    ],
    ids=repr,
)
def test_what_cannot_be_sent_is_refused(method: str, path: str, headers: str) -> None:
    with pytest.raises(UsageError):
        read_request(method, path, headers, "")


def test_a_path_cannot_smuggle_a_second_request() -> None:
    sent = read_request("GET", "/ HTTP/1.1\r\nHost: x\r\n\r\nGET /second", "", "").encode("h")
    assert sent.count(b"HTTP/1.1\r\n") == 1
    assert b"GET /%20HTTP/1.1%0D%0AHost:%20x%0D%0A%0D%0AGET%20/second HTTP/1.1\r\n" in sent


# -- invalid responses ----------------------------------------------------------------------------


@pytest.fixture
def misbehaving() -> Iterator[dict[str, str]]:
    """URLs of sockets that answer too much, nothing, nonsense, and without an end."""
    answers = {
        "endless": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2 * twin.MOST_BODY_BYTES),
        "silent": b"",
        "nonsense": b"\x00\xff\x00\xff\r\n\r\n",
        "short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
    }
    over = threading.Event()
    threads, urls, listeners = [], {}, []

    def serve(listener: socket.socket, data: bytes, hangs: bool) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            try:
                connection.sendall(data)
                while hangs and not over.wait(0.02):
                    connection.sendall(b"x")
            except OSError:
                return

    urls["refused"] = f"http://127.0.0.1:{free_port()}/"
    for name, data in [*answers.items(), ("dripping", b"HTTP/1.1 200 OK\r\nX: ")]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        urls[name] = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        threads.append(threading.Thread(target=serve, args=(listener, data, name == "dripping")))
        threads[-1].start()
    yield urls
    over.set()
    for listener in listeners:
        listener.close()
    for thread in threads:
        thread.join(10)


def test_answers_are_bounded_in_size_and_time(
    misbehaving: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = [card(name, url) for name, url in misbehaving.items()]
    responses: dict[str, Observation] = {}
    for seconds, some in ((60.0, cards[:-1]), (1.0, cards[-1:])):
        monkeypatch.setattr(twin, "RESPONSE_SECONDS", seconds)
        responses |= {r.card.server: r.observed for r in twin.send_to_all(Request("GET", "/"), some)}
    assert len(responses["endless"].body) == twin.MOST_BODY_BYTES
    assert responses["endless"].is_cut
    failures = {name: r.failure.does for name, r in responses.items() if r.failure}
    assert failures == {
        "silent": "closes the connection without a response",
        "nonsense": "responds with something that is not HTTP",
        "short": "closes the connection in the middle of its response",
        "refused": "accepts no connection",
        "dripping": "does not finish its response in time",
    }
    assert "refused" in responses["refused"].evidence
    assert responses["dripping"].milliseconds < 20_000


# -- the comparison -------------------------------------------------------------------------------


def test_equal_answers_show_no_difference() -> None:
    found = compare([response(b"same", ("X", "1")), response(b"same", ("x", "1"))])
    assert (found.telling, found.by_nature, found.lines, found.body) == ([], [], 0, "same")


def test_the_odd_one_out_is_marked() -> None:
    found = compare([response(b"", ("X", "1")), response(b"", ("X", "2")), response(b"", ("X", "1"))])
    [row] = [row for row in found.headers if row.differs]
    assert [cell.marked for cell in row.cells] == [False, True, False]


def test_of_two_that_differ_both_are_marked() -> None:
    found = compare([response(b""), response(b"", status="404")])
    assert [cell.marked for cell in found.status.cells] == [True, True]
    assert found.telling == [found.status]


def test_json_is_compared_value_by_value() -> None:
    variable = b'{"key": "wsgi.multithread", "type": "bool", "value": "True"}'
    one = b'{"environ": [%s], "same": [1, {"a": null}]}' % variable
    other = one.replace(b"True", b"False")
    found = compare([response(one), response(other)])
    [row] = [row for row in found.values if row.differs]
    assert row.name == "environ.wsgi.multithread"
    assert row.reason is not None
    assert "threads" in row.reason.why


def test_lists_of_pairs_count_as_objects_if_no_name_comes_twice() -> None:
    found = compare(
        [
            response(b'{"h": [["X", "1"], ["Y", "2"]]}'),
            response(b'{"h": [["Y", "2"], ["X", "1"], ["X", "1"]]}'),
        ]
    )
    assert {row.name for row in found.values} == {"h.X", "h.Y", "h.0.0", "h.0.1"} | {
        f"h.{i}.{j}" for i, j in itertools.product((1, 2), (0, 1))
    }


def test_text_is_compared_line_by_line() -> None:
    common = "\n".join(f"line {n}" for n in range(10))
    found = compare([response(f"one\n{common}".encode()), response(f"two\n{common}".encode())])
    assert [[(line.text, line.marked) for line in text] for text in found.texts] == [
        [("one", True), ("… 10 lines that all have", False)],
        [("two", True), ("… 10 lines that all have", False)],
    ]


def test_other_bodies_are_told_by_length_and_digest() -> None:
    found = compare([response(b"\xff\x00"), response(b"\xff\x00\x00")])
    assert found.texts[0][0].text.startswith("2 bytes, SHA-256 ")


def test_json_that_nests_too_deep_is_text() -> None:
    deep = b"[" * 100_000
    assert compare([response(deep), response(deep + b" ")]).texts


def test_reasons_are_found_for_what_is_known() -> None:
    assert (reason := reason_of("header Server"))
    assert not reason.by_nature
    assert (reason := reason_of("header Date"))
    assert reason.by_nature
    assert reason_of("header X-Of-The-App") is None


def test_known_differences_explain_all_that_the_servers_here_do(running: runs.Start, tmp_path: Path) -> None:
    binds = [part for name in HTTP_SERVERS for part in ("-b", f"{name}://127.0.0.1:0")]
    run = running(*binds, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    control = Instance(run.pid, tmp_path / "webdemo" / f"{run.pid}.sock")
    cards = Watch(control).look().cards
    assert len(cards) == len(HTTP_SERVERS)
    headers = "Accept: application/json\nX-Twice: 1\nX-Twice: 2\nunder_score: 1"
    responses = twin.send_to_all(read_request("GET", "/inspect", headers, ""), cards)
    assert [response.observed.failure for response in responses] == [None] * len(HTTP_SERVERS)
    found = compare([response.observed for response in responses])
    differing = [row for row in found.rows if row.differs]
    assert len(differing) > 20
    assert [row.name for row in differing if row.reason is None] == []


# -- real servers ---------------------------------------------------------------------------------


@pytest.mark.process
def test_the_same_request_goes_to_every_server_and_differences_show(dashboard: Dashboard) -> None:
    found = dashboard.post_with_key("/twin", {"method": "GET", "path": "/twins?x=1"})
    assert found.status == 200
    for name in ("werkzeug", "waitress", "gunicorn"):
        assert name in found.text
        dashboard.run.wait_for(rf" {name} :\d+ 127.0.0.1 GET /twins\?x=1 200 ")
    assert "Each server names itself here" in found.text


@pytest.mark.process
def test_a_script_in_an_answer_is_shown_and_not_run(dashboard: Dashboard) -> None:
    found = dashboard.post_with_key("/twin", {"method": "GET", "path": "/script"})
    assert "&lt;script&gt;" in found.text
    assert "<script>document" not in found.text


@pytest.mark.process
def test_a_server_without_a_response_is_named_and_the_others_are_compared(dashboard: Dashboard) -> None:
    text = dashboard.post_with_key("/twin", {"method": "GET", "path": "/cut"}).text
    assert re.search(r"gunicorn :\d+</strong> closes the connection in the middle of its response", text)
    assert text.count("200,") == 2


@pytest.mark.process
def test_a_method_that_may_change_something_wants_a_confirmation(dashboard: Dashboard) -> None:
    fields = {"method": "DELETE", "path": "/everything"}
    refused = dashboard.post_with_key("/twin", fields)
    assert refused.status == 400
    assert "may change data" in refused.json["problem"]
    assert dashboard.post_with_key("/twin", fields | {"confirmed": "yes"}).status == 200
    log = "\n".join(dashboard.run.wait_for(r"^.*DELETE /everything.*$", times=3))
    assert log.count("DELETE /everything") == 3


@pytest.mark.process
@pytest.mark.parametrize(
    "path", ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "/\\127.0.0.1:{port}", "/@127.0.0.1:{port}/"]
)
def test_a_request_goes_nowhere_but_to_the_servers_of_the_run(dashboard: Dashboard, path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        fields = {"method": "GET", "path": path.format(port=port), "headers": f"Host: 127.0.0.1:{port}"}
        dashboard.post_with_key("/twin", fields | {"url": f"http://127.0.0.1:{port}/", "port": str(port)})
        stranger.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stranger.accept()


@pytest.mark.process
def test_only_a_link_followed_here_is_sent_at_once(dashboard: Dashboard) -> None:
    target = "/twin?path=%2Fslow&headers=Accept%3A+text%2Fhtml"
    typed = dashboard.get(target, ("Sec-Fetch-Site", "none")).text
    assert " data-run" in typed
    assert 'value="/slow"' in typed
    assert " data-run" not in dashboard.get(target, ("Sec-Fetch-Site", "cross-site")).text
    assert " data-run" not in dashboard.get(f"{target}&method=DELETE", ("Sec-Fetch-Site", "none")).text


@pytest.mark.process
def test_an_unknown_method_in_a_link_is_not_taken_over(dashboard: Dashboard) -> None:
    shown = dashboard.get("/twin?method=%3Cscript%3E&path=%22%3E%3Cscript%3E").text
    assert "<script>" not in shown.replace("<script src", "")


@pytest.mark.process
def test_slow_answers_come_together(dashboard: Dashboard) -> None:
    found = raw_http.get(dashboard.url, "/live")
    assert found.status == 200
    answer = dashboard.post_with_key("/twin", {"method": "GET", "path": "/slow"})
    assert answer.status == 200
    assert answer.text.count("200,") == 3
