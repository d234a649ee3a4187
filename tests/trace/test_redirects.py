"""Redirects are followed, each as its own hop, and always end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.peers import OK, make_certificate, redirecting, speaking
from webdemo.trace import MOST_REDIRECTS, Redirect, Trace, trace


def last_redirect(found: Trace) -> Redirect:
    redirect = found.hops[-1].redirect
    assert redirect is not None
    return redirect


def test_each_redirect_is_a_hop_of_its_own() -> None:
    there = {"/": "a", "/a": "/b?c=d", "/b?c=d": None}
    with speaking(redirecting(lambda target: there[target])) as peer:
        base = f"http://127.0.0.1:{peer.port}"
        found = trace(f"{base}/")
    assert [hop.url for hop in found.hops] == [f"{base}/", f"{base}/a", f"{base}/b?c=d"]
    assert found.hops[0].redirect == Redirect(302, "a", f"{base}/a", True, False, None)
    assert found.hops[-1].redirect is None
    assert found.hops[1].start_ms > found.hops[0].start_ms + found.hops[0].duration_ms
    assert found.exit_code == 0


def test_redirect_to_another_port_connects_there() -> None:
    with speaking(OK) as last, speaking(redirecting(lambda _: f"http://127.0.0.1:{last.port}/")) as first:
        found = trace(f"http://127.0.0.1:{first.port}/")
    assert len(found.hops) == 2
    assert last.connections == 1


def test_redirect_is_reported_and_not_followed_when_asked() -> None:
    with speaking(redirecting(lambda _: "/a")) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/", follow=False)
    assert len(found.hops) == 1
    assert last_redirect(found).url == f"http://127.0.0.1:{peer.port}/a"
    assert not last_redirect(found).is_followed
    assert found.exit_code == 0


@pytest.mark.parametrize("there", [{"/": "/"}, {"/": "/a", "/a": "/b", "/b": "/a#again"}])
def test_redirect_loop_is_detected(there: dict[str, str]) -> None:
    with speaking(redirecting(lambda target: there[target])) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/")
    assert len(found.hops) == len(there)
    assert found.failure is not None
    assert (found.failure.kind, found.exit_code) == ("redirect loop", 1)
    assert "has already been visited" in found.failure.problem


def test_redirects_are_bounded() -> None:
    with speaking(redirecting(lambda target: f"{target}x")) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/")
    assert len(found.hops) == MOST_REDIRECTS + 1
    assert found.failure is not None
    assert found.failure.problem == "There are more than 10 redirects in a row."


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/",
        "unix:/run/x.sock",
        "http://u@127.0.0.1/",
        "http://127.0.0.1:70000/",
        "http://0x7f.1/",
    ],
)
def test_redirect_to_what_is_no_web_page_ends_the_trace(location: str) -> None:
    with speaking(redirecting(lambda _: location)) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/")
    assert found.failure is not None
    assert (found.failure.kind, found.exit_code) == ("bad redirect", 1)
    assert last_redirect(found).location == location
    assert peer.connections == 1


def test_location_in_utf8_is_read_as_browsers_do() -> None:
    there = {"/": "/é".encode(), "/%C3%A9": None}
    with speaking(redirecting(lambda target: there[target])) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/")
    assert found.hops[-1].url == f"http://127.0.0.1:{peer.port}/%C3%A9"


def test_redirect_from_tls_to_plain_http_is_reported(tmp_path: Path) -> None:
    context = make_certificate(tmp_path, "127.0.0.1").context()
    with (
        speaking(OK) as plain,
        speaking(redirecting(lambda _: f"http://127.0.0.1:{plain.port}/"), context=context) as secure,
    ):
        found = trace(f"https://127.0.0.1:{secure.port}/", verify=False)
    assert found.exit_code == 0
    assert found.hops[0].redirect is not None
    assert found.hops[0].redirect.leaves_tls
    assert found.hops[1].url == f"http://127.0.0.1:{plain.port}/"


def test_time_limit_covers_all_hops() -> None:
    def slow(target: str) -> str:
        import time

        time.sleep(0.3)
        return f"{target}x"

    with speaking(redirecting(slow)) as peer:
        found = trace(f"http://127.0.0.1:{peer.port}/", timeout_seconds=0.75)
    assert found.failure is not None
    assert found.failure.kind == "timed out"
    assert len(found.hops) <= 3
