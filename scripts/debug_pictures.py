"""Takes the pictures of docs/development.md: the page of an exception, and an error over a page.

Called by scripts/picture.py.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests import running
from tests.browser import launch

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
APP = """from flask import Flask, request

app = Flask(__name__)
PRICES = {"tea": 250, "coffee": 300}


@app.get("/")
def home():
    return "<!doctype html><title>Shop</title><h1>Shop</h1><p>Tea and coffee, every day from seven.</p>"


@app.get("/total")
def total():
    items = request.args.getlist("item")
    api_key = "sk-4711"
    return str(sum(PRICES[item] for item in items))
"""
BROKEN = APP.replace('"coffee": 300}', '"coffee": 300')


def take() -> None:
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base, "shop")
        environment = {"XDG_RUNTIME_DIR": base}
        run = running.start(
            folder, "--debug", "-b", "waitress://127.0.0.1:0", app=APP, environment=environment
        )
        try:
            with launch() as browser:
                for scheme in ("light", "dark"):
                    page = browser.new_page(
                        viewport={"width": 1280, "height": 720},
                        color_scheme="dark" if scheme == "dark" else "light",
                        reduced_motion="reduce",
                    )
                    page.goto(f"{run.url}total?item=tea&item=cocoa")
                    page.screenshot(path=PICTURES / f"debug-{scheme}.png")
                    page.close()
                page = browser.new_page(viewport={"width": 1280, "height": 480})
                page.goto(run.url)
                (folder / "served.py").write_text(BROKEN)
                page.get_by_role("alert").wait_for()
                page.screenshot(path=PICTURES / "debug-error-over-page.png")
        finally:
            run.clean_up()
