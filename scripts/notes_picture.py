"""Takes the guide's screenshots of examples/notes: docs/pictures/notes-light.png and -dark.png.

Called by scripts/picture.py.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from tests import running
from tests.browser import launch

ROOT = Path(__file__).parent.parent
NOTES = (
    ("Crème brûlée", "Four yolks, 80 g of sugar, half a litre of cream, one vanilla pod.\nAn hour at 95 °C."),
    (
        "Garden",
        "Tomatoes against the south wall. Beans need a second row of sticks: the first fell in the storm.",
    ),
    ("Meeting, 12 May", "- ship on Thursday\n- Grace writes the notes\n- no meeting next week"),
    ("Reading list", "The Art of Unix Programming\nA Philosophy of Software Design\nRFC 9110"),
    ("Berlin in May", "Train on Friday at 7:04, back on Monday. Museum tickets are in the files."),
    ("Phone numbers", "Plumber 030 1234567"),
)


def write_notes(page: Page, url: str) -> None:
    page.goto(f"{url}account/sign-up")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    for title, text in NOTES:
        page.get_by_role("link", name="New note").click()
        page.get_by_label("Title").fill(title)
        page.get_by_label("Text").fill(text)
        page.get_by_role("button", name="Save").click()


def take() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "PYTHONPATH": str(ROOT / "examples" / "notes"),
            "WEBDEMO_SECRET_KEY": os.urandom(16).hex(),
            "XDG_RUNTIME_DIR": folder,
        }
        bind = "waitress://127.0.0.1:0?threads=8"
        run = running.start(Path(folder), "--app", "notes:app", "-b", bind, environment=environment)
        try:
            with launch() as browser:
                page = browser.new_page(
                    viewport={"width": 1280, "height": 560}, device_scale_factor=2, reduced_motion="reduce"
                )
                write_notes(page, run.url)
                page.goto(run.url)
                page.get_by_text("Live", exact=True).wait_for()
                for scheme in ("light", "dark"):
                    page.emulate_media(color_scheme=scheme)
                    page.screenshot(path=ROOT / "docs" / "pictures" / f"notes-{scheme}.png")
        finally:
            run.clean_up()
