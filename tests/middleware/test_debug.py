"""--debug: a report of an exception, for its developer only, whatever the app's values do."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from playwright.sync_api import Browser

from tests import running as runs
from tests.cli.test_config import resolve
from tests.raw_http import Connection, get
from webdemo.config.binds import wanted_binds
from webdemo.config.planning import make_plan
from webdemo.errors import UsageError
from webdemo.middleware.debug.middleware import debugged
from webdemo.middleware.debug.report import Report, shown_value
from webdemo.supervisor.plan import Plan
from webdemo.web.masking import MASK

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOCAL = {
    "REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "token=hidden", "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "localhost:8000", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_COOKIE": "sid=hidden",
}  # fmt: skip
HTML = {"HTTP_ACCEPT": "text/html,*/*"}


class Hostile:
    """A value whose every method may fail."""

    def __init__(self, effect: Callable[[], Any]) -> None:
        self._effect = effect

    def __repr__(self) -> str:
        return str(self._effect())


def raising(exc: BaseException, **variables: Any) -> WSGIApplication:
    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        kept = variables  # noqa: F841 - shown by the report
        raise exc

    return app


def call(app: WSGIApplication, **environ: str) -> tuple[str, dict[str, str], str]:
    seen: list[Any] = ["", []]

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        seen[:] = status, headers
        return written.append

    written: list[bytes] = []
    streams = {"wsgi.errors": io.StringIO(), "wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http"}
    body = b"".join(debugged(app)({**LOCAL, **streams, **environ}, start_response))
    return seen[0], dict(seen[1]), (b"".join(written) + body).decode()


def reported(exc: BaseException) -> Report:
    try:
        raise exc
    except BaseException as caught:  # noqa: BLE001
        return Report.of(caught)


def test_the_report_is_text_for_curl_json_by_accept_and_html_for_browsers() -> None:
    app = raising(ValueError("the value"))
    status, headers, body = call(app, HTTP_ACCEPT="*/*")
    assert (status, headers["Content-Type"]) == ("500 Internal Server Error", "text/plain; charset=utf-8")
    assert body.startswith("Traceback (most recent call last):\n")
    assert body.endswith("ValueError: the value\n")
    _, headers, body = call(app, HTTP_ACCEPT="application/json")
    assert (json.loads(body)["title"], json.loads(body)["detail"]) == ("ValueError", "the value")
    assert json.loads(body)["frames"][-1]["function"] == "app"
    _, headers, body = call(app, **HTML)
    assert "<h1>ValueError</h1>" in body
    assert "raise exc" in body
    assert f"vscode://file{__file__}:" in body
    assert headers["Cache-Control"] == "no-store"
    assert call(app, REQUEST_METHOD="HEAD")[2] == ""


def test_secrets_are_masked_in_variables_the_query_and_the_environ() -> None:
    app = raising(
        ValueError(), password="hidden", data={"api_key": "hidden", "n": 1}, url="http://u:hidden@h/"
    )
    for accept in ("text/html", "application/json"):
        body = call(app, HTTP_ACCEPT=accept)[2]
        assert "hidden" not in body.replace("https://hidden", "")
        assert MASK in body


@pytest.mark.attack("Debugging", "markup in exception texts and values", "escaped; scripts by nonce only")
def test_markup_of_the_app_is_text_on_the_page() -> None:
    evil = "</title></style></script><script>alert(1)</script><img src=x onerror=alert(1)>"
    app = raising(type(evil, (ValueError,), {})(evil), evil=evil, mapping={evil: evil})
    _, headers, body = call(app, **HTML, QUERY_STRING=evil, HTTP_X_EVIL=evil, PATH_INFO=f"/{evil}")
    assert "<script>alert" not in body
    assert "<img" not in body
    assert "script-src 'nonce-" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.attack("Debugging", "a report asked for from elsewhere", "a plain 500")
@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_HOST": "evil.example"},  # DNS rebinding
        {"HTTP_HOST": ""},
        {"REMOTE_ADDR": "192.168.0.7"},
        {"REMOTE_ADDR": ""},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_VIA": "1.1 tunnel"},
    ],
)
def test_nobody_elsewhere_gets_a_report(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        call(raising(ValueError("secret")), **environ)


def test_a_value_whose_repr_fails_does_not_hide_the_exception() -> None:
    def exits() -> None:
        raise SystemExit

    recursive: list[Any] = []
    recursive.append(recursive)
    values: dict[str, Any] = {
        "raises": Hostile(lambda: 1 / 0),
        "exits": Hostile(exits),
        "no_text": Hostile(lambda: "x" * 10**7),
        "huge": "x" * 10**7,
        "number": 10**5000,
        "many": list(range(10**6)),
        "recursive": recursive,
        "bytes_": b"\xff\x00" * 10**6,
        "surrogate": "\udcff",
    }
    began = time.process_time()
    shown = {name: shown_value(name, value) for name, value in values.items()}
    assert time.process_time() - began < 5
    assert all(len(text) < 10_000 for text in shown.values())
    assert "ZeroDivisionError" in shown["raises"] or "Hostile instance" in shown["raises"]
    assert "SystemExit" in shown["exits"]
    assert call(raising(ValueError(), **values), **HTML)[0].startswith("500")


def test_an_exception_whose_text_fails_is_reported() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert reported(Silent()).kind.endswith("Silent")
    assert len(reported(ValueError("x" * 10**6)).message) < 5000


def test_an_endless_recursion_is_shown_without_its_middle() -> None:
    def again(depth: int) -> int:
        return again(depth + 1)

    try:
        again(0)
    except RecursionError as exc:
        report = Report.of(exc)
    assert len(report.frames) == 40
    assert sum(frame.left_out for frame in report.frames) > 500


def test_causes_are_shown_first_and_a_circle_of_them_ends() -> None:
    first, second = KeyError("first"), ValueError("second")
    second.__cause__ = first
    first.__context__ = second
    report = reported(second)
    assert [earlier.kind for earlier in report.earlier] == ["KeyError"]
    assert "direct cause" in report.earlier[0].relation


def test_a_group_and_notes_are_in_the_text() -> None:
    error = ValueError("one")
    error.add_note("a note")
    assert "a note" in reported(ExceptionGroup("several", [error])).text


def test_a_syntax_error_shows_its_own_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("fine = 1\nx = (\n")
    try:
        compile(broken.read_text(), str(broken), "exec")
    except SyntaxError as exc:
        report = Report.of(exc)
    assert (report.frames[-1].line, report.frames[-1].source[1].text) == (2, "x = (")


def test_a_stream_that_fails_at_once_is_reported_and_later_raised_on() -> None:
    def lazy(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield from [1 / 0 for _ in range(1)]  # type: ignore[misc]

    def late(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        raise ValueError("late")

    assert "ZeroDivisionError" in call(lazy)[2]
    with pytest.raises(ValueError, match="late"):
        call(late)


def test_what_is_the_servers_to_handle_is_raised_on() -> None:
    from webdemo.servers._fields import Malformed

    for exc in (Malformed("bad"), ConnectionAbortedError("left")):
        with pytest.raises(type(exc)):
            call(raising(exc))
    assert call(raising(ConnectionRefusedError("the database")))[0].startswith("500")


@pytest.mark.attack("Debugging", "--debug where others could see it", "refused at the start")
def test_debug_is_refused_where_others_could_see_it(tmp_path: Path) -> None:
    def plan(flags: dict[str, Any], **environment: str) -> Plan:
        resolved = resolve(tmp_path, {"debug": True, **flags}, environment)
        return make_plan(resolved, wanted_binds(resolved))

    for flags in ({"host": "0.0.0.0", "port": ("80",)}, {"bind": ("[::]:80",)}, {"bind": ("*:80",)},
                  {"bind": ("192.168.0.7:80",)}, {"bind": ("waitress://example.org:80",)}):  # fmt: skip
        with pytest.raises(UsageError, match="other machines"):
            plan(flags)
    with pytest.raises(UsageError, match="platform"):
        plan({}, PORT="80")
    for flags in ({"port": ("8000",)}, {"bind": ("127.0.0.1:80",)}, {"bind": ("[::1]:80",)},
                  {"bind": ("localhost:80",)}):  # fmt: skip
        made = plan(flags)
        assert made.features.debug
        assert made.features.live_reload
        assert made.reload
    made = plan({"reload": False, "live_reload": False})
    assert not made.features.live_reload
    assert not made.reload


FLASK = """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def home():
    secret_word = "hidden"
    return {}["missing"]
