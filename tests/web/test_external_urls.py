"""`url_for` with an origin and a fragment."""

from __future__ import annotations

import pytest

from tests.web.serving import call
from webdemo import App, Request


def app_that_links() -> App:
    app = App()

    @app.get("/notes/<name>")
    def note(request: Request, name: str) -> str:
        return app.url_for("note", name=name, _external=request)

    return app


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"HTTP_HOST": "example.com"}, "http://example.com"),
        ({"HTTP_HOST": "example.com:8443", "wsgi_url_scheme": "https"}, "https://example.com:8443"),
        ({"HTTP_HOST": "bücher.example".encode("idna").decode()}, "http://xn--bcher-kva.example"),
        ({"HTTP_HOST": "example.com", "SCRIPT_NAME": "/team a"}, "http://example.com/team%20a"),
    ],
)
def test_request_gives_scheme_host_and_root(environ: dict[str, str], expected: str) -> None:
    assert call(app_that_links(), "/notes/a b", **environ).body.decode() == f"{expected}/notes/a%20b"


def test_origin_is_used_as_it_is_wherever_the_app_is_mounted() -> None:
    app, part = App(), app_that_links()
    app.mount("/part", part)
    assert (
        part.url_for("note", name="a", _external="https://example.com") == "https://example.com/part/notes/a"
    )
    assert (
        part.url_for("note", name="a", _external="https://example.com/") == "https://example.com/part/notes/a"
    )
    assert call(app, "/part/notes/a", HTTP_HOST="b.example").body == b"http://b.example/part/notes/a"


def test_anchor_is_quoted_and_follows_the_query() -> None:
    app = app_that_links()
    assert (
        app.url_for("note", name="a", page=2, _anchor="Kapitel 1/ä#")
        == "/notes/a?page=2#Kapitel%201/%C3%A4%23"
    )


@pytest.mark.attack("Hosts", "A Host header that is no host, in a link that leaves the site", "400")
@pytest.mark.parametrize("host", ["evil.example/x", "a b", "a@b", "é"])
def test_host_that_is_none_makes_no_link(host: str) -> None:
    assert call(app_that_links(), "/notes/a", HTTP_HOST=host).status == "400 Bad Request"
