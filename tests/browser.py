"""Headless Chromium for tests, and checks for every page: no console errors, no violations, no overflow.

Playwright's synchronous API keeps an event loop running in this thread, and only one instance may be open at
a time. So tests use the `browser` fixture (one per module, closed before the next module begins), and only
scripts call `launch` themselves.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

ARGUMENTS = [
    "--no-sandbox",  # tests run as root in containers, where Chromium has no sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have only 64 MB of shared memory
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
]
# Loading a page takes well under a second, but far longer on a machine that is busy with other tests.
PAGE_TIMEOUT_MS = 60_000
expect.set_options(timeout=PAGE_TIMEOUT_MS)


def in_looks(narrow: int, wide: int) -> pytest.MarkDecorator:
    """Parametrize a test by `width` and `color_scheme`: each value once, and with --deep each combination."""
    deep = pytest.mark.deep
    looks = [
        pytest.param(narrow, "dark"),
        pytest.param(wide, "light"),
        pytest.param(narrow, "light", marks=deep),
        pytest.param(wide, "dark", marks=deep),
    ]
    return pytest.mark.parametrize(("width", "color_scheme"), looks)


def find_chromium() -> str | None:
    """The path of Chromium: $CHROMIUM, one on PATH, or Playwright's; None if there is none."""
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


@contextmanager
def launch() -> Iterator[Browser]:
    """A headless Chromium, closed at the end. Raises LookupError if none is installed."""
    path = find_chromium()
    if path is None:
        raise LookupError("Chromium is not installed: apt install chromium, or playwright install chromium")
    with tempfile.TemporaryDirectory() as own, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=ARGUMENTS,
            env={**os.environ, "TMPDIR": own, "XDG_RUNTIME_DIR": own},
            timeout=120_000,
            handle_sigint=False,
            handle_sigterm=False,
        )
        try:
            yield browser
        finally:
            browser.close()


def watch(page: Page) -> list[str]:
    """A list that collects the page's problems: errors, warnings, failed requests.

    Chromium also logs a document's own 404 or 500 as an error; that one is left out, because error pages are
    opened on purpose.
    """
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        own_status = message.location["url"] == page.url and message.text.startswith("Failed to load")
        if message.type in ("error", "warning") and not own_status:
            complaints.append(f"console {message.type}: {message.text} ({message.location['url']})")

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url} {request.failure}"))
    return complaints


def accessibility_violations(page: Page) -> list[str]:
    """The serious and critical violations that axe finds in the current page, a line per element."""
    from axe_playwright_python.sync_playwright import Axe

    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def horizontal_overflow(page: Page) -> list[str]:
    """The elements that make the page wider than its window; empty if it does not scroll horizontally."""
    elements: list[str] = page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= width) return [];
            return [...document.querySelectorAll("body *")]
                .filter((element) => element.getBoundingClientRect().right > width + 1)
                .map((element) => element.outerHTML.slice(0, 120));
        }"""
    )
    return elements
