"""Three real servers and their dashboard, started as a user does, on free ports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from tests import raw_http
from tests import running as runs

# It echoes the request and names its server; /slow takes a second; /cut is shorter than announced on one.
APP = """
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    if environ["PATH_INFO"] == "/script":
        body = b"<script>document.title = 'taken over'</script>"
    else:
        name = environ["webdemo.server"]["name"]
        body = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}\\n{name}\\n".encode()
    length = len(body) + 10 * (environ["PATH_INFO"] == "/cut" and name == "gunicorn")
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(length))])
    return [body]
"""
THREE = ("-b", "werkzeug://127.0.0.1:0", "-b", "waitress://127.0.0.1:0", "-b", "gunicorn://127.0.0.1:0")


@dataclass(frozen=True)
class Dashboard:
    """A run with a dashboard, its URL, and the key of the run."""

    run: runs.Running
    url: str  # without the key and the trailing slash
    key: str

    @property
    def url_with_key(self) -> str:
        return f"{self.url}/#key={self.key}"

    @property
    def ports(self) -> list[str]:
        return [url.rstrip("/").rpartition(":")[2] for url in self.run.urls]

    def get(self, target: str, *headers: tuple[str, str]) -> raw_http.Answer:
        return raw_http.get(self.url, target, headers=headers)

    def post(self, target: str, fields: dict[str, str], *headers: tuple[str, str]) -> raw_http.Answer:
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        return raw_http.get(
            self.url, target, method="POST", headers=[kind, *headers], body=urlencode(fields).encode()
        )

    def post_with_key(
        self, target: str, fields: dict[str, str], *headers: tuple[str, str]
    ) -> raw_http.Answer:
        return self.post(target, fields, ("X-Webdemo-Key", self.key), *headers)


def start(folder: Any, *arguments: str, app: str | None = APP) -> Dashboard:
    run = runs.start(
        folder, *arguments, "--dashboard", "0", app=app, environment={"XDG_RUNTIME_DIR": str(folder)}
    )
    [line] = run.wait_for(r"^Dashboard: \S+")
    found = re.fullmatch(r"Dashboard: (http://\S+)/#key=(\S+)", line)
    assert found, line
    return Dashboard(run, found[1], found[2])


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard shared by tests that do not change the servers."""
    started = start(tmp_path_factory.mktemp("dashboard"), *THREE)
    yield started
    started.run.clean_up()


@pytest.fixture
def own_dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard for tests that stop, swap and kill servers."""
    started = start(tmp_path_factory.mktemp("dashboard"), *THREE)
    yield started
    started.run.clean_up()