"""


def test_flask_is_reported_on_every_server_and_the_log_has_the_traceback(running: runs.Start) -> None:
    run = running(
        "--debug",
        *("-b", "werkzeug://127.0.0.1:0", "-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0"),
        app=FLASK,
    )
    for url in run.urls:
        answer = get(url)
        assert answer.status == 500
        assert answer.text.endswith("KeyError: 'missing'\n")
        assert "hidden" not in get(url, headers=[("Accept", "application/json")]).text
        with Connection(url) as connection:
            connection.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            assert "KeyError" not in connection.answer().text
    run.wait_for(r"\| KeyError: 'missing'$", times=3)
    run.wait_for(r" GET / 500 ", times=9)


def bottle_app() -> WSGIApplication:
    import bottle

    app = bottle.Bottle()

    def home() -> None:
        raise LookupError("of the view")

    app.route("/", callback=home)
    return cast("WSGIApplication", app)


def falcon_app() -> WSGIApplication:
    import falcon

    class Home:
        def on_get(self, request: Any, response: Any) -> None:
            raise LookupError("of the view")

    app = falcon.App()
    app.add_route("/", Home())
    return app


def logging_app(environ: Any, start_response: Any) -> Iterable[bytes]:
    try:
        raise LookupError("of the view")
    except LookupError as exc:
        logging.getLogger("some.app").error("It failed", exc_info=exc)
    start_response("500 Internal Server Error", [("Content-Type", "text/html")])
    return [b"Sorry."]


@pytest.mark.parametrize(
    "app", [bottle_app(), falcon_app(), logging_app], ids=["Bottle", "Falcon", "an app that logs"]
)
def test_a_500_that_the_app_answers_itself_shows_the_exception_that_it_reports(app: WSGIApplication) -> None:
    status, headers, body = call(app, **HTML, HTTP_SEC_FETCH_DEST="document")
    assert status == "500 Internal Server Error"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "LookupError" in body
    assert "of the view" in body
    assert call(app)[2].endswith("LookupError: of the view\n")
    of_script = call(app, HTTP_ACCEPT="*/*", HTTP_SEC_FETCH_DEST="empty")[2]
    assert of_script
    assert "LookupError" not in of_script
    assert "LookupError" not in call(app, **HTML, HTTP_HOST="evil.example")[2]


def test_the_apps_own_page_wins_if_it_names_the_exception_or_reports_none() -> None:
    def answering(status: str, body: bytes, text: str, *headers: tuple[str, str]) -> WSGIApplication:
        def app(environ: Any, start_response: Any) -> Iterable[bytes]:
            try:
                raise LookupError("of the view")
            except LookupError:
                environ["wsgi.errors"].writelines([text] if text else [])
            start_response(status, [("Content-Type", "text/html"), *headers])(b"written ")
            return [body]

        return app

    own = b"<h1>LookupError: of the view</h1>"
    failed = "500 Internal Server Error"
    for app, body in (
        (answering(failed, own, "a traceback"), own),
        (answering(failed, b"Sorry.", ""), b"Sorry."),
        (answering("200 OK", b"Fine.", "a traceback"), b"Fine."),
    ):
        assert call(app, **HTML)[2] == f"written {body.decode()}"
    packed = answering(failed, b"packed", "a traceback", ("Content-Encoding", "br"))
    assert call(packed, **HTML)[2] == "written packed"


DJANGO = """
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

