"""Serves a folder with a server's own API: `python -m tests.clients.serving SERVER DESCRIPTOR FOLDER`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from webdemo.web.static.app import StaticFiles

SERVERS = ("werkzeug", "waitress", "gunicorn")
ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 100


class Served(NamedTuple):
    """`url` has no trailing slash; `process_id` is the started process, which may have children."""

    url: str
    process_id: int


@contextmanager
def served(server: str, folder: Path) -> Iterator[Served]:
    """Serve a folder, listings included, in a separate process."""
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as log:
        descriptor = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.clients.serving", server, str(descriptor), os.fspath(folder)],
            pass_fds=[descriptor],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            _wait_until_it_answers(url, process)
            yield Served(url, process.pid)
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=START_SECONDS).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"no answer at {url}; exit code {process.poll()}")


def _serve(server: str, descriptor: int, folder: str) -> None:
    app = StaticFiles(folder, listing=True)
    if server == "werkzeug":
        from werkzeug.serving import make_server

        make_server("127.0.0.1", 0, app, threaded=True, fd=descriptor).serve_forever()
    elif server == "waitress":
        import waitress

        waitress.create_server(app, sockets=[socket.socket(fileno=descriptor)], threads=8).run()
    else:
        from gunicorn.app.base import BaseApplication

        class Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
            def load_config(self) -> None:
                self.cfg.set("bind", f"fd://{descriptor}")
                self.cfg.set("threads", 8)
                self.cfg.set("worker_class", "gthread")
                self.cfg.set("control_socket_disable", True)

            def load(self) -> StaticFiles:
                return app

        Gunicorn().run()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
