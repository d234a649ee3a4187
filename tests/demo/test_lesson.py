"""The lesson, requested from the app itself, and from running servers where it shows them."""

from __future__ import annotations

import html
import re
import socket
from pathlib import Path

import httpx
import pytest
from werkzeug.test import Client

from tests.demo.conftest import BARE_COMMANDS, serve_site
from tests.running import Start
from webdemo.demo import make_app
from webdemo.demo.connection_path import read_connection_path
from webdemo.demo.lesson import STEPS, other_origins
from webdemo.demo.running_servers import RunningServer

HERE = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PORT": "8000"}


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(make_app(), use_cookies=False)


def test_steps_lead_forward_and_back(client: Client) -> None:
    path, seen = "/learn", []
    while link := re.search(r'<a class="button"[^>]* href="(/learn/[^"]+)"', client.get(path).text):
        path = link.group(1)
        seen.append(path)
    assert seen == [f"/learn/{step.slug}" for step in STEPS]
    while link := re.search(r'rel="prev" href="([^"]+)"', client.get(path).text):
        path = link.group(1)
    assert path == "/learn/port"
    assert client.get("/learn/nowhere").status_code == 404


def test_ranges_and_the_well_known_ports_are_right(client: Client) -> None:
    page = re.sub(r"\s+", " ", client.get("/learn/ranges", environ_overrides=HERE).text)
    assert re.findall(r'fact title">(\d+–\d+)<', page) == ["0–1023", "1024–49151", "49152–65535"]
    assert "HTTP is 80, HTTPS 443, SMTP 25, FTP 20 and 21" in page
    assert [int(port) for port in re.findall(r'href="/ports/(\d+)">\1<', page)][:5] == [20, 21, 25, 80, 443]


def test_first_step_shows_the_ports_of_this_very_request(client: Client) -> None:
    page = client.get("/learn/port", environ_overrides=HERE | {"REMOTE_PORT": "54321"}).text
    assert "54321" in page
    assert "8000" in page


