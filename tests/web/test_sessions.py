"""Sessions: signed, kept by the client, the same on every server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.serving import call
from webdemo import App, Request
from webdemo.config.sources import resolve_settings
from webdemo.errors import UsageError

KEY = "0123456789abcdef0123456789abcdef"


def counting_app(*keys: str) -> App:
    app = App(secret_key=keys or KEY)

    @app.get("/")
    def count(request: Request) -> str:
        request.session["seen"] = request.session.get("seen", 0) + 1
        return str(request.session["seen"])

    @app.get("/nested")
    def nested(request: Request) -> str:
        request.session.setdefault("cart", []).append("x")
        return str(len(request.session["cart"]))

    @app.get("/read")
    def read(request: Request) -> str:
        return str(request.session.get("seen"))

    @app.get("/out")
    def out(request: Request) -> str:
        request.session.clear()
        return "out"

    app.get("/plain")(lambda request: "plain")
    return app


def test_session_is_kept_by_the_client_and_read_by_another_server() -> None:
    client = counting_app().test_client()
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]
    assert [client.get("/nested").text for _ in range(2)] == ["1", "2"]
    cookie = client.get_cookie("session")
    assert cookie is not None
    assert call(counting_app(), "/read", HTTP_COOKIE=f"session={cookie.value}").body == b"3"
    assert client.get("/out").text == "out"
    assert client.get_cookie("session") is None
    assert client.get("/read").text == "None"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cookie_is_for_http_only_lax_and_secure_over_https(scheme: str) -> None:
    reply = call(counting_app(), wsgi_url_scheme=scheme)
    flags = reply["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(flags)
    assert ("Secure" in flags) == (scheme == "https")
    assert reply["Vary"] == "Cookie"


def test_session_that_is_not_used_or_not_changed_sets_no_cookie() -> None:
    client = counting_app().test_client()
    client.get("/")
    for path in ("/plain", "/read"):
        response = client.get(path)
        assert "Set-Cookie" not in response.headers
        assert ("Vary" in response.headers) == (path == "/read")


@pytest.mark.attack("Sessions", "A changed or foreign session cookie", "it counts as no session")
@pytest.mark.parametrize("value", ["", "x", "e30.x.y", "eyJzZWVuIjo5fQ.aaaaaa.AAAAAAAAAAAAAAAAAAAAAAAAAAA"])
def test_changed_cookie_is_no_session(value: str) -> None:
    assert call(counting_app(), HTTP_COOKIE=f"session={value}").body == b"1"
    foreign = counting_app("another key, just as long as the first").test_client()
    foreign.get("/")
    cookie = foreign.get_cookie("session")
    assert cookie is not None
    assert call(counting_app(), HTTP_COOKIE=f"session={cookie.value}").body == b"1"


def test_key_can_be_changed_while_sessions_live() -> None:
    client = counting_app().test_client()
    client.get("/")
    cookie = client.get_cookie("session")
    assert cookie is not None
    rotated = counting_app(KEY, "a new key, just as long as the first one")
    assert call(rotated, "/read", HTTP_COOKIE=f"session={cookie.value}").body == b"1"


def test_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBDEMO_SECRET_KEY", KEY)
    app = App()
    app.get("/")(lambda request: str(request.session.get("seen")))
    assert call(app).body == b"None"


def test_key_in_the_environment_is_not_taken_for_a_setting(tmp_path: Path) -> None:
    assert resolve_settings({}, {"WEBDEMO_SECRET_KEY": KEY}, tmp_path).settings.server


def test_session_without_a_key_names_the_remedy(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEBDEMO_SECRET_KEY", raising=False)
    app = App()
    app.get("/")(lambda request: str(request.session.get("seen")))
    assert call(app).status == "500 Internal Server Error"
    assert "App(secret_key=...)" in caplog.text


@pytest.mark.parametrize("key", ["", "short", ["long enough to be a key", "short"], []])
def test_key_that_can_be_guessed_is_refused(key: str | list[str]) -> None:
    with pytest.raises(UsageError, match="fewer than 16"):
        App(secret_key=key)
