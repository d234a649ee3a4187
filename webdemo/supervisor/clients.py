"""What a client meets in each state of a service; the docs show this table. Runs in no process.

The rule: no client waits forever.
"""

from __future__ import annotations

from typing import NamedTuple


class Meeting(NamedTuple):
    situation: str
    meets: str  # "a response", "503", "waits" (in the accept queue) or "refused"
    until: str


MEETINGS = (
    Meeting("the app is being loaded for the first time", "waits", "it is up, or --start-timeout is over"),
    Meeting("the same, with --health", "503", "it is up; /livez says 200, /readyz 503"),
    Meeting("the app is being loaded, on a socket from systemd", "waits", "it is up"),
    Meeting("the first load failed", "refused", "the run has ended"),
    Meeting("the first load failed, with --reload", "503", "a change fixes it"),
    Meeting("a reload, a restart or a swap is under way", "a response", "the old process serves till then"),
    Meeting("one of several processes of a service died", "a response", "the others serve"),
    Meeting("the only process of a service died", "waits", "the next one is up: pauses of 0 to 3 s"),
    Meeting("a service is given up", "refused", "`start`, `restart` or `reload`"),
    Meeting("a service is given up, with --reload", "503", "a change fixes it"),
    Meeting("the port was stopped", "refused", "`start`"),
    Meeting(
        "a stop, and the client is in the accept queue",
        "a response",
        "none is accepted for 3 s",
    ),
    Meeting("a stop, a moment later", "refused", "it is started again"),
    Meeting("the run stops, and systemd keeps the socket", "waits", "it is started again"),
)
"""With TLS, or a protocol other than HTTP, the supervisor cannot say 503: the port is closed instead."""
