"""The short fuzz run: some hundred inputs for each target, and every input that once failed."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.inputs import FOUND, check, made_for
from tests.fuzz.targets import TARGETS, Target

pytestmark = pytest.mark.fuzz


@pytest.mark.parametrize("target", [pytest.param(target, id=target.name) for target in TARGETS])
def test_no_bytes_make_a_reader_raise_or_dawdle(target: Target) -> None:
    @given(st.data())
    @settings(max_examples=target.examples, deadline=None, suppress_health_check=list(HealthCheck))
    def try_some(data: st.DataObject) -> None:
        check(target, data.draw(made_for(target)))

    try_some()


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_is_read(name: str) -> None:
    target, data = FOUND[name]
    check(next(one for one in TARGETS if one.name == target), data)
