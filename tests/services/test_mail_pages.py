"""/mail of the demo site: caught mail is shown safely, and only to clients on this machine."""

from __future__ import annotations

import html
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage, Message
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.services.conftest import Serve, Services
from tests.services.test_message import HOSTILE
from webdemo.services.spool import Spool

pytestmark = pytest.mark.process

SECONDS = 60
ROOMY = {"most_messages": 100, "most_bytes": 100_000_000}


def get(services: Services, path: str, **headers: str) -> tuple[int, str, Message]:
    request = urllib.request.Request(f"http://127.0.0.1:{services.ports['waitress']}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode("utf-8", "replace"), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def keep(spool: Path, content: bytes) -> str:
    return Spool(spool).add(b"Return-Path: <a@b>\r\nX-Envelope-To: <c@d>\r\n" + content, **ROOMY)


def hostile_mail() -> bytes:
    message = EmailMessage()
    message["Subject"] = "<script>alert(1)</script>"
    message["From"] = '"<img src=x onerror=alert(2)>" <evil@example.org>'
    message.set_content("</pre><script>alert(3)</script>")
    message.add_alternative("<img src='http://127.0.0.1:9/spy.png'><script>alert(4)</script>", subtype="html")
    message.add_attachment("<script>alert(5)</script>", subtype="html", filename='../../.ssh/"a\\b".html')
    return message.as_bytes()


def test_command_of_the_empty_page_sends_a_mail_that_is_then_shown(
    services: Services, shared_spool: Path
) -> None:
    _, text, _ = get(services, "/mail")
    assert "No messages yet" in text
    shown = re.search(r'aria-label="Command: send a mail"><code>(.*?)</code>', text, re.DOTALL)
    assert shown is not None
    words = shlex.split(html.unescape(shown[1]))
    assert words[0] == "python3"
    subprocess.run([sys.executable, *words[1:]], check=True, timeout=SECONDS)
    _, text, _ = get(services, "/mail")
    assert "1 message" in text
    link = re.search(r'href="(/mail/[^"]+)"><bdi>Hello</bdi>', text)
    assert link is not None
    status, text, _ = get(services, link[1])
    assert status == 200
    assert "It works." in text


def test_site_without_a_mail_server_says_how_to_start_one(serve: Serve, tmp_path: Path) -> None:
    services = serve("waitress", environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    status, text, _ = get(services, "/mail")
    assert status == 200
    assert "smtp://:2525" in text


def test_mail_is_kept_in_a_folder_of_the_user_unless_told(serve: Serve, tmp_path: Path) -> None:
    smtp = ("-b", "smtp://127.0.0.1:0")
    services = serve("waitress", arguments=smtp, environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    keep(tmp_path / "webdemo-mail", b"Subject: In the runtime folder\r\n\r\n")
    assert "In the runtime folder" in get(services, "/mail")[1]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "webdemo.example:8000"},
        {"Host": "127.0.0.1.example.org"},
        {"X-Forwarded-For": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
    ],
)
def test_remote_clients_see_no_mail(services: Services, shared_spool: Path, headers: dict[str, str]) -> None:
    name = keep(shared_spool, b"Subject: private\r\n\r\nprivate")
    for path in ("/mail", f"/mail/{name}", f"/mail/{name}/source", f"/mail/{name}/parts/0"):
        status, text, _ = get(services, path, **headers)
        assert status == 403, path
        assert "private</bdi>" not in text


def test_what_is_not_there_is_404(services: Services, shared_spool: Path) -> None:
    name = keep(shared_spool, b"\r\n")
    for path in (
        "/mail/x",
        "/mail/..%2f..%2fetc",
        f"/mail/{name}/parts/7",
        "/mail/" + "0" * 20 + "-00000000",
    ):
        assert get(services, path)[0] == 404, path


def test_downloads_are_saved_and_never_opened(services: Services, shared_spool: Path) -> None:
    name = keep(shared_spool, hostile_mail())
    for path in ("parts/2", "source"):
        status, text, headers = get(services, f"/mail/{name}/{path}")
        assert status == 200
        assert headers["Content-Type"] == "application/octet-stream"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in headers["Content-Security-Policy"]
        assert headers["Content-Disposition"].startswith("attachment; ")
        assert "alert(5)" in text or path == "source"
    file = re.search(r'filename="([^"]*)"', get(services, f"/mail/{name}/parts/2")[2]["Content-Disposition"])
    assert file is not None
    assert re.fullmatch(r"[\w][\w. -]*", file[1])


def test_no_mail_brings_a_page_down(services: Services, shared_spool: Path) -> None:
    names = [keep(shared_spool, content) for content in HOSTILE.values()]
    assert get(services, "/mail")[0] == 200
    for name in names:
        assert get(services, f"/mail/{name}")[0] == 200
    # What is printed before a response comes before its line.
    services.webdemo.wait_for(f" GET /mail/{name} ")
    assert "Traceback" not in services.webdemo.log_so_far()


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_mail_does_nothing_in_a_browser(
    services: Services, shared_spool: Path, open_page: Callable[..., Page], width: int
) -> None:
    name = keep(shared_spool, hostile_mail())
    base = f"http://127.0.0.1:{services.ports['waitress']}"
    page = open_page(viewport={"width": width, "height": 800})
    urls: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    for path in ("/mail", f"/mail/{name}"):
        page.goto(base + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        violations = Axe().run(page).response["violations"]
        assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == [], path
    page.locator("summary").click()
    assert "alert(4)" in page.get_by_label("HTML source of the mail").inner_text()
    assert messages == []
    assert all(url.startswith(base) for url in urls)
