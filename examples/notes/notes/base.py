"""The app, its data, and what every part needs: who is signed in, error pages, security headers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException, NotFound, Unauthorized, UnprocessableEntity

from notes.store import MATCH_END, MATCH_START, Missing, Store, User
from webdemo import App, CrossOriginProtection, Request, Response, redirect

MAX_TITLE, MAX_BODY = 200, 100_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",  # the pages are private, also on a shared computer
}


class NotesRequest(Request):
    """A request of this site. Its limits are the framework's: 16 MiB, and 500 kB for a text field."""

    @cached_property
    def user(self) -> User:
        """Who is signed in, by the session or by an API token. Raises Unauthorized if no one is."""
        user = self.user_if_any
        if user is None:
            raise Unauthorized("Sign in first.", www_authenticate=WWWAuthenticate("bearer"))
        return user

    @cached_property
    def user_if_any(self) -> User | None:
        authorization = self.authorization
        if authorization is not None and authorization.type == "bearer":
            return store.user_with_token(authorization.token or "")
        user_id = self.session.get("user")
        return None if user_id is None else store.user(user_id)

    def render(self, template: str, **context: Any) -> str:
        """Render a page for the user who is signed in. Raises Unauthorized if no one is."""
        return app.render(template, user=self.user, **context)

    @property
    def wants_json(self) -> bool:
        """Whether errors are answered in JSON: to clients of the API."""
        return self.path.startswith("/api/")


app = App(request_class=NotesRequest)
store = Store(Path(os.environ.get("NOTES_DATA", "data")))

app.on_worker_start(store.create)
app.before(CrossOriginProtection())


@app.after
def add_security_headers(request: NotesRequest, response: Response) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


@app.errorhandler(Unauthorized)
def sign_in_first(request: NotesRequest, error: Unauthorized) -> Response | tuple[dict[str, str], int]:
    if request.wants_json:
        return {"error": "Sign in, or send an API token."}, 401
    return redirect(app.url_for("sign_in", next=request.full_path.rstrip("?")), 303)


@app.errorhandler(HTTPException)
@app.errorhandler(500)
def show_error(request: NotesRequest, error: Exception) -> tuple[str | dict[str, str], int]:
    known = error if isinstance(error, HTTPException) else None
    code, text = (known and known.code) or 500, (known and known.description) or "Something went wrong here."
    if request.wants_json:
        return {"error": text}, code
    return app.render("error.html", user=request.user_if_any, code=code, text=text), code


@app.errorhandler(Missing)
def show_missing(request: NotesRequest, error: Missing) -> tuple[str | dict[str, str], int]:
    return show_error(request, NotFound("There is no such note or file here, or it is not yours."))


@app.errorhandler(OverflowError)
def show_overflow(request: NotesRequest, error: OverflowError) -> tuple[str | dict[str, str], int]:
    return show_error(request, UnprocessableEntity("A number is too large."))  # for SQLite: 64 bits


def read_note(sent: Any) -> tuple[str, str]:
    """Title and body of a form or of JSON. Raises UnprocessableEntity."""
    if not isinstance(sent, Mapping):
        raise UnprocessableEntity("A note is an object with title and body.")
    title, body = sent.get("title"), sent.get("body", "")
    if not isinstance(title, str) or not isinstance(body, str):
        raise UnprocessableEntity("Title and body are text.")
    title, body = " ".join(title.split()), body.replace("\r\n", "\n")
    if not 0 < len(title) <= MAX_TITLE:
        raise UnprocessableEntity(f"A title has 1 to {MAX_TITLE} characters.")
    if len(body) > MAX_BODY:
        raise UnprocessableEntity(f"A note has at most {MAX_BODY:,} characters.")
    if _CONTROL.search(title + body):
        raise UnprocessableEntity("A note has no control characters.")
    return title, body


def marked(text: str) -> Markup:
    """The words that a search has found, as <mark> elements; all else escaped."""
    start, end = Markup("<mark>"), Markup("</mark>")
    return escape(text).replace(MATCH_START, start).replace(MATCH_END, end)


def file_size(size: int) -> str:
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size //= 1000
    return f"{size} GB"


app.jinja_env.filters.update(marked=marked, file_size=file_size)
