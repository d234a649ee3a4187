"""An app on each server: user input in headers, events until the drain, files, worker starts."""

from __future__ import annotations

import signal

import pytest

from tests.raw_http import Connection, get
from tests.running import Start

APP = """
import pathlib
from webdemo import App, event_stream, redirect, send_file

app = App()
started = []
app.on_worker_start(lambda: started.append(1))
app.get("/started")(lambda request: str(len(started)))
app.get("/to")(lambda request: redirect(request.args["target"]))
app.get("/header")(lambda request: ("x", 200, {"X-Name": request.args["value"]}))
app.get("/cookie")(lambda request: ("x", 200, {"Set-Cookie": request.args["value"]}))

@app.get("/file")
def file(request):
    return send_file(request, "served.py", pathlib.Path(__file__).parent, download_name=request.args["as"])

@app.get("/events")
def events(request):
    def ticks():
        while not request.draining.wait(0.05):
            yield "tick"
    return event_stream(request, ticks())
"""

HOSTILE = ["%0D%0AX-B:%201", "%0A", "%0D", "%00", "%E2%98%83", "%7F"]
NAMES = ("werkzeug", "waitress", "gunicorn", "wsgiref", "cheroot", "gevent", "hypercorn")


@pytest.mark.attack(
    "Response headers",
    "A redirect, header, cookie or download name from user input breaks the head",
    "encoded, or 500",
)
@pytest.mark.parametrize("server", NAMES)
def test_user_input_is_never_sent_as_a_header_of_its_own(server: str, running: Start) -> None:
    run = running("-b", f"{server}://:0", "--grace", "1000", app=APP)
    for hostile in HOSTILE:
        redirected = get(run.url, f"/to?target=/{hostile}")
        assert redirected.status == 302
        assert redirected.headers["Location"] == f"/{hostile}"
        for path in (f"/header?value=a{hostile}b", f"/cookie?value=a{hostile}b"):
            assert get(run.url, path).status == 500
        saved = get(run.url, f"/file?as=a{hostile}b")
        assert saved.status == 200
        assert saved.headers["Content-Disposition"].startswith('attachment; filename="a')
        for answer in (redirected, saved):
            assert answer.headers.get("X-B") is None
    assert len(run.wait_for("the header (X-Name|Set-Cookie) holds", times=2 * len(HOSTILE))) > 0
    assert get(run.url, "/started").text == "1"
    with Connection(run.url) as connection:
        connection.send_head("GET", "/events")
        received = b""
        while b"data: tick\n\n" not in received:
            received += connection.socket.recv(4096) or pytest.fail("no events came")
        run.signal(signal.SIGTERM)
        while connection.socket.recv(4096):
            pass
    assert run.wait() == 0, "before the grace time is over"
