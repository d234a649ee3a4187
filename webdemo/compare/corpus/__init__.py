"""The corpus: every probe of what a server does, by group.

Each case cites the section that says what is right, and its judge holds to the words there: wrong is
said only where a MUST is broken, or an app is told what was not sent.
"""

from __future__ import annotations

from webdemo.compare.corpus import answers, connection, environ, framing, headers, targets
from webdemo.compare.corpus.case import Case

GROUPS: dict[str, tuple[Case, ...]] = {
    "framing": framing.CASES,
    "methods and targets": targets.CASES,
    "headers": headers.CASES,
    "connection": connection.CASES,
    "environ": environ.CASES,
    "answers": answers.CASES,
}
