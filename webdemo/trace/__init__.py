"""Traces a URL: URL -> name -> address -> port -> TLS -> HTTP -> which process answered.

`trace` follows a URL and times each step, `render` draws the result for a terminal, `to_json` writes it for
programs. `loopback_only` is a policy for `trace(allow=...)`, for URLs that the user did not choose.
"""

from webdemo.trace.facts import AnsweredBy, Failure, Hop, Redirect, Step, Trace, to_json
from webdemo.trace.lookup import Allow, loopback_only
from webdemo.trace.picture import render
from webdemo.trace.tracer import DEFAULT_TIMEOUT_SECONDS, MOST_REDIRECTS, trace
from webdemo.trace.url import parse_url

__all__ = [
    "DEFAULT_TIMEOUT_SECONDS",
    "MOST_REDIRECTS",
    "Allow",
    "AnsweredBy",
    "Failure",
    "Hop",
    "Redirect",
    "Step",
    "Trace",
    "loopback_only",
    "parse_url",
    "render",
    "to_json",
    "trace",
]
