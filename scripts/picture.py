"""Takes the README's screenshots of the dashboard: docs/pictures/dashboard-light.png and -dark.png.

Run it in the checkout's folder: python -m scripts.picture
Three servers get requests at rates that rise and fall, for the whole time span of the page's charts.
"""

from __future__ import annotations

import math
import re
import tempfile
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from tests import running
from tests.browser import launch
from webdemo.dashboard.chart import WINDOW_SECONDS

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 1090
SETTLING_SECONDS = 15  # starting the browser takes processor time from the servers
PORTS = (8000, 8001, 8002)
BINDS = ("werkzeug://:8000", "waitress://:8001", "gunicorn://:8002?workers=2")
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


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    over = threading.Event()
    threads = [threading.Thread(target=ask, args=(port, over)) for port in PORTS]
    with tempfile.TemporaryDirectory() as folder:
        binds = [part for bind in BINDS for part in ("-b", bind)]
        run = running.start(
            Path(folder), *binds, "--dashboard", "9000", environment={"XDG_RUNTIME_DIR": folder}
        )
        try:
            [line] = run.wait_for(r"^Dashboard: \S+")
            found = re.search(r"http\S+", line)
            assert found
            for thread in threads:
                thread.start()
            time.sleep(WINDOW_SECONDS)
            with launch() as browser:
                pages = {
                    scheme: browser.new_page(
                        viewport={"width": WIDTH, "height": HEIGHT},
                        color_scheme=scheme,
                        device_scale_factor=2,
                    )
                    for scheme in ("light", "dark")
                }
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
            run.clean_up()


if __name__ == "__main__":
    main()
