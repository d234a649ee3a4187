"""/ports and /ports/<number or name>, requested from the app itself, with real listeners."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from webdemo import demo
from webdemo.assets import TEMPLATES
from webdemo.demo import make_app
from webdemo.net.uses import USES

HERE = {"REMOTE_ADDR": "127.0.0.1"}
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(make_app(), use_cookies=False)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def facts_of(client: Client, path: str, environ: dict[str, str] = HERE, status: int = 200) -> dict[str, Any]:
    response = client.get(path, headers=JSON, environ_overrides=environ)
    assert response.status_code == status
    assert response.mimetype == "application/json"
    assert "Accept" in response.headers["Vary"]
    found = response.get_json()
    assert isinstance(found, dict)
    return found


def test_ranges_are_those_of_rfc_6335(client: Client) -> None:
    ranges = facts_of(client, "/ports")["ranges"]
    assert [(one["name"], one["first"], one["last"]) for one in ranges] == [
        ("system", 0, 1023),
        ("user", 1024, 49151),
        ("dynamic", 49152, 65535),
    ]
    page = client.get("/ports").text
    assert re.findall(r'<span class="fact">(\d+–\d+)</span></h2>', page) == [
        "0–1023",
        "1024–49151",
        "49152–65535",
    ]


def test_misprints_of_the_lesson_notes_are_not_repeated() -> None:
    """Looked for in the sources: a page also shows process ids and free ports, which can be any number."""
    sources = [*TEMPLATES.rglob("*.html"), *Path(demo.__file__).parent.glob("*.py")]
    assert [path.name for path in sources if re.search(r"\b(?:4951|49512)\b", path.read_text("utf-8"))] == []
    assert {"lesson_ranges.html", "lesson.py"} <= {path.name for path in sources}


def test_line_knows_every_use_and_the_names_of_iana(client: Client) -> None:
    data = facts_of(client, "/ports", ELSEWHERE)
    assert len(data["uses"]) == len(USES)
    assert "https" in data["names"]["443"]
    assert "smtp" in data["names"]["25"]
    assert all(0 <= int(port) <= 65535 for port in data["names"])


def test_listener_is_shown_to_a_visitor_at_the_machine(client: Client, taken: int) -> None:
    listening = facts_of(client, "/ports")["listening"]
    assert [one["place"] for one in listening if one["port"] == taken] == [f"127.0.0.1:{taken}"]
    page = client.get("/ports", environ_overrides=HERE).text
    assert f'href="/ports/{taken}"' in page
    facts = facts_of(client, f"/ports/{taken}")
    assert facts["listening"][0]["processes"][0]["pid"] == os.getpid()
    assert facts["free"] is False
    assert f"pid {os.getpid()}" in client.get(f"/ports/{taken}", environ_overrides=HERE).text


@pytest.mark.parametrize(
    ("environ", "headers"),
    [
        (ELSEWHERE, {}),
        (HERE, {"Host": "rebound.example"}),
        (HERE, {"X-Forwarded-For": "192.0.2.7"}),
    ],
)
def test_remote_clients_do_not_see_who_listens(
    client: Client, taken: int, environ: dict[str, str], headers: dict[str, str]
) -> None:
    for path in ("/ports", f"/ports/{taken}", f"/ports?q={taken}"):
        for accept in ("text/html", "application/json"):
            answer = client.get(path, headers={"Accept": accept} | headers, environ_overrides=environ)
            assert f"pid {os.getpid()}" not in answer.text
            assert "processes" not in answer.text
            assert "listens now" not in answer.text
            assert "127.0.0.1:" not in answer.text
    page = client.get(f"/ports/{taken}", headers=headers, environ_overrides=environ).text
    assert "Shown only on the machine itself" in page
    one = client.get(f"/ports/{taken}", headers=JSON | headers, environ_overrides=environ).get_json()
    assert set(one) == {"port", "range", "iana", "uses", "blocked_by_browsers"}
    all_of_them = client.get("/ports", headers=JSON | headers, environ_overrides=environ).get_json()
    assert all_of_them["listening"] == []


def test_free_port_is_called_free_and_has_advice(client: Client, taken: int) -> None:
    page = client.get(f"/ports/{taken}", environ_overrides=HERE).text
    assert "Use the next free port: <code>webdemo --port" in page
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    page = client.get(f"/ports/{free}", environ_overrides=HERE).text
    assert f"Serve there: <code>webdemo --port {free}</code>" in page


@pytest.mark.parametrize(("path", "port"), [("http", 80), ("HTTPS", 443), ("smtp", 25), ("postgres", 5432)])
def test_name_leads_to_its_port(client: Client, path: str, port: int) -> None:
    assert facts_of(client, f"/ports/{path}", ELSEWHERE)["port"] == port
    page = client.get(f"/ports/{path}", environ_overrides=ELSEWHERE).text
    assert f'Port <span class="fact">{port}</span>' in page


def test_port_leads_on_to_its_neighbours_and_no_further(client: Client) -> None:
    def neighbours(port: int) -> list[str]:
        page = client.get(f"/ports/{port}", environ_overrides=ELSEWHERE).text
        return re.findall(r'rel="(?:prev|next)" href="([^"]+)"', page)

    assert neighbours(8000) == ["/ports/7999", "/ports/8001"]
    assert neighbours(0) == ["/ports/1"]
    assert neighbours(65535) == ["/ports/65534"]


def test_number_that_no_port_has_is_explained(client: Client) -> None:
    response = client.get("/ports/70000")
    assert response.status_code == 404
    assert "the highest is 65535" in response.text
    assert "70000 − 65536 = 4464" in response.text
    assert "65535" in facts_of(client, "/ports/70000", status=404)["problem"]


def test_misspelt_name_gives_those_that_are_like_it(client: Client) -> None:
    response = client.get("/ports/postgrse")
    assert response.status_code == 404
    assert 'href="/ports/5432"' in response.text
    assert facts_of(client, "/ports/postgrse", status=404)["found"][0]["port"] == 5432


@pytest.mark.parametrize("text", ["nosuchnameanywhere", "<script>alert(1)</script>", "-1", "8003-8000", "٣"])
def test_anything_else_is_no_port_and_no_crash(client: Client, text: str) -> None:
    for response in (client.get(f"/ports/{text}"), client.get("/ports", query_string={"q": text})):
        assert response.status_code in (200, 404)
        assert "<script>alert" not in response.text
        assert 'class="note warn"' in response.text or response.status_code == 404


def test_range_is_found_and_shown_in_full_up_to_a_bound(client: Client) -> None:
    found = facts_of(client, "/ports?q=8000-8003")["found"]
    assert [one["port"] for one in found] == [8000, 8001, 8002, 8003]
    assert 'data-first="8000" data-last="8003"' in client.get("/ports?q=8000-8003").text
    everything = facts_of(client, "/ports?q=0-65535")
    assert len(everything["found"]) == 64
    assert "64 of 65536" in everything["problem"]
    assert client.get("/ports/8000-8003").status_code == 404
