"""webdemo with SMTP and FTP, started as a user does, with the test's own runtime folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import running as runs


class Services(NamedTuple):
    """A webdemo and the ports of its servers, by the servers' names."""

    webdemo: runs.Running
    ports: dict[str, int]

    def pid(self, server: str) -> int:
        """The server's process id at start."""
        [row] = [row for row in self.webdemo.rows() if row.server == server]
        return row.pids[0]


Serve = Callable[..., Services]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "mail"


@pytest.fixture
def serve(running: runs.Start, spool: Path) -> Serve:
    """Starts webdemo with these binds, each on 127.0.0.1 and a free port: `serve("smtp", "ftp?timeout=3")`.

    The folder of caught mail is the test's own, unless the bind names another.
    """

    def start(*binds: str, arguments: tuple[str, ...] = (), **options: object) -> Services:
        return _of(running(*_words(binds, spool), *arguments, **options))

    return start


@contextmanager
def shared(folder: Path, *binds: str) -> Iterator[Services]:
    """A run for several tests; the caught mail is in the folder's `mail`."""
    webdemo = runs.start(folder / "run", *_words(binds, folder / "mail"))
    try:
        yield _of(webdemo)
    finally:
        webdemo.clean_up()


@pytest.fixture(scope="module")
def mail_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mail")


@pytest.fixture(scope="module")
def services(mail_folder: Path) -> Iterator[Services]:
    """A mail catcher and the demo site for the tests that need no options and leave both as they were."""
    with shared(mail_folder, "waitress", "smtp") as started:
        yield started


@pytest.fixture
def shared_spool(mail_folder: Path) -> Path:
    """The spool of `services`, empty."""
    spool = mail_folder / "mail"
    for file in spool.glob("*"):
        file.unlink()
    return spool


def _words(binds: Sequence[str], spool: Path) -> list[str]:
    words = []
    for bind in binds:
        server, _, query = bind.partition("?")
        if server == "smtp" and "spool=" not in query:
            query = "&".join(filter(None, [query, f"spool={spool}"]))
        words += ["-b", f"{server}://127.0.0.1:0" + (f"?{query}" if query else "")]
    return words


def _of(webdemo: runs.Running) -> Services:
    ports = {row.server: int(re.search(r":([0-9]+)/?\Z", row.urls[0])[1]) for row in webdemo.rows()}  # type: ignore[index]  # each URL has a port
    return Services(webdemo, ports)
