"""Names whose targets change while they are being resolved."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.web.static_files.calling import call_unchecked, environ
from tests.web.static_files.conftest import keep_at_once
from webdemo.web.static.app import StaticFiles

SECONDS = 0.3
BUSY_SECONDS = 60  # on a busy machine one thread may run for long while the other waits


@contextmanager
def repeated(change: Callable[[], None]) -> Iterator[Callable[[bool], bool]]:
    """Repeat a change in another thread; yields whether to go on, until the condition was met, too."""
    done = threading.Event()

    def repeat() -> None:
        while not done.is_set():
            change()

    thread = threading.Thread(target=repeat)
    thread.start()
    began = time.monotonic()

    def goes_on(met: bool) -> bool:
        return time.monotonic() < began + (SECONDS if met else BUSY_SECONDS)

    try:
        yield goes_on
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("keep", [False, True])
def test_a_folder_exchanged_for_a_symlink_never_leads_out(folder: Path, keep: bool) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "index.html").write_text("secret")
    (folder / "link").symlink_to(outside)
    sub, link, aside = (os.fspath(folder / name) for name in ("sub", "link", "aside"))

    def exchange() -> None:
        for source, target in ((sub, aside), (link, sub), (sub, link), (aside, sub)):
            os.rename(source, target)  # noqa: PTH104  no time to lose

    app = StaticFiles(folder, listing=True)
    if keep:
        keep_at_once(app)
    answers: dict[int, int] = {}
    with repeated(exchange) as goes_on:
        while goes_on(answers.get(200, 0) > 0):
            for path in ("/sub/index.html", "/sub/"):
                answer = call_unchecked(app, environ(path))
                answers[answer.status] = answers.get(answer.status, 0) + 1
                assert b"secret" not in answer.body
    assert set(answers) <= {200, 404}
    assert answers[200] > 0


@pytest.mark.parametrize("name", ["ten.txt", "large.bin"])
@pytest.mark.parametrize("keep", [False, True])
def test_a_file_replaced_all_the_time_is_always_one_of_them(folder: Path, name: str, keep: bool) -> None:
    size = (folder / name).stat().st_size
    count = 0

    def replace() -> None:
        nonlocal count
        count += 1
        (folder / "next").write_bytes(bytes([count % 256]) * (size + count % 100))
        (folder / "next").replace(folder / name)

    app = StaticFiles(folder)
    if keep:
        keep_at_once(app)
    replace()
    seen: dict[str, tuple[int, int]] = {}
    with repeated(replace) as goes_on:
        while goes_on(len(seen) > 1):
            answer = call_unchecked(app, environ(f"/{name}"))
            assert answer.status == 200
            assert len(set(answer.body)) == 1
            assert len(answer.body) == int(answer["Content-Length"])
            content = (answer.body[0], len(answer.body))
            assert seen.setdefault(answer["ETag"], content) == content
    assert len(seen) > 1
