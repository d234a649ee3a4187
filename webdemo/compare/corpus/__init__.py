"""The corpus: every probe of server behaviour, by group.

The rule: each case cites the section that says what is right, and its judge follows that text: a result is
wrong only if it violates a MUST, or if an app is told something that was not sent.
"""

from __future__ import annotations

from webdemo.compare.corpus import connection, environ, framing, headers, responses, targets
from webdemo.compare.corpus.case import Case

GROUPS: dict[str, tuple[Case, ...]] = {
    "framing": framing.CASES,
    "methods and targets": targets.CASES,
    "headers": headers.CASES,
    "connection": connection.CASES,
    "environ": environ.CASES,
    "responses": responses.CASES,
}
