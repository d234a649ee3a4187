"""What every test may use: webdemo running, a browser, and hypothesis without a stopwatch."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from playwright.sync_api import Browser, Page

from tests import running as runs
from tests.browser import PAGE_TIMEOUT_MS, launch

# A busy machine is slow at random, which says nothing about the code: pytest-timeout bounds the tests.
hypothesis.settings.register_profile("webdemo", deadline=None, print_blob=True)
hypothesis.settings.load_profile("webdemo")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, one for the tests of a module. Skips without it, but fails in CI."""
    try:
        with launch() as chromium:
            yield chromium
    except LookupError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Makes pages, each in a context of its own; takes the options of Playwright's `Browser.new_context`."""
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
    """A page 1280 pixels wide, in light colours."""
    return open_page(viewport={"width": 1280, "height": 800})


@pytest.fixture
def running(tmp_path: Path) -> Iterator[runs.Start]:
    """Starts webdemo as a user does, see tests.running.start, and ends what the test left running."""
    started: list[runs.Running] = []
    numbers = itertools.count(1)

    def start(*arguments: str, **options: Any) -> runs.Running:
        started.append(runs.start(tmp_path / f"run{next(numbers)}", *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()
