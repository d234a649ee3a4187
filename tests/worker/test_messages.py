"""Any bytes received as a message have a known form, or are refused with a reason."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.errors import UsageError
from webdemo.supervisor.commands import FORMS
from webdemo.worker.messages import COUNT, PORT, TEXT, Field, Form, NoMessage, decode, fields, shown

FORM: Form = {
    "port": Field(PORT),
    "lines": Field(COUNT, is_required=False, default=200),
    "server": Field(TEXT),
}

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | st.text().map(str.encode) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    with contextlib.suppress(NoMessage):
        assert isinstance(decode(data), dict)


@given(st.sampled_from(list(FORMS.values())), st.dictionaries(st.sampled_from(["port", "lines", "x"]), _JSON))
def test_any_object_fits_its_form_or_is_refused(form: Form, message: dict[str, Any]) -> None:
    with contextlib.suppress(UsageError):
        assert fields(message, form).keys() == form.keys()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"1", b'"do"', b"NaN", b'{"a": NaN}', b'{"a": Infinity}', b"\xff", b"\x00", b"{",
        b"[" * 100_000, b'{"a":' * 100_000, b'{"a": 1' + b"0" * 5000 + b"}", "{}".encode("utf-16"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(NoMessage):
        decode(data)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"server": "x"}, "port is missing."),
        ({"port": None, "server": "x"}, "port is missing."),
        ({"port": True, "server": "x"}, "port cannot be True."),
        ({"port": -1, "server": "x"}, "port cannot be -1."),
        ({"port": 80.0, "server": "x"}, "port cannot be 80.0."),
        ({"port": "1", "server": 1}, "server cannot be 1."),
        ({"port": "1", "server": "x", "lines": float("inf")}, "lines cannot be inf."),
        ({"port": "1", "server": "x", "lines": True}, "lines cannot be True."),
        ({"port": "1", "server": "x", "prot": 1}, "There is no field 'prot' here."),
    ],
)
def test_a_field_that_does_not_fit_is_named(message: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        fields(message, FORM)
    assert raised.value.problem == problem


def test_fields_are_as_given_or_by_default() -> None:
    assert fields({"port": 8000, "server": "x", "lines": None}, FORM) == {
        "port": "8000",
        "server": "x",
        "lines": 200,
    }
    assert fields({"port": 1, "server": "x", "lines": 10**4000}, FORM)["lines"] == 10**9


def test_what_is_shown_is_short() -> None:
    for value in ("x" * 10**6, b"x" * 10**6, 10**5000, ["x" * 999] * 999):
        assert len(shown(value)) < 100
