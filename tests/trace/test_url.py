"""A URL has exactly one meaning, or is refused with the right form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdemo.errors import UrlRefused
from webdemo.trace.url import parse_url, redirected


@pytest.mark.parametrize(
    ("text", "port", "is_given"),
    [
        ("http://example.com/", 80, False),
        ("https://example.com", 443, False),
        ("smtp://example.com", 25, False),
        ("ftp://example.com", 21, False),
        ("http://example.com:80/", 80, True),
        ("HTTP://example.com:8000/", 8000, True),
        ("http://example.com:/", 80, False),
        ("http://example.com:00080/", 80, True),
        ("http://[::1]:8003/", 8003, True),
        ("smtp://127.0.0.1:2525", 2525, True),
    ],
)
def test_port_is_the_given_one_or_the_default_of_the_scheme(text: str, port: int, is_given: bool) -> None:
    facts = parse_url(text).facts
    assert (facts.port, facts.port_given) == (port, is_given)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("http://h", "/"),
        ("http://h?q=1", "/?q=1"),
        ("http://h/a%20b?c=%C3%A9#top", "/a%20b?c=%C3%A9"),
        ("http://h/ä?ö", "/%C3%A4?%C3%B6"),
        ("http://h/a|b<c>", "/a%7Cb%3Cc%3E"),
        ("http://h//evil.example/", "//evil.example/"),
        ("unix:/run/site.sock", "/"),
        ("unix:///run/site.sock", "/"),
        ("unix:/run/site.sock:/hello?name=x", "/hello?name=x"),
    ],
)
def test_request_target_is_what_a_browser_would_send(text: str, target: str) -> None:
    assert parse_url(text).facts.request_target == target


def test_host_header_leaves_out_the_default_port_and_brackets_ipv6() -> None:
    assert parse_url("http://h:80/").host_header == "h"
    assert parse_url("https://h:80/").host_header == "h:80"
    assert parse_url("http://[::1]:8000/").host_header == "[::1]:8000"
    assert parse_url("unix:/run/site.sock").host_header == "localhost"


def test_unix_url_names_a_path_of_the_machine() -> None:
    facts = parse_url("unix:/run/my%20site.sock").facts
    assert (facts.socket_path, facts.port, facts.host) == ("/run/my site.sock", None, "")


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "The URL is empty.", "Write http://127.0.0.1:8000/."),
        ("8000", "“8000” is not a URL.", "Write http://localhost:8000/."),
        (":8000", "“:8000” has no scheme.", "Write http://localhost:8000/."),
        ("localhost:8000", "“localhost:8000” has no scheme.", "Write http://localhost:8000/."),
        ("127.0.0.1:8000/a", "“127.0.0.1:8000/a” has no scheme.", "Write http://127.0.0.1:8000/a."),
        ("//host/x", "“//host/x” has no scheme.", "Write http://host/x."),
        ("/path", "“/path” has no scheme.", "Write http://localhost/path."),
        ("http:8000", "“http:8000” lacks the two slashes.", "Write http://localhost:8000/."),
        ("http:/host/", "“http:/host/” lacks the two slashes.", "Write http://host/."),
        ("http:///path", "The URL has no host.", "Write http://localhost/path."),
        ("http://:8000/", "The URL has no host.", "Write http://localhost:8000/."),
        (
            "http://h:70000/",
            "Port 70000 does not exist: the highest is 65535.",
            "Write http://h:80/.",
        ),
        (f"http://h:{'9' * 5000}/", None, "Write http://h:80/."),
        ("http://h:0/", "Nothing can be reached on port 0: it asks for any free one.", "Write http://h:80/."),
        ("http://h:-1/", "A port is not negative: -1.", "Write http://h:80/."),
        ("http://h:８０/", None, None),
        ("http://h:80:90/", "“h:80:90” is ambiguous.", None),
        ("http://::1:8000/", "“::1:8000” is ambiguous.", None),
        ("http://[::1/", None, "Write http://[::1]:8000/ for IPv6."),
        ("http://[fe80::1%25eth0]/", None, "Write http://[::1]:8000/."),
        ("http://[127.0.0.1]/", None, None),
        ("http://a b/", "A URL contains no spaces or control characters: “http://a b/”.", None),
        ("http://h/\r\nHost: evil", None, "Write %20 for a space in a path."),
        ("http://h\\@evil/", None, "Write http://h/@evil/."),
        (
            "http://127.0.0.1@evil.example/",
            "“127.0.0.1@evil.example” contains a user name, which can hide the real host.",
            "Write it without: http://evil.example/.",
        ),
        ("http://user:secret@h:8000/x", None, "Write it without: http://h:8000/x."),
        ("http://2130706433/", "“2130706433” is not four numbers from 0 to 255.", None),
        ("http://0x7f.1/", None, "Write an address as http://127.0.0.1/."),
        ("http://0177.0.0.1:8000/", None, "Write an address as http://127.0.0.1:8000/."),
        ("http://127.1/", None, None),
        ("http://256.0.0.1/", None, None),
        ("http://bücher.example/", None, "Write http://xn--bcher-kva.example/."),
        ("http://-h-/", "“-h-” is not a valid host name.", None),
        ("http://h%41/", None, None),
        ("gopher://h/", "URLs of the scheme gopher cannot be traced.", None),
        ("http+unix://%2Frun%2Fsite.sock/", None, "Write unix:/run/site.sock."),
        ("unix:site.sock", "“unix:site.sock” has no absolute path.", "Write unix:/run/site.sock."),
        ("unix://host/site.sock", None, "Write unix:/run/site.sock."),
        ("unix:", None, None),
        ("unix:/", None, None),
        ("unix:/a%00b", "The path “/a%00b” contains control characters.", None),
        (f"unix:/{'x' * 120}", None, "Write a shorter path."),
        (f"http://h/{'x' * 9000}", None, "Write a shorter one."),
    ],
)
def test_url_without_one_meaning_is_refused_with_the_right_form(
    text: str, problem: str | None, remedy: str | None
) -> None:
    with pytest.raises(UrlRefused) as refused:
        parse_url(text)
    assert problem is None or refused.value.problem == problem
    assert remedy is None or refused.value.remedy == remedy
    assert "\n" not in refused.value.problem + refused.value.remedy
    assert refused.value.exit_code == 2


@given(st.text() | st.from_regex(r"(https?|ftp|smtp|unix):(//)?[^\s]*", fullmatch=True))
def test_no_text_does_more_than_be_refused_and_normal_form_stays(text: str) -> None:
    try:
        url = parse_url(text)
    except UrlRefused:
        return
    again = parse_url(url.text)
    assert again.text == url.text
    assert (again.facts.host, again.facts.port) == (url.facts.host, url.facts.port)
    assert again.facts.request_target == url.facts.request_target
    assert url.facts.request_target.isascii()
    assert " " not in url.facts.request_target


@pytest.mark.parametrize(
    ("start", "location", "target"),
    [
        ("http://h:8000/a/b?c", "d", "http://h:8000/a/d"),
        ("http://h:8000/a/b", "/x y", "http://h:8000/x%20y"),
        ("http://h:8000/a", "//other/", "http://other/"),
        ("http://h/a", "https://h/a", "https://h/a"),
        ("unix:/run/s.sock", "/x", "unix:/run/s.sock:/x"),
        ("unix:/run/s.sock:/a/b", "http://localhost/c", "unix:/run/s.sock:/c"),
        ("unix:/run/s.sock", "http://localhost:8000/c", "http://localhost:8000/c"),
    ],
)
def test_location_is_read_against_the_url_it_came_from(start: str, location: str, target: str) -> None:
    assert redirected(parse_url(start), location).text == target


@pytest.mark.parametrize(
    "location",
    ["ftp://h/", "file:///etc/passwd", "unix:/run/s.sock", "javascript:alert(1)", "http://a@b/", "http://["],
)
def test_location_that_leaves_http_or_hides_its_host_is_refused(location: str) -> None:
    with pytest.raises(UrlRefused):
        redirected(parse_url("http://h/"), location)
