"""What a type checker finds in an app before it runs; what it cannot find is refused when the app is made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

APP = """
from collections.abc import Iterator
from webdemo import App, Request, Response, event_stream, send_file

app = App()

@app.get("/")
def right(request: Request) -> str:
    return app.url_for(right, _external=request)

@app.get("/stream/<int:number>")
def stream(request: Request, number: int) -> Iterator[str]:
    yield request.session.get("user", "")

@app.post("/file")
def file(request: Request) -> Response:
    return send_file(request, "a.txt", ".", download_name="b.txt")

@app.get("/events")
def events(request: Request) -> Response:
    return event_stream(request, [None, {"a": 1}])

@app.get
def no_parentheses(request: Request) -> str:  # error
    return ""

@app.get("/wrong")
def wrong_result(request: Request) -> int:  # error
    return 1

@app.before
def hook(request: Request) -> None:
    return None

app.url_for(right, _external=True)  # error
"""


@pytest.mark.deep
def test_type_checker_finds_wrong_decorators_and_results(tmp_path: Path) -> None:
    from mypy import api

    (tmp_path / "site.py").write_text(APP)
    options = [
        "--strict",
        "--config-file=",
        f"--cache-dir={tmp_path}",
        f"--python-executable={sys.executable}",
    ]
    output, errors, _ = api.run([*options, str(tmp_path / "site.py")])
    assert errors == ""
    found = {int(line.split(":")[1]) for line in output.splitlines() if ": error:" in line}
    expected = {number for number, line in enumerate(APP.splitlines(), 1) if "# error" in line}
    decorators = {number - 1 for number in expected}  # an error of a decorator is at the decorator
    assert len(found) == len(expected), output
    assert found <= expected | decorators, output
