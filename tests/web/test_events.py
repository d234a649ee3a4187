"""Server-sent events: what is sent, and when a stream ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.serving import call, environ
from webdemo import App, Request, Response, ServerSentEvent, event_stream


def app_that_sends(*events: Any) -> App:
    app = App()
    app.get("/")(lambda request: event_stream(request, iter(events)))
    return app


def test_events_are_text_json_or_have_a_type_and_an_id() -> None:
    events = ("one\ntwo", {"a": [1]}, None, ServerSentEvent("x", "changed", "7"))
    reply = call(app_that_sends(*events))
    assert (reply["Content-Type"], reply["Cache-Control"]) == ("text/event-stream", "no-store")
    assert reply.body.decode() == (
        ":\n\ndata: one\ndata: two\n\n"
        + 'data: {"a":[1]}\n\n'
        + ":\n\n"
        + "data: x\nevent: changed\nid: 7\n\n"
    )


@given(st.text(alphabet=st.characters(exclude_characters="\r\n\ud800", exclude_categories=["Cs"])))
def test_data_cannot_begin_another_field(text: str) -> None:
    body = call(app_that_sends(f"{text}\r{text}.\nid: 1\r\n\nevent: x")).body.decode()
    assert body == f":\n\ndata: {text}\ndata: {text}.\ndata: id: 1\ndata: \ndata: event: x\n\n"


@pytest.mark.parametrize("event", [ServerSentEvent("x", "a\nb"), ServerSentEvent("x", id="1\r2")])
def test_type_or_id_of_several_lines_is_an_error(event: ServerSentEvent) -> None:
    with pytest.raises(ValueError, match="one line"):
        call(app_that_sends(event))


def test_stream_ends_when_the_server_drains_and_the_generator_is_closed() -> None:
    draining, closed = threading.Event(), threading.Event()
    app = App()

    @app.get("/")
    def events(request: Request) -> Response:
        def ticks() -> Iterator[int]:
            try:
                number = 0
                while not request.draining.wait(0):
                    number += 1
                    yield number
            finally:
                closed.set()

        return event_stream(request, ticks())

    body = app({**environ(), "webdemo.draining": draining}, lambda *_: lambda data: None)
    parts = iter(body)
    assert [next(parts) for _ in range(3)] == [b":\n\n", b"data: 1\n\n", b"data: 2\n\n"]
    draining.set()
    assert list(parts) == []
    body.close()  # type: ignore[attr-defined]
    assert closed.is_set()


def test_stream_of_events_that_never_end_is_ended_after_the_next_one() -> None:
    draining = threading.Event()
    app = App()
    app.get("/")(lambda request: event_stream(request, iter(int, 1)))
    parts = iter(app({**environ(), "webdemo.draining": draining}, lambda *_: lambda data: None))
    assert [next(parts), next(parts)] == [b":\n\n", b"data: 0\n\n"]
    draining.set()
    assert list(parts) == []


def test_request_on_a_server_that_does_not_tell_never_drains() -> None:
    assert not Request(environ()).draining.wait(0)
