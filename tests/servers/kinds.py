"""The servers under test. A sync Gunicorn counts as another server than one with threads."""

# Name in the tests -> server and options.
KINDS = {
    "werkzeug": ("werkzeug", ""),
    "waitress": ("waitress", ""),
    "gunicorn": ("gunicorn", ""),
    "gunicorn-sync": ("gunicorn", "threads=1"),
    "wsgiref": ("wsgiref", ""),
    "cheroot": ("cheroot", ""),
    "gevent": ("gevent", ""),
    "hypercorn": ("hypercorn", ""),
}

# The name of each in SERVER_SOFTWARE.
SOFTWARE = {
    "werkzeug": "Werkzeug/",
    "waitress": "waitress",
    "gunicorn": "gunicorn/",
    "wsgiref": "WSGIServer/",
    "cheroot": "Cheroot/",
    "gevent": "gevent/",
    "hypercorn": "hypercorn/",
    "granian": "Granian",
}


def bind(kind: str, place: str = "127.0.0.1:0", *more_options: str, scheme: str = "") -> str:
    """The bind text for a kind: `bind("gunicorn-sync", "*:0", "workers=2")`."""
    server, own = KINDS[kind]
    options = "&".join(filter(None, [own, *more_options]))
    return f"{server}{scheme}://{place}" + (f"?{options}" if options else "")