settings.configure(DEBUG={debug}, SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)

def home(request):
    return {{}}["missing"]

urlpatterns = [path("", home)]
app = get_wsgi_application()
"""


@pytest.mark.parametrize("debug", [False, True])
def test_djangos_own_page_is_shown_with_its_debug_and_webdemos_without(
    running: runs.Start, debug: bool
) -> None:
    run = running("--debug", "-b", "waitress://127.0.0.1:0", app=DJANGO.format(debug=debug))
    page = get(run.url, headers=[("Accept", "text/html"), ("Sec-Fetch-Dest", "document")])
    assert page.status == 500
    assert "KeyError" in page.text
    assert ("DEBUG = True" in page.text) is debug


@pytest.mark.browser
def test_the_page_fits_a_telephone_and_its_button_copies(browser: Browser, running: runs.Start) -> None:
    run = running("--debug", "-b", "waitress://127.0.0.1:0", app=FLASK)
    context = browser.new_context(viewport={"width": 360, "height": 700})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if "Policy" in message.text else None)
    page.goto(run.url)
    assert page.inner_text("h1") == "KeyError"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.click("#copy")
    page.get_by_text("Copied").wait_for()
    assert "KeyError: 'missing'" in page.evaluate("navigator.clipboard.readText()")
    (run.log_file.parent / "served.py").write_text(FLASK.replace('{}["missing"]', '"fixed"'))
    page.get_by_text("fixed").wait_for()
    assert not errors
    context.close()
