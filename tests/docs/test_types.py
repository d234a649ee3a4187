"""What the guide says of types: views, hooks and handlers may be typed, and mypy finds a wrong result."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

CODE = """
from collections.abc import Iterator
from webdemo import App, Request, Response, Routes, redirect
from werkzeug.exceptions import HTTPException

class MyRequest(Request):
    @property
    def user(self) -> str:
        return "Ada"

app = App(request_class=MyRequest)
routes = Routes()

@app.get("/<name>")
def text(request: MyRequest, name: str) -> str:
    return request.user + name

@app.post("/json")
def json(request: Request) -> tuple[dict[str, object], int]:
    return {"title": request.json["title"], "page": request.args.get("page", 1, type=int)}, 201

@routes.get("/stream")
def stream(request: Request) -> Iterator[str]:
    yield request.args["q"]

@routes.get("/old")
def old(request: Request) -> Response:
    return redirect(app.url_for(text, name="x"), 303)

@app.before
def guard(request: MyRequest) -> Response | None:
    return None if request.user else redirect("/")

@app.after
def add_header(request: MyRequest, response: Response) -> None:
    response.headers["X-User"] = request.user

@app.errorhandler(404)
def missing(request: MyRequest, error: HTTPException) -> HTTPException:
    return error

@app.get("/number")  # refused
def number(request: Request) -> int:
    return 1

@routes.post("/none")  # refused
def none(request: Request) -> None:
    pass

@app.get  # refused
def without_a_rule(request: Request) -> str:
    return ""
"""


def test_mypy_accepts_typed_apps_and_refuses_wrong_results(tmp_path: Path) -> None:
    (tmp_path / "mysite.py").write_text(CODE)
    printed, problems, _ = api.run(
        ["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", str(tmp_path / "mysite.py")]
    )
    assert problems == ""
    refused = [number for number, line in enumerate(CODE.split("\n"), 1) if line.endswith("# refused")]
    assert sorted({int(number) for number in re.findall(r":(\d+): error", printed)}) == refused, printed
