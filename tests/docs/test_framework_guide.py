"""Each example of docs/framework.md runs as it is printed, and each feature that it claims has a test.

A section is a folder and a module, mysite: a block after a line such as "`blog.py`:" is a file, other Python
is the module's, and a session (pycon) prints what it shows. `client` is the test client of the last `app`.
"""

from __future__ import annotations

import ast
import doctest
import io
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from webdemo import App

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "framework.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", PAGE, re.MULTILINE))
BLOCK = re.compile(
    r"(?:^`(?P<file>[\w./]+)`:\n\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """An empty module in a folder of its own, from which it can import."""
    imported = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    module = types.ModuleType("mysite")
    module.__file__ = str(tmp_path / "mysite.py")
    yield module
    for name in set(sys.modules) - imported:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")  # WebOb, before Python 3.13
@pytest.mark.parametrize("section", [name for name, text in SECTIONS.items() if "```pycon" in text])
def test_examples_of_a_section_run_as_printed(section: str, module: types.ModuleType, tmp_path: Path) -> None:
    for block in BLOCK.finditer(SECTIONS[section]):
        if block["file"]:
            path = tmp_path / block["file"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block["text"])
        elif block["language"] == "python":
            exec(compile(block["text"], str(tmp_path / "mysite.py"), "exec"), vars(module))
            if isinstance(app := vars(module)["app"], App):
                module.client = app.test_client()  # type: ignore[attr-defined]
        elif block["language"] == "pycon":
            session = doctest.DocTestParser().get_doctest(block["text"], vars(module), section, None, None)
            shown = io.StringIO()
            doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(
                session, out=shown.write, clear_globs=False
            )
            if differences := shown.getvalue():
                pytest.fail(differences, pytrace=False)


def test_every_section_with_code_shows_what_it_does() -> None:
    assert [name for name, text in SECTIONS.items() if "```python" in text and "```pycon" not in text] == []


ROWS = re.findall(
    r"^\| ([^|]+) \| (-|\[yes\]\(\.\./(\S+) \"(\w+)\"\)) \|", SECTIONS["Features"], re.MULTILINE
)


def test_each_feature_names_a_test_that_exists() -> None:
    assert len(ROWS) == SECTIONS["Features"].count("\n| ") - 1
    for feature, has_it, path, name in ROWS:
        if has_it != "-":
            functions = ast.parse((ROOT / path).read_text("utf-8")).body
            assert name in [f.name for f in functions if isinstance(f, ast.FunctionDef)], feature
