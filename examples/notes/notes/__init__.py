"""Notes: a small site with accounts, files, full-text search, a JSON API and live updates.

`base` makes the app; each other module adds the routes of one part:

    base       the app, its data, the signed-in user, error pages, security headers
    store      SQLite: users, notes, the search index, files
    accounts   sign up, sign in, sign out, API token
    pages      the notes and their files, as HTML
    api        the notes as JSON, below /api
    live       server-sent events: a list that is open follows every change
"""

from notes import accounts, api, live, pages
from notes.base import app

app.include(accounts.routes, "/account")
app.include(pages.routes)
app.include(api.routes, "/api")
app.include(live.routes)

__all__ = ["app"]
