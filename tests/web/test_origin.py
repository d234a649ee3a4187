"""Requests that pages of other sites send are refused; those of the site and of other clients are not."""

from __future__ import annotations

import pytest

from tests.web.serving import call
from webdemo import App, CrossOriginProtection
from webdemo.errors import UsageError


def guarded() -> App:
    app = App()
    app.before(CrossOriginProtection(trusted=["https://admin.example"]))
    app.route("/", methods=["GET", "POST", "DELETE"])(lambda request: "done")
    return app


@pytest.mark.attack("Cross-origin requests", "A form on another site posts to the app", "403")
@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "https://evil.example"},
        {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": "https://other.site.example"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_ORIGIN": "https://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": ""},
        {"HTTP_ORIGIN": "https://site.example.evil.example"},
        {"HTTP_ORIGIN": "https://[site.example"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_request_of_another_site_is_refused(headers: dict[str, str], method: str) -> None:
    for host in ("site.example", ""):
        reply = call(guarded(), method=method, HTTP_HOST=host, **headers)
        assert reply.status == "403 Forbidden"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "https://site.example"},
        {"HTTP_SEC_FETCH_SITE": "none"},
        {"HTTP_ORIGIN": "https://site.example"},
        {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "https://admin.example"},
    ],
)
def test_request_of_the_site_or_of_another_client_is_answered(headers: dict[str, str]) -> None:
    assert call(guarded(), method="POST", HTTP_HOST="site.example", **headers).body == b"done"


def test_safe_methods_are_answered_whoever_asks() -> None:
    assert call(guarded(), HTTP_HOST="site.example", HTTP_SEC_FETCH_SITE="cross-site").body == b"done"


@pytest.mark.parametrize(
    "origin",
    [
        "https://admin.example/",
        "https://Admin.example",
        "admin.example",
        "://admin.example",
        "https://",
        "h",
        "https://a.example:443",
        "http://a:80",
        "http://a:65536",
        "http://a:08000",
        "http://a..b",
        "http://.a",
        "http://[::1",
        "http://[1]",
    ],
)
def test_an_origin_that_no_browser_sends_is_refused_at_once(origin: str) -> None:
    with pytest.raises(UsageError, match="is not an origin"):
        CrossOriginProtection(trusted=[origin])


def test_origins_may_have_ports_and_addresses() -> None:
    CrossOriginProtection(
        trusted=[
            "http://[::1]:8000",
            "https://127.0.0.1",
            "https://a.example:8443",
            "http://a.example:443",
            "https://a.example.:80",
            "app://localhost",
        ]
    )
