"""Large files: complete or visibly truncated, whatever happens to them meanwhile; closed exactly once."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest

from tests.web.static_files.calling import begin, call, environ, finish
from webdemo.web.static.app import StaticFiles
from webdemo.web.static.file_body import BLOCK_BYTES, FileChangedError

SIZE = 1024 * 1024


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() == before


@pytest.fixture(params=["own blocks", "file_wrapper"])
def server(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The environ of a server with and without file_wrapper."""
    return {"wsgi.file_wrapper": FileWrapper} if request.param == "file_wrapper" else {}


def start(app: StaticFiles, server: dict[str, Any], **headers: str) -> tuple[int, Iterable[bytes]]:
    status, _, body = begin(app, environ("/large.bin", **headers) | server)
    return status, body


def read_two_blocks(body: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    blocks = iter(body)
    return next(blocks) + next(blocks), blocks


def close(body: Iterable[bytes]) -> None:
    body.close()  # type: ignore[attr-defined]  # PEP 3333: bodies may have it, and these do


def test_a_large_file_is_sent_in_blocks(app: StaticFiles, folder: Path, server: dict[str, Any]) -> None:
    _, body = start(app, server)
    blocks = list(body)
    close(body)
    assert b"".join(blocks) == (folder / "large.bin").read_bytes()
    assert max(map(len, blocks)) == BLOCK_BYTES


def test_memory_does_not_grow_with_the_file(app: StaticFiles, folder: Path, server: dict[str, Any]) -> None:
    os.truncate(folder / "large.bin", 100 * SIZE)
    tracemalloc.start()
    try:
        _, body = start(app, server)
        assert sum(map(len, body)) == 100 * SIZE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        close(body)
    assert peak < 4 * BLOCK_BYTES


def test_a_file_that_grew_is_cut_at_the_length_announced(
    app: StaticFiles, folder: Path, server: dict[str, Any]
) -> None:
    content = (folder / "large.bin").read_bytes()
    _, body = start(app, server)
    first, rest = read_two_blocks(body)
    with (folder / "large.bin").open("ab") as file:
        file.write(b"more")
    assert first + b"".join(rest) == content
    close(body)


def test_a_file_that_shrank_ends_with_an_error(
    app: StaticFiles, folder: Path, server: dict[str, Any]
) -> None:
    _, body = start(app, server)
    _, rest = read_two_blocks(body)
    os.truncate(folder / "large.bin", SIZE // 2)
    with pytest.raises(FileChangedError):
        list(rest)
    with pytest.raises(FileChangedError):
        close(body)
    close(body)


def test_a_file_written_over_in_place_ends_with_an_error(
    app: StaticFiles, folder: Path, server: dict[str, Any]
) -> None:
    _, body = start(app, server)
    _, rest = read_two_blocks(body)
    with (folder / "large.bin").open("r+b") as file:
        file.write(bytes(SIZE))
    received: list[bytes] = []
    with pytest.raises(FileChangedError):
        received.extend(rest)
    assert 2 * BLOCK_BYTES + sum(map(len, received)) < SIZE
    close(body)


def test_a_file_replaced_by_another_is_sent_as_it_was(
    app: StaticFiles, folder: Path, server: dict[str, Any]
) -> None:
    content = (folder / "large.bin").read_bytes()
    _, body = start(app, server)
    first, rest = read_two_blocks(body)
    (folder / "next").write_bytes(bytes(SIZE))
    (folder / "next").replace(folder / "large.bin")
    assert first + b"".join(rest) == content
    close(body)


def test_a_removed_file_is_sent_to_its_end(app: StaticFiles, folder: Path, server: dict[str, Any]) -> None:
    content = (folder / "large.bin").read_bytes()
    _, body = start(app, server)
    (folder / "large.bin").unlink()
    assert finish(body) == content
    assert call(app, "/large.bin").status == 404


def test_a_client_that_leaves_costs_no_descriptor(app: StaticFiles, server: dict[str, Any]) -> None:
    for headers in ({}, {"range": "bytes=5-"}, {"range": "bytes=0-9,100-900000"}):
        _, body = start(app, server, **headers)
        next(iter(body))
        close(body)
        close(body)
        _, body = start(app, server, **headers)
        close(body)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
def test_answers_without_the_file_open_none(app: StaticFiles, method: str) -> None:
    begin(app, environ("/large.bin", method))


def test_304_412_and_416_open_none(app: StaticFiles) -> None:
    etag = call(app, "/large.bin")["ETag"]
    for headers, expected in (
        ({"if_none_match": etag}, 304),
        ({"if_match": '"x"'}, 412),
        ({"range": "bytes=9999999-"}, 416),
    ):
        status, _, _ = begin(app, environ("/large.bin", **headers))
        assert status == expected


def test_a_part_for_sendfile_stands_at_its_start(app: StaticFiles) -> None:
    """Gunicorn takes the start from the descriptor's position, Waitress the length from the file."""
    wrapped: list[Any] = []

    def wrapper(file: Any, block_bytes: int) -> Iterable[bytes]:
        wrapped.append(file)
        return FileWrapper(file, block_bytes)

    status, body = start(app, {"wsgi.file_wrapper": wrapper}, range="bytes=1000-1999")
    file = wrapped[0]
    assert status == 206
    assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == file.tell() == 1000
    assert file.seek(0, os.SEEK_END) == 2000
    assert file.read() == b""
    assert file.seek(-900, os.SEEK_CUR) == 1100
    assert len(file.read()) == 900
    close(body)


def test_a_file_that_changes_all_the_time_is_never_mixed(app: StaticFiles, folder: Path) -> None:
    """Replaced and overwritten between and during requests: the response is right, or visibly truncated."""
    whole = 0
    for number in range(60):
        content = bytes([number]) * (300_000 + number)
        if number % 3:
            (folder / "next").write_bytes(content)
            (folder / "next").replace(folder / "large.bin")
        else:
            (folder / "large.bin").write_bytes(content)
        _, headers, body = begin(app, environ("/large.bin"))
        blocks = iter(body)
        received = next(blocks)
        if number % 2:
            (folder / "large.bin").write_bytes(bytes([number + 100]) * (300_000 + number))
        try:
            received += b"".join(blocks)
        except FileChangedError:
            continue
        finally:
            close(body)
        assert received == content
        assert len(received) == int(headers["content-length"])
        whole += 1
    assert whole == 30
