"""The drawing of a trace: one time axis, no line too wide, nothing that moves the cursor."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.client.peers import OK, answering, greeting, redirecting, speaking
from tests.free_ports import free_port
from webdemo.trace import Trace, render, trace

PAINT = re.compile(r"\x1b\[[0-9]+m")
BAR = re.compile(r"^(\S.{10}) ( *)([█▏]+)( *) +([0-9.]+ [µm]?s)$")


def answered() -> Trace:
    with speaking(OK) as peer:
        return trace(f"http://127.0.0.1:{peer.port}/")


def refused() -> Trace:
    return trace(f"http://127.0.0.1:{free_port()}/")


def redirected() -> Trace:
    with speaking(redirecting(lambda target: None if target == "/there" else "/there")) as peer:
        return trace(f"http://127.0.0.1:{peer.port}/")


def circling() -> Trace:
    with speaking(redirecting(lambda _: "/")) as peer:
        return trace(f"http://127.0.0.1:{peer.port}/")


def greeted() -> Trace:
    with speaking(greeting(b"220 mail.test ESMTP\r\n")) as peer:
        return trace(f"smtp://127.0.0.1:{peer.port}")


KINDS = [answered, refused, redirected, circling, greeted]


@pytest.mark.parametrize("make", KINDS)
def test_no_line_is_wider_than_asked_for(make: Callable[[], Trace]) -> None:
    found = make()
    for width in (40, 60, 80, 200):
        for line in render(found, width).splitlines():
            assert len(line) <= width, line


@pytest.mark.parametrize("make", KINDS)
def test_colour_changes_nothing_but_colour(make: Callable[[], Trace]) -> None:
    found = make()
    plain = render(found, 80)
    assert "\x1b" not in plain
    painted = render(found, 80, colour=True)
    assert "\x1b[" in painted
    assert PAINT.sub("", painted) == plain


def test_bars_lie_side_by_side_on_one_axis() -> None:
    bars = [match for line in render(redirected(), 100).splitlines() if (match := BAR.match(line))]
    assert [match[1].strip() for match in bars[:6]] == [
        "url",
        "name",
        "connect",
        "request",
        "first byte",
        "transfer",
    ]
    assert len({len(match[0]) for match in bars}) == 1
    starts = [len(match[2]) for match in bars[:6]]
    assert starts == sorted(starts)


def test_picture_says_what_the_steps_found() -> None:
    with speaking(answering(b"HTTP/1.1 200 OK\r\nServer: mine/1\r\nContent-Length: 3\r\n\r\nabc")) as peer:
        picture = render(trace(f"http://127.0.0.1:{peer.port}/x"), 120)
    for words in (
        f"http://127.0.0.1:{peer.port}/x\n",
        "200 OK after ",
        f"scheme http, host 127.0.0.1, port {peer.port} (given)",
        "127.0.0.1 is an address: nothing to look up",
        "from your port ",
        f") to 127.0.0.1:{peer.port}\n",
        "GET /x, ",
        "server: mine/1",
        "3 B of body",
        "process     ",
    ):
        assert words in picture


def test_failure_is_shown_at_its_step_with_its_remedy() -> None:
    picture = render(refused(), 200)
    assert "ended at connect after " in picture
    assert "Nothing listens on 127.0.0.1:" in picture


def test_redirect_is_drawn_between_its_hops() -> None:
    picture = render(redirected(), 120)
    assert "redirect    302 redirects to http://127.0.0.1:" in picture
    assert "302 Found after " in picture
    assert "200 OK after " in picture
    assert "Redirect loop: " in render(circling(), 120)


def test_server_cannot_paint_the_terminal() -> None:
    evil = b"\xc2\x9b2J\x9b31m"
    with speaking(
        answering(b"HTTP/1.1 200 %s\r\nServer: %s\r\nContent-Length: 0\r\n\r\n" % (evil, evil))
    ) as peer:
        picture = render(trace(f"http://127.0.0.1:{peer.port}/"), 80)
    assert all(line.isprintable() for line in picture.splitlines())
    with speaking(greeting(b"220 \x1b]0;evil\x07\x1b[2J\r\n")) as peer:
        picture = render(trace(f"smtp://127.0.0.1:{peer.port}"), 80)
    assert all(line.isprintable() for line in picture.splitlines())
