"""--live-reload: pages get the script, every other response passes byte for byte."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Browser

from tests import running as runs
from tests.free_ports import free_port
from tests.raw_http import get
from webdemo.middleware.live_reload import SCRIPT_PATH, STATE_PATH, allow, live
from webdemo.middleware.stack import EdgeSettings, Features, placeholder, wrap
from webdemo.stats.board import BOARD_BYTES, Board
from webdemo.stats.counters import RequestCounter, SharedCounters

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HTML = ("Content-Type", "text/html; charset=utf-8")
PAGE = b"<!doctype html><title>t</title><p>page"
NAVIGATION = {"HTTP_SEC_FETCH_DEST": "document", "HTTP_ACCEPT": "text/html,*/*"}
TAG = re.compile(rb'<script src="/.webdemo-live.js" data-version="run.1 0" nonce="[^"]+" async></script>\n$')

Result = tuple[str, list[tuple[str, str]], bytes]


@pytest.fixture
def board() -> Board:
    made = Board(memoryview(bytearray(BOARD_BYTES)))
    made.write(b'{"release": "run.2", "files": 0, "styles": 0, "error": {"problem": "secret source"}}')
    return made


def app_of(
    body: Iterable[bytes], *headers: tuple[str, str], status: str = "200 OK", lazy: bool = False
) -> WSGIApplication:
    def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, list(headers))
        return body

    def lazily(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, list(headers))
        yield from body

    return lazily if lazy else app


def call(app: WSGIApplication, **environ: str) -> Result:
    seen: list[Any] = ["", []]
    written = io.BytesIO()

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        seen[:] = status, headers
        return written.write

    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1", **environ}
    body = app(asked, start_response)
    try:
        sent = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return seen[0], seen[1], written.getvalue() + sent


# Responses in which nothing may change although a browser navigates to them.
UNTOUCHED: dict[str, WSGIApplication] = {
    "no content type": app_of([PAGE]),
    "plain text": app_of([PAGE], ("Content-Type", "text/plain")),
    "JSON": app_of([b"{}"], ("Content-Type", "application/json")),
    "a type that begins like HTML": app_of([PAGE], ("Content-Type", "text/html-fragment")),
    "server-sent events": app_of([b"data: 1\n\n"], ("Content-Type", "text/event-stream")),
    "UTF-16": app_of(["é".encode("utf-16")], ("Content-Type", "text/html; charset=utf-16")),
    "an unknown parameter": app_of([PAGE], ("Content-Type", "text/html; profile=x")),
    "compressed": app_of([gzip.compress(PAGE)], HTML, ("Content-Encoding", "gzip")),
    "a part": app_of([PAGE[:5]], HTML, ("Content-Range", "bytes 0-4/99"), status="206 Partial Content"),
    "not modified": app_of([], HTML, ("ETag", '"x"'), status="304 Not Modified"),
    "no content": app_of([], HTML, status="204 No Content"),
    "a redirect": app_of([PAGE], HTML, ("Location", "/"), status="302 Found"),
    "a download": app_of([PAGE], HTML, ("Content-Disposition", "attachment; filename=a.html")),
    "signed": app_of([PAGE], HTML, ("Content-Digest", "sha-256=:AAAA=:")),
    "chunked by the app": app_of([b"0\r\n\r\n"], HTML, ("Transfer-Encoding", "chunked")),
    "a page that reloads by itself": app_of([PAGE], HTML, ("Refresh", "1")),
    "a length that is no number": app_of([PAGE], HTML, ("Content-Length", "many")),
    "a sandbox without scripts": app_of([PAGE], HTML, ("Content-Security-Policy", "sandbox")),
    "inline scripts without own ones": app_of(
        [PAGE], HTML, ("Content-Security-Policy", "script-src 'unsafe-inline'")
    ),
    "nothing at all": app_of([], status="500 Internal Server Error"),
}
# Requests to which no page may get the script.
NO_NAVIGATION: dict[str, dict[str, str]] = {
    "curl": {"HTTP_ACCEPT": "*/*"},
    "fetch": {"HTTP_SEC_FETCH_DEST": "empty", "HTTP_ACCEPT": "text/html"},
    "an image": {"HTTP_SEC_FETCH_DEST": "image"},
    "HEAD": {**NAVIGATION, "REQUEST_METHOD": "HEAD"},
    "POST": {**NAVIGATION, "REQUEST_METHOD": "POST"},
    "a range": {**NAVIGATION, "HTTP_RANGE": "bytes=0-1"},
    "XMLHttpRequest": {"HTTP_ACCEPT": "text/html,*/*", "HTTP_X_REQUESTED_WITH": "XMLHttpRequest"},
    "htmx": {"HTTP_ACCEPT": "text/html,*/*", "HTTP_HX_REQUEST": "true"},
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_is_no_page_passes_byte_for_byte(name: str, board: Board) -> None:
    assert call(live(UNTOUCHED[name], board, "run.1"), **NAVIGATION) == call(UNTOUCHED[name], **NAVIGATION)


@pytest.mark.parametrize("name", NO_NAVIGATION)
def test_what_is_no_navigation_passes_byte_for_byte(name: str, board: Board) -> None:
    app = app_of([PAGE], HTML, ("Content-Length", str(len(PAGE))), ("ETag", '"x"'))
    assert call(live(app, board, "run.1"), **NO_NAVIGATION[name]) == call(app)


@pytest.mark.parametrize("environ", [NAVIGATION, {"HTTP_ACCEPT": "text/html,application/xhtml+xml"}])
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Internal Server Error"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_page_gets_the_script_at_its_end(
    lazy: bool, status: str, environ: dict[str, str], board: Board
) -> None:
    app = app_of([PAGE, b"</p>"], HTML, ("ETag", '"x"'), ("Content-Length", "42"), status=status, lazy=lazy)
    found_status, headers, body = call(live(app, board, "run.1"), **environ)
    assert found_status == status
    assert body.startswith(PAGE + b"</p>")
    assert TAG.search(body)
    assert dict(headers) == {"Content-Type": HTML[1], "Content-Length": str(len(body))}


def test_the_app_sees_neither_compression_nor_conditions_of_a_navigation(board: Board) -> None:
    seen: dict[str, Any] = {}

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return []

    conditions = {"HTTP_ACCEPT_ENCODING": "gzip", "HTTP_IF_NONE_MATCH": "*", "HTTP_IF_MODIFIED_SINCE": "x"}
    call(live(app, board, "run.1"), **NAVIGATION, **conditions)
    assert not seen.keys() & conditions.keys()
    call(live(app, board, "run.1"), **conditions)
    assert seen.keys() >= conditions.keys()


def test_a_stream_is_passed_on_as_it_comes_and_closed(board: Board) -> None:
    class Stream:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            yield b"b"

        def close(self) -> None:
            self.closed = True

    stream = Stream()
    body: Any = live(app_of(stream, HTML), board, "run.1")(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/", **NAVIGATION},
        lambda *_: lambda _: None,
    )
    parts = iter(body)
    assert (next(parts), next(parts)) == (b"a", b"b")
    assert TAG.fullmatch(next(parts))
    body.close()
    assert stream.closed


def test_what_the_app_writes_comes_before_the_script(board: Board) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", [HTML])
        write(b"written ")
        return [b"returned"]

    _, _, body = call(live(app, board, "run.1"), **NAVIGATION)
    assert body.startswith(b"written returned<script")


def test_an_exception_of_the_app_is_raised_on(board: Board) -> None:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [HTML])
        yield b"half"
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        call(live(app, board, "run.1"), **NAVIGATION)


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("img-src *", "img-src *"),
        ("script-src 'self'", "script-src 'self' 'nonce-N'"),
        ("script-src 'nonce-N'", "script-src 'nonce-N'"),
        ("script-src 'nonce-N' 'strict-dynamic'", "script-src 'nonce-N' 'strict-dynamic'"),
        ("default-src 'none'", "default-src 'none'; script-src 'nonce-N'; connect-src 'self'"),
        ("default-src 'self'", "default-src 'self'; script-src 'self' 'nonce-N'"),
        ("script-src-elem 'sha256-x'; connect-src https://a.example",
         "script-src-elem 'sha256-x' 'nonce-N'; connect-src https://a.example 'self'"),
        ("script-src 'self' 'unsafe-inline'", "script-src 'self' 'unsafe-inline'"),
        ("script-src 'self'; script-src 'none'", "script-src 'self' 'nonce-N'"),
        ("sandbox allow-scripts; img-src *", "sandbox allow-scripts; img-src *"),
        ("default-src 'self', script-src 'none'",
         "default-src 'self'; script-src 'self' 'nonce-N', script-src 'nonce-N'"),
        ("script-src 'unsafe-inline'", None),
        ("sandbox", None),
        ("", ""),
    ],
)  # fmt: skip
def test_a_content_security_policy_gets_what_the_script_needs_and_no_more(
    policy: str, allowed: str | None
) -> None:
    assert allow(policy, "N") == allowed


def test_the_nonce_of_the_page_is_used(board: Board) -> None:
    policies = [
        ("Content-Security-Policy", "img-src *"),
        ("Content-Security-Policy", "script-src 'nonce-abc='"),
    ]
    _, headers, body = call(live(app_of([PAGE], HTML, *policies), board, "run.1"), **NAVIGATION)
    assert b' nonce="abc=" ' in body
    assert headers[1:] == policies


@pytest.mark.attack("Debugging", "another site reads the error by DNS rebinding", "the version only")
def test_an_error_is_told_on_this_machine_only(board: Board) -> None:
    local = {"PATH_INFO": STATE_PATH, "REMOTE_ADDR": "127.0.0.1"}
    app = live(app_of([]), board, "run.1")
    assert b"secret source" in call(app, **local, HTTP_HOST="localhost:8000")[2]
    for host, more in (("evil.example", {}), ("localhost", {"HTTP_X_FORWARDED_FOR": "1.2.3.4"})):
        body = call(app, **local, HTTP_HOST=host, **more)[2]
        assert json.loads(body) == {"release": "run.2", "files": 0, "styles": 0, "error": None}


@pytest.mark.attack(
    "Debugging",
    "a remote client comes through a declared local proxy that rewrites `Host` to loopback, without a header",
    "the version only, also while the app is not loaded",
)
def test_an_error_is_not_told_to_clients_of_a_trusted_proxy() -> None:
    with contextlib.closing(SharedCounters.create()) as counters:
        state = {"release": "run.1", "files": 0, "styles": 0, "error": {"problem": "secret source"}}
        counters.board.write(json.dumps(state).encode())

        def apps(features: Features) -> Iterator[WSGIApplication]:
            settings = EdgeSettings(0, "token", "waitress 8000", "waitress", "1", {}, features)
            counter = RequestCounter(counters, "waitress 8000")
            yield wrap(app_of([]), settings, print, print, -1, counter, threading.Event(), ())
            yield placeholder(features, counters.board)

        def told(app: WSGIApplication) -> bool:
            asked = {"PATH_INFO": STATE_PATH, "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8000"}
            return b"secret source" in call(app, **asked)[2]

        live_reload = Features(live_reload=True, access_log=None)
        assert [told(app) for app in apps(live_reload)] == [True, True]
        behind_proxy = live_reload._replace(trusted_proxies=("127.0.0.1",))
        assert [told(app) for app in apps(behind_proxy)] == [False, False]


def test_the_script_is_served_and_asks_for_the_state(board: Board) -> None:
    _, headers, body = call(live(app_of([]), board, "run.1"), PATH_INFO=SCRIPT_PATH)
    assert dict(headers)["Content-Type"] == "text/javascript"
    assert f'"{STATE_PATH}"'.encode() in body


APP = """
from webdemo import App
app = App()

