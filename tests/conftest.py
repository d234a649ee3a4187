"""Fixtures for every test: a running webdemo, a browser, and hypothesis without a deadline.

The rules for every test: it leaves no process, listening socket or file behind (tests/leftovers.py), and a
test that starts a process is marked `process`. CONTRIBUTING.md says which tests are run when.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from playwright.sync_api import Browser, Page

from tests import leftovers
from tests import running as runs
from tests.browser import PAGE_TIMEOUT_MS, launch

# No deadline: delays on a busy machine say nothing about the code. pytest-timeout limits the tests.
hypothesis.settings.register_profile(
    "webdemo", deadline=None, print_blob=True, max_examples=100 if os.environ.get("CI") else 25
)
hypothesis.settings.load_profile("webdemo")

# A shell starts what runs in the background with SIGINT ignored, which processes under test would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Without --deep, tests that run these servers are run only if marked `smoke`.
DEEP_SERVERS = {"wsgiref", "cheroot", "gevent", "hypercorn", "granian"}
# A test that uses one of these is marked `process`.
STARTING_FIXTURES = {"running", "browser"}

_folders: list[Path] = []  # this pytest worker's own, for temporary files and control sockets
_processes_started: list[str] = []


# -- selection of tests ----------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deep", action="store_true", help="run the tests of the second tier as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if STARTING_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("process")
        if (
            item.get_closest_marker("process")
            and not item.get_closest_marker("smoke")
            and _on_deep_server(item)
        ):
            item.add_marker("deep")
    if config.getoption("deep") or any("::" in argument for argument in config.args):
        return  # a test named on the command line is always run
    deep = [item for item in items if item.get_closest_marker("deep")]
    if deep:
        config.hook.pytest_deselected(items=deep)
        items[:] = [item for item in items if not item.get_closest_marker("deep")]


def _on_deep_server(item: pytest.Item) -> bool:
    if item.get_closest_marker("smoke"):
        return False
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(isinstance(value, str) and value in DEEP_SERVERS for value in parameters)


# -- leftovers -------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Give this process (one of several with pytest-xdist) its own folders, and make it adopt orphans."""
    leftovers.adopt_orphans()
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # its workers run the tests
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # tmp_path stays where it was
    base = Path(tempfile.mkdtemp(prefix="webdemo-tests-"))  # a short path, because Unix sockets are in it
    base.chmod(0o755)  # some tests act as another user
    for name, variable, mode in (
        ("tmp", "TMPDIR", 0o1777),
        ("run", "XDG_RUNTIME_DIR", 0o700),
        ("state", "XDG_STATE_HOME", 0o700),  # the last comparison, which the demo site shows
    ):
        folder = base / name
        folder.mkdir()
        folder.chmod(mode)
        os.environ[variable] = str(folder)
        _folders.append(folder)
    _folders.append(_folders[1] / "webdemo")  # for control sockets; webdemo does not remove it
    _folders[-1].mkdir(mode=0o700)
    tempfile.tempdir = None
    sys.addaudithook(_on_audit_event)


def pytest_unconfigure(config: pytest.Config) -> None:
    leftovers.end_children()
    if _folders:
        shutil.rmtree(_folders[0].parent, ignore_errors=True)


def _on_audit_event(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"):
        _processes_started.append(event)


@pytest.fixture(scope="module", autouse=True)
def _module_leaves_nothing() -> Iterator[None]:
    """Check the fixtures of a module as `_leaves_nothing` checks a test."""
    yield from _check_leftovers()


@pytest.fixture(autouse=True)
def _leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    _processes_started.clear()
    yield from _check_leftovers()
    if _processes_started and not request.node.get_closest_marker("process"):
        pytest.fail(
            "This test starts a process: mark it, or its module, with pytest.mark.process.", pytrace=False
        )


def _check_leftovers() -> Iterator[None]:
    before = leftovers.holdings(*_folders)
    yield
    if left := leftovers.wait_until_gone(before, *_folders):
        told = sorted(map(leftovers.describe, left))
        leftovers.end_children(but=before)
        for path in left:
            if isinstance(path, Path) and path.is_relative_to(_folders[0].parent):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        pytest.fail("Left behind: " + "; ".join(told), pytrace=False)


# -- fixtures --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, one per module. Without it tests are skipped, but fail in CI."""
    try:
        with launch() as chromium:
            yield chromium
    except LookupError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages, each in its own context; takes the options of Playwright's `Browser.new_context`."""
    contexts = []

    def new_page(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PAGE_TIMEOUT_MS)
        return context.new_page()

    yield new_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A page 1280 pixels wide, with the light colour scheme."""
    return open_page(viewport={"width": 1280, "height": 800})


@pytest.fixture
def running(tmp_path: Path) -> Iterator[runs.Start]:
    """Starts webdemo as a user does (see tests.running.start), and cleans up after the test."""
    started: list[runs.Running] = []
    numbers = itertools.count(1)

    def start(*arguments: str, **options: Any) -> runs.Running:
        started.append(runs.start(tmp_path / f"run{next(numbers)}", *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()
