"""examples/notes behind the three main servers: its pages, its API, and its streams during a reload."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import httpx
import pytest

from tests.running import END_SECONDS, Start, wait_until

# Longer than the tests may take, so that they fail if anything waits for it.
GRACE = ("--grace", "3600")
BINDS = ["werkzeug://127.0.0.1:0", "waitress://127.0.0.1:0?threads=8", "gunicorn://127.0.0.1:0?threads=8"]


class Stream:
    """A stream of server-sent events, read in a thread of its own."""

    def __init__(self, client: httpx.Client) -> None:
        self.revisions: list[int] = []
        self.is_complete = False  # it has ended, and was not cut off
        self._thread = Thread(target=self._read, args=(client,))
        self._thread.start()

    def _read(self, client: httpx.Client) -> None:
        with client.stream("GET", "/events") as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    self.revisions.append(int(line.removeprefix("data: ")))
        self.is_complete = True

    def join(self) -> None:
        self._thread.join(END_SECONDS)
        assert not self._thread.is_alive()


@contextmanager
def signed_up(url: str) -> Iterator[httpx.Client]:
    """A client with an account."""
    with httpx.Client(base_url=url, timeout=END_SECONDS, follow_redirects=True) as client:
        data = {"name": "Ada", "password": "correct horse"}
        client.post("/account/sign-up", data=data).raise_for_status()
        yield client


@pytest.mark.parametrize("bind", BINDS)
def test_streams_follow_changes_and_delay_neither_reload_nor_stop(bind: str, start_notes: Start) -> None:
    run = start_notes("-b", bind, *GRACE)
    with signed_up(run.url) as client:
        streams = [Stream(client) for _ in range(3)]
        wait_until(lambda: all(stream.revisions == [0] for stream in streams), run.log_so_far)
        client.post("/notes/new", data={"title": "Tea", "body": ""}).raise_for_status()
        wait_until(lambda: all(stream.revisions == [0, 1] for stream in streams), run.log_so_far)

        old = run.servers()
        run.signal(signal.SIGHUP)
        run.wait_until_ended(old)
        for stream in streams:
            stream.join()
        assert all(stream.is_complete for stream in streams), run.log_so_far()

        stream = Stream(client)  # on the new process, with the old session
        wait_until(lambda: stream.revisions == [1], run.log_so_far)
        assert run.terminate() == 0
        stream.join()
        assert stream.is_complete, run.log()


@pytest.mark.parametrize("bind", BINDS)
def test_users_and_programs_get_what_they_sent(bind: str, start_notes: Start) -> None:
    run = start_notes("-b", bind)
    with signed_up(run.url) as client:
        note = client.post("/notes/new", data={"title": "Tea <3", "body": "green\r\nand black"})
        assert "green\nand black" in note.text
        content = bytes(range(256)) * 4096  # a megabyte: larger than what is kept in memory
        page = client.post(f"{note.url.path}/files", files={"file": ("Prüfung.bin", content)})
        found = re.search(r'href="(/files/\d+)"', page.text)
        assert found
        assert client.get(found[1]).content == content
        part = client.get(found[1], headers={"Range": "bytes=256-511"})
        assert (part.status_code, part.content) == (206, bytes(range(256)))
        assert "<mark>green</mark>" in client.get("/", params={"q": "gre"}).text
        assert client.get("/nowhere").status_code == 404

        made = client.post("/account/token").text
        token = re.search(r"<code>([\w-]{40,})</code>", made)
        assert token
    assert f"<code>{run.url}api/notes</code>" in made
    headers = {"Authorization": f"Bearer {token[1]}"}
    with httpx.Client(base_url=run.url, timeout=END_SECONDS, headers=headers) as program:
        added = program.post("/api/notes", json={"title": "Mate"})
        assert added.status_code == 201
        titles = [each["title"] for each in program.get("/api/notes").json()["notes"]]
        assert titles == ["Mate", "Tea <3"]
        changed = program.put(added.headers["Location"], json={"title": "x"}, headers={"If-Match": '"7"'})
        assert changed.status_code == 412


def test_servers_side_by_side_share_sessions_notes_and_events(start_notes: Start) -> None:
    run = start_notes(*(part for bind in BINDS for part in ("-b", bind)))
    with signed_up(run.urls[0]) as client:
        urls = [url.rstrip("/") for url in run.urls]
        for url in urls:
            added = client.post(f"{url}/notes/new", data={"title": "Tea", "body": ""})
            assert added.status_code == 200
        stream = Stream(client)
        wait_until(lambda: stream.revisions == [3], run.log_so_far)
        client.post(f"{urls[2]}/notes/new", data={"title": "Tea", "body": ""}).raise_for_status()
        wait_until(lambda: stream.revisions == [3, 4], run.log_so_far)
        assert run.terminate() == 0
        stream.join()