@app.get("/")
def home(request):
    return app.render("home.html", word="first")
"""
HOME = """<!doctype html><title>{{ word }}</title><link rel="stylesheet" href="{{ static('site.css') }}">
<p id="word">{{ word }}</p>"""


def write_site(folder: Path) -> None:
    for name in ("templates", "static"):
        (folder / name).mkdir(parents=True)
    (folder / "templates" / "home.html").write_text(HOME)
    (folder / "static" / "site.css").write_text("p { color: rgb(1, 2, 3) }")


@pytest.mark.browser
def test_a_browser_shows_each_change_by_itself(browser: Browser, running: runs.Start, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    write_site(folder)
    run = runs.start(folder, "--debug", "-b", "waitress://127.0.0.1:0", app=APP)
    page = browser.new_page()
    try:
        page.goto(run.url)
        colour = "getComputedStyle(document.getElementById('word')).color"
        page.evaluate("window.mark = 1")
        (folder / "static" / "site.css").write_text("p { color: rgb(4, 5, 6) }")
        page.wait_for_function(f"{colour} === 'rgb(4, 5, 6)'")
        assert page.evaluate("window.mark") == 1, "styles are exchanged without a reload"

        (folder / "served.py").write_text(APP.replace("first", "second"))
        page.wait_for_function("document.title === 'second'")
        runs.wait_until(lambda: len(run.servers()) == 1, run.log_so_far)
        servers = run.servers()
        (folder / "templates" / "home.html").write_text(HOME.replace("<p ", "<h1>x</h1><p "))
        page.wait_for_selector("h1")
        page.evaluate("window.mark = 2")
        (folder / "static" / "new.js").write_text("let x = 1;")
        page.wait_for_function("window.mark === undefined")
        assert run.servers() == servers, "templates and static files need no new process"

        (folder / "served.py").write_text(APP.replace("first", "second") + "x = (\n")
        error = page.get_by_role("alert")
        error.wait_for()
        assert "'(' was never closed" in error.inner_text()
        assert page.inner_text("#word") == "second", "the old page is still there"
        (folder / "served.py").write_text(APP.replace("first", "third"))
        page.wait_for_function("document.title === 'third'")
        assert page.get_by_role("alert").count() == 0
        run.wait_for(r"^Changed: .*served\.py \(.*s\)$")
        assert run.terminate() == 0
        assert "/.webdemo-live" not in run.log(), "the script's requests are not logged"
    finally:
        page.close()
        run.clean_up()


@pytest.mark.browser
def test_a_browser_shows_why_an_app_was_never_loaded(
    browser: Browser, running: runs.Start, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    write_site(folder)
    port = free_port()
    run = runs.start(folder, "--debug", "-b", f"waitress://127.0.0.1:{port}", app="x = (\n", wait=False)
    page = browser.new_page()
    try:
        run.wait_for("cannot be loaded")
        page.goto(f"http://127.0.0.1:{port}/")
        error = page.get_by_role("alert")
        error.wait_for()
        assert "'(' was never closed" in error.inner_text()
        (folder / "served.py").write_text(APP)
        page.wait_for_function("document.title === 'first'")
    finally:
        page.close()
        run.clean_up()


def test_a_folder_is_live_as_well(running: runs.Start, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "index.html").write_text("<p>one")
    run = running("--directory", str(folder), "--live-reload", "-b", "waitress://127.0.0.1:0")
    asked = [("Sec-Fetch-Dest", "document")]
    assert b"webdemo-live" in get(run.url, headers=asked).body
    (folder / "index.html").write_text("<p>two")
    runs.wait_until(lambda: get(run.url, STATE_PATH).json["files"] == 1)
    assert get(run.url, headers=asked).body.startswith(b"<p>two<script")
