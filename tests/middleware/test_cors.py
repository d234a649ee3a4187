"""--cors: pages of other sites may read what is served, without credentials."""

from __future__ import annotations

from pathlib import Path

from werkzeug.test import Client

from webdemo.middleware.static_mounts import FolderOptions


def test_every_answer_may_be_read_and_a_preflight_request_succeeds(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0123456789")
    client = Client(FolderOptions(cors=True).app(str(tmp_path), listing=True))
    etag = client.get("/a.txt").headers["ETag"]
    for path, headers, status in (
        ("/a.txt", {}, 200),
        ("/a.txt", {"Range": "bytes=0-1"}, 206),
        ("/a.txt", {"If-None-Match": etag}, 304),
        ("/", {}, 200),
        ("/none", {}, 404),
    ):
        answer = client.get(path, headers=headers)
        assert answer.status_code == status
        assert answer.headers.getlist("Access-Control-Allow-Origin") == ["*"]
        assert answer.headers["Access-Control-Expose-Headers"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers
    asked = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "GET"}
    answer = client.options("/a.txt", headers=asked)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Headers"]) == (204, "*")
    assert client.options("/a.txt").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_without_it_no_other_site_may_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    answer = Client(FolderOptions().app(str(tmp_path))).get("/a.txt")
    assert not [name for name in answer.headers.keys() if name.startswith("Access-Control-")]  # noqa: SIM118
