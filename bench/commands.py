"""The commands that serve an app or a folder: each server's own, and webdemo's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_BIN = Path(sys.executable).parent

THREADS = 4  # for servers with thread pools: the default of webdemo's adapters


def own(
    server: str, contestant: str, port: int, *, folder: Path | None = None, workers: int = 1
) -> list[str]:
    """The server's own command to serve a contestant's pages, or the files in a folder."""
    module = f"bench.contestants.{contestant}"
    if server == "gunicorn":
        app = f"{module}:pages()" if folder is None else f"{module}:files({str(folder)!r})"
        return [str(_BIN / "gunicorn"), app, f"--bind=127.0.0.1:{port}", f"--threads={THREADS}",
                f"--workers={workers}"]  # fmt: skip
    if server == "waitress" and folder is None:
        return [str(_BIN / "waitress-serve"), f"--listen=127.0.0.1:{port}", f"--threads={THREADS}",
                "--call", f"{module}:pages"]  # fmt: skip
    return [
        sys.executable,
        "-m",
        "bench.serve",
        server,
        module,
        str(port),
        *([str(folder)] if folder else []),
    ]


def webdemo(contestant: str, *binds: str, options: Sequence[str] = ("--no-access-log",)) -> list[str]:
    """The command to serve a contestant's pages with webdemo."""
    return [*_webdemo(*binds, options=options), "--app", f"bench.contestants.{contestant}:pages()"]


def webdemo_folder(folder: Path, server: str, port: int) -> list[str]:
    bind = f"{server}://127.0.0.1:{port}"
    return [*_webdemo(bind, options=("--no-access-log",)), "--directory", str(folder)]


def _webdemo(*binds: str, options: Sequence[str]) -> list[str]:
    chosen = [part for bind in binds for part in ("--bind", bind)]
    return [sys.executable, "-m", "webdemo", *options, *chosen]


def flask(port: int) -> list[str]:
    return [str(_BIN / "flask"), "--app", "bench.contestants.flask:pages", "run", f"--port={port}"]


def http_server(port: int) -> list[str]:
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
