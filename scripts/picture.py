"""Takes the screenshots in docs/pictures/, light and dark.

Run it in the checkout's folder: python -m scripts.picture. A part alone: python -m scripts.picture dashboard
For the dashboard, three servers get requests at rates that rise and fall, for the time span of its charts.
"""

from __future__ import annotations

import math
import re
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize

from scripts import debug_pictures, notes_picture
from tests import running
from tests.browser import launch
from webdemo.dashboard.chart import WINDOW_SECONDS

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 1090
SETTLING_SECONDS = 15  # starting the browser takes processor time from the servers
PORTS = (8000, 8001, 8002)
BINDS = ("werkzeug://:8000", "waitress://:8001", "gunicorn://:8002?workers=2")
SERVICES = ("smtp://:2525", "ftp://:2121")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PATHS = ("/", "/hello/Ada", "/inspect", "/files/", "/static/favicon.svg")


def ask(port: int, over: threading.Event) -> None:
    """Send up to 60 requests a second, in waves that differ from port to port."""
    began = time.monotonic()
    number = 0
    while not over.is_set():
        wave = 0.55 + 0.45 * math.sin((time.monotonic() - began) / (14 + 5 * (port % 10)) + port)
        url = f"http://127.0.0.1:{port}{PATHS[number % len(PATHS)]}"
        with suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
        number += 1
        over.wait(1 / (4 + 56 * wave))


@contextmanager
def run_servers(*arguments: str) -> Iterator[running.Running]:
    with tempfile.TemporaryDirectory() as folder:
        run = running.start(Path(folder), *arguments, environment={"XDG_RUNTIME_DIR": folder})
        try:
            yield run
        finally:
            run.clean_up()


def open_pages(browser: Browser) -> dict[str, Page]:
    viewport = ViewportSize(width=WIDTH, height=HEIGHT)
    return {
        scheme: browser.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=2)
        for scheme in SCHEMES
    }


def take_lesson() -> None:
    binds = [part for bind in (*BINDS, *SERVICES) for part in ("-b", bind)]
    with run_servers(*binds) as run, launch() as browser:
        for scheme, page in open_pages(browser).items():
            page.goto(f"{run.url}learn/port")
            page.evaluate("document.getAnimations().forEach(a => { a.pause(); a.currentTime = 1200; })")
            page.locator(".picture").screenshot(path=FOLDER / f"lesson-{scheme}.png")


def take_dashboard() -> None:
    over = threading.Event()
    threads = [threading.Thread(target=ask, args=(port, over)) for port in PORTS]
    binds = [part for bind in BINDS for part in ("-b", bind)]
    with run_servers(*binds, "--dashboard", "9000") as run:
        try:
            [line] = run.wait_for(r"^Dashboard: \S+")
            found = re.search(r"http\S+", line)
            assert found
            for thread in threads:
                thread.start()
            time.sleep(WINDOW_SECONDS)
            with launch() as browser:
                pages = open_pages(browser)
                for page in pages.values():
                    page.goto(found[0])
                    page.locator(".server-actions").first.wait_for()
                time.sleep(SETTLING_SECONDS)
                for scheme, page in pages.items():
                    page.screenshot(path=FOLDER / f"dashboard-{scheme}.png")
        finally:
            over.set()
            for thread in threads:
                thread.join()


PARTS = {
    "lesson": take_lesson,
    "dashboard": take_dashboard,
    "debug": debug_pictures.take,
    "notes": notes_picture.take,
}


def main() -> None:
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
