"""The demo site's responses, requested from the app itself."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from werkzeug.test import Client, TestResponse

from tests.demo.conftest import BARE_COMMANDS, serve_site
from webdemo.demo import make_app

HTML_PATHS = ["/", "/hello", "/hello?name=Ada", "/hello/Ada", "/inspect", "/nowhere", "/favicon.ico"]


@pytest.fixture
def client() -> Client:
    return Client(make_app(), use_cookies=False)


def json_of(response: TestResponse) -> dict[str, object]:
    facts = response.get_json()
    assert isinstance(facts, dict)
    return facts


@pytest.mark.parametrize("path", HTML_PATHS)
def test_html_answers_forbid_inline_code_sniffing_and_framing(client: Client, path: str) -> None:
    response = client.get(path)
    policy = response.headers["Content-Security-Policy"]
    assert response.mimetype == "text/html"
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert not re.search(r"<style|\sstyle=|<script>|\son\w+=", response.text)


def test_home_page_says_what_the_server_does_not_tell(client: Client) -> None:
    page = client.get("/", environ_overrides={"SERVER_SOFTWARE": "", "REMOTE_PORT": ""}).text
    assert "This server does not report your port." in page
    assert "A server that does not give its name" in page


def test_home_page_takes_the_run_layers_word_for_the_server(client: Client) -> None:
    facts = {
        "name": "waitress",
        "version": "3.0.2",
        "bind": "waitress://:8001",
        "url": "http://127.0.0.1:8001/",
    }
    page = client.get("/", environ_overrides={"webdemo.server": facts, "SERVER_SOFTWARE": "other"}).text
    assert "<strong>waitress 3.0.2</strong>" in page
    assert "other" not in page


def test_home_page_links_stay_below_the_prefix_it_is_mounted_at(client: Client) -> None:
    page = client.get("/", base_url="http://localhost/demo/").text
    links = re.findall(r' (?:href|action|src)="([^"#]+)', page)
    assert links
    assert [link for link in links if not link.startswith("/demo/")] == []


def test_hostile_host_header_is_shown_escaped_and_kept_out_of_commands(client: Client) -> None:
    page = client.get("/inspect", headers={"Host": "<script>'$(reboot)"}).text
    assert "<script>'" not in page
    [command] = re.findall(r"<code>(curl .*)</code>", page)
    assert command == "curl -H 'Accept: application/json' 'http://localhost/inspect'"


@pytest.mark.parametrize("name", ["a/b", "..", "."])
def test_name_that_no_path_can_hold_is_greeted_where_it_is(client: Client, name: str) -> None:
    response = client.get("/hello", query_string={"name": name})
    assert response.status_code == 200
    assert f"Hello, {name}." in response.text


def test_name_is_escaped(client: Client) -> None:
    assert "Hello, &lt;i&gt;." in client.get("/hello/<i>").text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "BREW"])
def test_inspect_answers_any_method(client: Client, method: str) -> None:
    facts = json_of(client.open("/inspect", method=method, headers={"Accept": "application/json"}))
    assert facts["method"] == method


def test_inspect_shows_the_request_as_json(client: Client) -> None:
    response = client.post(
        "/inspect?colour=blue&colour=red&token=quay",
        data="über",
        headers={"Accept": "application/json", "Authorization": "Bearer quay", "Cookie": "a=1; b=2"},
        environ_overrides={
            "SERVER_SOFTWARE": "test/1",
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": "54321",
            "SERVER_PORT": "8000",
        },
    )
    facts = json_of(response)
    assert "Accept" in response.headers["Vary"]
    assert facts["path"] == "/inspect"
    assert facts["query"] == [["colour", "blue"], ["colour", "red"], ["token", "•••"]]
    assert ["Authorization", "Bearer •••"] in facts["headers"]  # type: ignore[operator]
    assert ["Cookie", "a=•••; b=•••"] in facts["headers"]  # type: ignore[operator]
    assert facts["body"] == {"length": 5, "text": "über", "hex": None, "shown": 5}
    answered_by = facts["answered_by"]
    assert isinstance(answered_by, dict)
    assert (answered_by["server"], answered_by["port"], answered_by["client_port"]) == ("test/1", 8000, 54321)
    assert "quay" not in response.text


def test_endless_body_is_refused(client: Client) -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return len(buffer)

    environ = {"wsgi.input": io.BufferedReader(Endless()), "wsgi.input_terminated": True}
    assert client.post("/inspect", environ_overrides=environ).status_code == 413


def test_inspect_page_shows_markup_as_text(client: Client) -> None:
    page = client.post("/inspect?<u>=<i>", data="<script>alert(1)</script>", headers={"X-Test": "<b>"}).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;" in page


@pytest.mark.process
@pytest.mark.parametrize("server", list(BARE_COMMANDS))
def test_site_knows_its_way_behind_a_bare_server(server: str, tmp_path: Path) -> None:
    with serve_site(BARE_COMMANDS[server], tmp_path / "log") as url:
        answer = httpx.get(f"{url}/inspect", headers={"Accept": "application/json"}, trust_env=False)
    answered_by = answer.json()["answered_by"]
    assert answered_by["server"].lower().startswith(server.replace("wsgiref", "wsgiserver"))
    assert (answered_by["address"], answered_by["port"]) == ("127.0.0.1", int(url.rpartition(":")[2]))


@pytest.mark.process
def test_environment_of_the_process_is_never_shown(tmp_path: Path) -> None:
    """wsgiref, for example, puts all environment variables into the environ."""
    secret = "hunter2-from-the-environment"
    with serve_site(
        BARE_COMMANDS["wsgiref"], tmp_path / "log", DATABASE_URL=secret, HTTP_PROXY=secret
    ) as url:
        for accept in ("application/json", "text/html"):
            answer = httpx.get(f"{url}/inspect", headers={"Accept": accept}, trust_env=False)
            assert answer.status_code == 200
            assert secret not in answer.text
            assert "DATABASE_URL" not in answer.text


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/error", 500)])
def test_errors_are_pages_for_browsers_and_json_for_programs(
    client: Client, caplog: pytest.LogCaptureFixture, path: str, status: int
) -> None:
    with caplog.at_level(logging.CRITICAL, "webdemo"):
        page = client.get(path, headers={"Accept": "text/html"})
        facts = client.get(path, headers={"Accept": "application/json"})
    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert f'<span class="fact">{status}</span>' in page.text
    assert (facts.status_code, json_of(facts)["status"]) == (status, status)


def test_traceback_goes_to_the_log_and_not_to_the_client(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    page = client.get("/error").text
    assert "RuntimeError" not in page
    assert "RuntimeError: An example of an error" in caplog.text


def test_wrong_method_is_told_the_right_ones(client: Client) -> None:
    response = client.post("/hello/Ada")
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]
    assert '<span class="fact">405</span>' in response.text


def test_robots_and_favicon_are_there(client: Client) -> None:
    assert client.get("/robots.txt").mimetype == "text/plain"
    icon = client.get("/favicon.ico", follow_redirects=True)
    assert (icon.status_code, icon.mimetype) == (200, "image/svg+xml")
