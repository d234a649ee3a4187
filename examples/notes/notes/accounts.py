"""Accounts: sign up, sign in, sign out, and a token for the API."""

from __future__ import annotations

from urllib.parse import urlsplit

from werkzeug.exceptions import TooManyRequests
from werkzeug.security import check_password_hash, generate_password_hash

from notes.base import NotesRequest, app, store
from notes.store import Conflict
from webdemo import Response, Routes, redirect

MIN_PASSWORD = 10
# Checked for names that do not exist, so that the time of a response does not tell which do.
_NO_ONES_HASH = generate_password_hash("no one's password")

routes = Routes()


@routes.get("/sign-in")
def sign_in(request: NotesRequest) -> str:
    return _form("sign_in", next=request.args.get("next", ""))


@routes.post("/sign-in", name="send_sign_in")
def check_sign_in(request: NotesRequest) -> Response | tuple[str, int]:
    name, password = request.form["name"].strip(), request.form["password"]
    client = request.remote_addr or ""
    if not store.may_sign_in(name, client):
        raise TooManyRequests("Too many wrong passwords. Wait five minutes.", retry_after=300)
    user = store.user_named(name)
    if not check_password_hash(user.password if user else _NO_ONES_HASH, password) or user is None:
        store.sign_in_failed(name, client)
        target = request.form.get("next", "")
        return _form("sign_in", "The name or the password is wrong.", name=name, next=target), 422
    return _start_session(request, user.id)


@routes.get("/sign-up")
def sign_up(request: NotesRequest) -> str:
    return _form("sign_up")


@routes.post("/sign-up", name="send_sign_up")
def add_account(request: NotesRequest) -> Response | tuple[str, int]:
    name, password = request.form["name"].strip(), request.form["password"]
    if not 0 < len(name) <= 40 or not name.isprintable():
        return _form("sign_up", "A name has 1 to 40 characters.", name=name), 422
    if len(password) < MIN_PASSWORD:
        return _form("sign_up", f"A password has at least {MIN_PASSWORD} characters.", name=name), 422
    try:
        user_id = store.add_user(name, generate_password_hash(password))
    except Conflict:
        return _form("sign_up", "This name is taken.", name=name), 422
    return _start_session(request, user_id)


@routes.post("/sign-out")
def sign_out(request: NotesRequest) -> Response:
    request.session.clear()
    return redirect(app.url_for("sign_in"), 303)


@routes.get("/")
def account(request: NotesRequest) -> str:
    return request.render("account.html", request=request, token=None)


@routes.post("/token")
def new_token(request: NotesRequest) -> str:
    """Shows the token once: afterwards only its hash is known."""
    token = store.new_token(request.user.id)
    return request.render("account.html", request=request, token=token)


def _form(kind: str, problem: str = "", name: str = "", next: str = "") -> str:  # noqa: A002
    return app.render(f"{kind}.html", user=None, problem=problem, name=name, next=next, minimum=MIN_PASSWORD)


def _start_session(request: NotesRequest, user_id: int) -> Response:
    request.session.clear()
    request.session["user"] = user_id
    return redirect(_local(request.form.get("next", "")) or app.url_for("list_notes"), 303)


def _local(target: str) -> str:
    """The target if it is a path of this site, else "": a link must not lead to another site."""
    parts = urlsplit(target)
    is_path = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if is_path and not parts.scheme and not parts.netloc else ""