def test_taken_port_gives_the_real_error(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        page = client.post("/learn/one-server", environ_overrides=HERE | {"SERVER_PORT": str(port)}).text
    assert f"Port {port} is already in use by a socket of this process itself" in page
    assert "which is free: --port" in page
    assert "exit code 69" in page


def test_free_port_is_released_at_once(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    page = client.post("/learn/one-server", environ_overrides=HERE | {"SERVER_PORT": str(port)}).text
    assert "It was free" in page
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.parametrize(
    ("headers", "environ"),
    [
        ({"Origin": "http://localhost:8001"}, {}),
        ({"Host": "rebound.example"}, {}),
        ({}, {"REMOTE_ADDR": "192.0.2.7"}),
    ],
)
def test_other_sites_and_clients_cannot_try_to_listen(
    client: Client, headers: dict[str, str], environ: dict[str, str]
) -> None:
    response = client.post("/learn/one-server", headers=headers, environ_overrides=HERE | environ)
    assert response.status_code == 403
    assert "exit code" not in response.text


TEXTS = {
    "port": ["65,536 ports", "Your system chose", "Nothing listens on port 0"],
    "url": [
        "http:// means port 80",
        "https:// port 443",
        "ftp:// port 21",
        "port 25 (SMTP)",
        "Connection refused",
    ],
    "ranges": [
        "0–1023",
        "also called well-known",
        "1024–49151",
        "49152–65535",
        "IANA",
        "RFC 6335",
        "20 ftp-data",
    ],
    "one-server": ["EADDRINUSE", "Address already in use", "the port is free again"],
    "many-servers": [
        "127.0.0.1 (IPv4) and ::1 (IPv6)",
        "it can mean either",
        "Another name is another origin",
    ],
    "questions": ["Which port would you choose", "a mail server deliver a message", "Check the answers"],
}


def text_of(page: str) -> str:
    """The page as a reader sees it, on one line."""
    shown = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(shown).split())


@pytest.mark.parametrize("environ", [HERE, {"REMOTE_ADDR": "192.0.2.7"}], ids=["local", "remote"])
def test_lesson_answers_the_questions_of_its_subject(client: Client, environ: dict[str, str]) -> None:
    assert list(TEXTS) == [step.slug for step in STEPS]
    for slug, phrases in TEXTS.items():
        text = text_of(client.get(f"/learn/{slug}", environ_overrides=environ).text)
        assert [phrase for phrase in phrases if phrase not in text] == [], text


def test_answers_are_checked_against_this_machine(client: Client) -> None:
    def verdicts(query: str) -> list[str]:
        page = client.get(f"/learn/questions?{query}", environ_overrides=HERE).text
        return re.findall(r"<strong>(Right|Not quite)\.</strong>", page)

    assert verdicts("") == []
    assert verdicts("q1=c&q2=b&q3=b&q4=b&q5=a") == ["Right"] * 5
    assert verdicts("q1=b&q2=a&q3=c&q4=a&q5=c") == ["Not quite"] * 5
    remote = {"REMOTE_ADDR": "192.0.2.7", "SERVER_PORT": "8000"}
    page = client.get("/learn/questions", headers={"Host": "site.example:8000"}, environ_overrides=remote)
    assert re.findall(r'for="q1.">(\d+)<', page.text) == ["80", "8000", "8001", "70000"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        local = client.get("/learn/questions?q1=c", environ_overrides=HERE).text
        assert "It is a user port, and nothing listens there now." in local
        drawn = text_of(client.get("/learn/port", environ_overrides=HERE | {"SERVER_PORT": str(port)}).text)
    assert f"{port} this server this page" in drawn
    assert "Nothing listens here: a connection is refused." in drawn


def test_pages_of_one_run_agree(running: Start, tmp_path: Path) -> None:
    binds = [f"{server}://127.0.0.1:0" for server in ("waitress", "gunicorn", "smtp", "ftp")]
    run = running(
        *(part for bind in binds for part in ("-b", bind)), "--dashboard", "0",
        environment={"XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    ports = {url.rstrip("/").rpartition(":")[2] for url in run.urls}
    with httpx.Client(base_url=run.url, trust_env=False, timeout=60) as http:
        pages = {path: text_of(http.get(path).text) for path in (
            "/", "/servers", "/learn/port", "/learn/ranges", "/learn/many-servers",
        )}  # fmt: skip
    assert "4 servers run on one machine" in pages["/learn/many-servers"]
    assert "Side by side 4 servers webdemo:app" in pages["/servers"]
    assert "webdemo:app on 2 ports, smtp on" in pages["/servers"]
    for path in ("/servers", "/learn/port", "/learn/many-servers"):
        assert [port for port in ports if port not in pages[path]] == [], path
    lesson = pages["/learn/many-servers"]
    assert lesson.count("webdemo:app; process") == 2  # and not for mail and FTP
    assert "a mail catcher" in lesson
    smtp, ftp = run.rows()[2:]
    assert f"A mail server runs here on port {smtp.urls[0].rpartition(':')[2]}" in pages["/learn/ranges"]
    assert f"curl {ftp.urls[0]}/" in pages["/learn/ranges"]
    versions = {row.server: row.version for row in run.rows()}
    assert f"waitress {versions['waitress']}" in pages["/"]
    assert f"waitress {versions['waitress']}" in lesson


def test_step_five_shows_the_servers_that_run_to_this_machine_only(running: Start, tmp_path: Path) -> None:
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    both = running("-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0", environment=environment)
    one, other = (url.rstrip("/") for url in both.urls)
    with httpx.Client(trust_env=False, timeout=30) as http:
        response = http.get(f"{one}/learn/many-servers")
        assert all(f'href="{url}"' in response.text for url in both.urls)
        assert (
            f"connect-src 'self' http://localhost:{one.rpartition(':')[2]} {other}"
            in response.headers["Content-Security-Policy"]
        )
        remote = http.get(f"{one}/learn/many-servers", headers={"Host": "rebound.example"})
        assert other not in remote.text
        assert "connect-src" not in remote.headers["Content-Security-Policy"]


@pytest.mark.process
def test_one_server_alone_says_how_to_start_more(tmp_path: Path) -> None:
    with serve_site(BARE_COMMANDS["waitress"], tmp_path / "log", XDG_RUNTIME_DIR=str(tmp_path)) as url:
        page = httpx.get(f"{url}/learn/many-servers", trust_env=False).text
    assert "You run no webdemo here" in page
    assert "-b werkzeug://:0 \\\n" in page


def test_other_origins_go_by_the_name_that_the_visitor_uses() -> None:
    def origins(host: str) -> list[str]:
        environ = {"wsgi.url_scheme": "http", "HTTP_HOST": host, "SERVER_PORT": "8000"}
        urls = ("http://127.0.0.1:8000/", "http://127.0.0.1:8001/", "http://[::1]:8001/", "unix:/run/x.sock")
        up = RunningServer("waitress", "3", "up", urls, (1,), "app")
        down = RunningServer("waitress", "3", "given up", ("http://127.0.0.1:8002/",), (), "app")
        return other_origins(read_connection_path(environ), [up, down])

    assert origins("localhost:8000") == ["http://localhost:8001"]
    assert origins("127.0.0.1:8000") == ["http://127.0.0.1:8001"]
    assert origins("[::1]:8000") == ["http://127.0.0.1:8001"]
