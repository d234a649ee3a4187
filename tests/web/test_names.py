"""What `import webdemo` provides, and what it does not import."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import webdemo


def test_names_are_the_ones_promised() -> None:
    classes = ["App", "CrossOriginProtection", "Request", "Response", "Routes"]
    classes += ["ServerSentEvent", "StaticFiles"]
    functions = ["abort", "app", "attachment", "event_stream", "redirect", "send_file"]
    assert [*classes, *functions] == webdemo.__all__
    assert set(webdemo.__all__) <= set(dir(webdemo))


def test_version_is_the_installed_one() -> None:
    assert importlib.metadata.version("webdemo") == webdemo.__version__


def imported_by(code: str) -> set[str]:
    """The modules loaded after some code ran in a fresh interpreter."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.process
def test_the_main_process_of_a_run_imports_no_framework() -> None:
    modules = "webdemo.cli, webdemo.cli.opening, webdemo.cli.dashboard, webdemo.supervisor.supervisor"
    assert not imported_by(f"import {modules}") & {"werkzeug", "jinja2", "webdemo.web"}


@pytest.mark.process
def test_import_loads_nothing_that_a_request_does_not_need() -> None:
    assert not imported_by("import webdemo") & {"werkzeug", "jinja2", "webdemo.web", "webdemo.demo"}
    loaded = imported_by("from webdemo import App, Response, StaticFiles; App()")
    assert not loaded & {
        "jinja2",
        "click",
        "psutil",
        "rich",
        "webdemo.demo",
        "webdemo.supervisor",
        "webdemo.worker",
        "webdemo.middleware",
        "webdemo.net",
        "webdemo.servers",
    }


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(webdemo, "nonsense")
