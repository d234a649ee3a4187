"""The trace itself: hop after hop, step by step.

The rule: a hop ends at the first step that fails, and the failure is part of the trace. In every hop
`allow` checks each address after the name was resolved and before anything is sent.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from webdemo.client.connection import Deadline
from webdemo.client.endpoint import Endpoint
from webdemo.client.greeting import read_greeting
from webdemo.client.http11 import HttpConnection, ResponseHead
from webdemo.client.tls import TlsFacts, handshake
from webdemo.errors import TraceFailed, UrlRefused
from webdemo.net.bindtext import shown
from webdemo.trace import explanation, unreached
from webdemo.trace.answering import find_answering
from webdemo.trace.attempts import connect, connect_unix
from webdemo.trace.facts import (
    AnsweredBy,
    ConnectFacts,
    Facts,
    Failure,
    Hop,
    Redirect,
    RequestFacts,
    Step,
    Trace,
    TransferFacts,
)
from webdemo.trace.lookup import Allow, is_allowed, look_up, not_allowed, select
from webdemo.trace.recognition import speaks_plainly, speaks_tls
from webdemo.trace.url import HTTP, Url, parse_url, redirected

DEFAULT_TIMEOUT_SECONDS = 10.0
MOST_REDIRECTS = 10
MOST_BODY_BYTES = 16 * 1024 * 1024
_USER_AGENT = "webdemo-trace"
_REDIRECTS = (301, 302, 303, 307, 308)
_PATIENCE_SECONDS = 2.0
"""How long a TLS handshake may be silent before another protocol is considered."""


def trace(
    url: str,
    *,
    family: int | None = None,
    follow: bool = True,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    head: bool = False,
    verify: bool = True,
    allow: Allow | None = None,
) -> Trace:
    """Follow a URL to the program that answers, and time each step.

    `family` is 4, 6 or None for both; `timeout_seconds` limits the whole trace, redirects included (to
    explain a silence may take two more); `head` sends HEAD instead of GET; without `verify` an untrusted
    certificate is recorded, and the trace continues. `allow(address, port)` is called before anything is
    sent there; with it, Unix sockets are not contacted. Raises UrlRefused for an invalid or ambiguous URL;
    every other failure is in the trace.
    """
    whole = deadline = Deadline(timeout_seconds)
    text = url
    seen: set[str] = set()
    hops: list[Hop] = []
    while True:
        start_ms = whole.milliseconds()
        deadline = deadline.restarted()
        runner = _HopRunner(text, deadline, family, "HEAD" if head else "GET", verify, allow)
        runner.run()
        seen.add(runner.url.text)
        redirect = None
        if runner.response is not None and not runner.has_failed:
            redirect = _redirect(runner.url, runner.response, seen, follow=follow)
        hops.append(runner.hop(start_ms, redirect))
        if redirect is None or not redirect.is_followed:
            return Trace(tuple(hops))
        text = redirect.url


@dataclass(slots=True)
class _Draft:
    """A step in progress."""

    deadline: Deadline
    facts: Facts | None = None
    ended_ms: float | None = None

    def end(self) -> float:
        """End the step now, unless it has ended: later work, such as an explanation, does not count."""
        if self.ended_ms is None:
            self.ended_ms = self.deadline.milliseconds()
        return self.ended_ms


@dataclass(slots=True)
class _HopRunner:
    """Runs the steps of one hop and collects their results."""

    text: str
    deadline: Deadline
    family: int | None
    method: str
    verify: bool
    allow: Allow | None
    url: Url = field(init=False)
    response: ResponseHead | None = None
    _endpoint: Endpoint = field(init=False)
    _sock: socket.socket = field(init=False)
    _connection: ConnectFacts | None = field(default=None)  # None again when it is closed
    _steps: list[Step] = field(default_factory=list)
    _answered_by: AnsweredBy | None = None

    @property
    def has_failed(self) -> bool:
        return self._steps[-1].failure is not None

    def run(self) -> None:
        """Run all steps. Raises UrlRefused; every other failure is recorded in its step."""
        with self._step("url") as step:
            self.url = parse_url(self.text)
            step.facts = self.url.facts
        with suppress(TraceFailed):
            self._sock, self._connection = self._connect()
            try:
                if self.url.facts.scheme == "https":
                    self._sock = self._encrypt(self._sock)
                if self.url.facts.scheme in HTTP:
                    self._exchange(self._sock)
                else:
                    self._greet(self._sock)
            finally:
                self._hang_up()

    def hop(self, start_ms: float, redirect: Redirect | None) -> Hop:
        last = self._steps[-1]
        duration = last.start_ms + last.duration_ms
        return Hop(self.url.text, start_ms, duration, tuple(self._steps), self._answered_by, redirect)

    def _hang_up(self) -> None:
        """Find the process that answered, then close: a server may serve only one connection at a time."""
        if self._connection is not None:
            with self.deadline.paused():
                self._answered_by = find_answering(self._connection)
            self._connection = None
            self._sock.close()

    @contextmanager
    def _step(self, name: str, start_ms: float | None = None) -> Iterator[_Draft]:
        """A step; a failure of the network within it is explained, which does not count as its time."""
        draft = _Draft(self.deadline)
        start = self.deadline.milliseconds() if start_ms is None else start_ms
        failure = None
        try:
            try:
                yield draft
            except OSError as exc:
                draft.end()
                self._hang_up()
                explain = explanation.explain_tls if name == "tls" else explanation.explain
                raise explain(self.url, exc, self._reconnect, self.deadline) from exc
        except TraceFailed as exc:
            failure = Failure.of(exc)
            raise
        finally:
            self._steps.append(Step(name, start, draft.end() - start, draft.facts, failure))

    def _connect(self) -> tuple[socket.socket, ConnectFacts]:
        url = self.url.facts
        if url.socket_path is not None:
            return self._connect_unix(url.socket_path)
        assert url.port is not None, "a URL without a port is a Unix socket's"
        with self._step("name") as step:
            found = look_up(url.host, url.port, self.family, self.deadline)
            endpoints, step.facts = select(found, url.host, url.port, self.allow)
            if not endpoints:
                raise not_allowed(f"Port {url.port} of {url.host}")
        with self._step("connect") as step:
            connected, step.facts = connect(endpoints, self.deadline)
            step.end()
            if connected is None:
                raise unreached.explain_no_connection(self.url, step.facts, self.deadline.seconds)
            sock, self._endpoint = connected
            if not is_allowed(step.facts.remote_address, url.port, self.allow):
                sock.close()
                raise not_allowed(f"Port {url.port} of {url.host}")
            return sock, step.facts

    def _connect_unix(self, path: str) -> tuple[socket.socket, ConnectFacts]:
        with self._step("connect") as step:
            if self.allow is not None:
                raise not_allowed("Unix sockets")
            self._endpoint = Endpoint.of_path(path)
            sock, step.facts = connect_unix(self._endpoint, self.deadline)
            step.end()
            if sock is None:
                raise unreached.explain_socket_file(path, step.facts, self.deadline.seconds)
            return sock, step.facts

    def _encrypt(self, sock: socket.socket) -> socket.socket:
        with self._step("tls") as step:
            secured, step.facts = self._handshake(sock)
            if not step.facts.is_trusted and self.verify:
                secured.close()
                raise explanation.explain_distrust(self.url, step.facts)
        return secured

    def _handshake(self, sock: socket.socket) -> tuple[ssl.SSLSocket, TlsFacts]:
        """Do the handshake; if it is silent for long, check for a plain-text protocol before trying again.

        A plain HTTP server may wait forever for the end of a line.
        """
        host = self.url.facts.host
        patience = self.deadline.at_most(min(_PATIENCE_SECONDS, self.deadline.remaining() / 2))
        try:
            return handshake(sock, host, self._reconnect, patience)
        except TimeoutError:
            if speaks_plainly(self._reconnect, self.deadline):
                raise
            return handshake(self._reconnect(self.deadline), host, self._reconnect, self.deadline)

    def _exchange(self, sock: socket.socket) -> None:
        http = HttpConnection(sock, self.deadline)
        target = self.url.facts.request_target
        headers = (("Host", self.url.host_header), ("User-Agent", _USER_AGENT), ("Accept", "*/*"))
        with self._step("request") as step:
            step.facts = RequestFacts(self.method, target, headers, http.send(self.method, target, headers))
        with self._step("first byte") as step:
            self.response = step.facts = http.read_head(step.end)
            # nginx, Cheroot and others answer 400 to plain HTTP on a TLS port.
            is_suspect = self.response.status == 400 and self.url.facts.scheme == "http"
            if is_suspect and speaks_tls(self._reconnect, self.deadline):
                raise explanation.explain_tls_port(self.url)
        with self._step("transfer", start_ms=step.end()) as step:
            self._read_body(http, step)

    def _read_body(self, http: HttpConnection, step: _Draft) -> None:
        began = self.deadline.milliseconds()
        count = 0
        is_whole = False
        try:
            for piece in http.read_body():
                count += len(piece)
                if count > MOST_BODY_BYTES:
                    break
            else:
                is_whole = True
        except TimeoutError as exc:
            raise TraceFailed(
                f"The body was not complete after {self.deadline.seconds:g} s; {count} bytes had arrived.",
                remedy="It may be an endless stream; or allow more time (--max-time).",
                kind="timed out",
            ) from exc
        except OSError as exc:
            raise TraceFailed(
                f"The connection ended in the middle of the body, after {count} bytes.",
                remedy="See the server's log: its process may have died while it sent.",
                kind="cut",
            ) from exc
        finally:
            milliseconds = self.deadline.milliseconds() - began
            rate = count / milliseconds * 1000 if milliseconds > 0 and count else None
            step.facts = TransferFacts(count, rate, is_whole)

    def _greet(self, sock: socket.socket) -> None:
        with self._step("greeting") as step:
            step.facts = read_greeting(sock, self.deadline, step.end)
            code, said = step.facts.code, shown(step.facts.lines[0])
            if code >= 400:
                raise TraceFailed(
                    f"The server refuses to serve this client: {code} “{said}”",
                    remedy="Try again later; a code that begins with 5 is permanent.",
                    kind="refused service",
                )

    def _reconnect(self, deadline: Deadline) -> socket.socket:
        """Connect again to exactly the address that was allowed and reached. Raises OSError."""
        return self._endpoint.connect(deadline.remaining())


def _redirect(url: Url, response: ResponseHead, seen: set[str], *, follow: bool) -> Redirect | None:
    """The redirect of a response, and whether it is followed; None if it is not one."""
    header = response.header("location")
    if response.status not in _REDIRECTS or header is None:
        return None
    location = header.encode("latin-1").decode("utf-8", "replace")
    redirect = Redirect(response.status, location)
    try:
        target = redirected(url, location)
        leaves_tls = url.facts.scheme == "https" and target.facts.scheme == "http"
        redirect = redirect._replace(url=target.text, leaves_tls=leaves_tls)
        if target.text in seen:
            raise TraceFailed(
                f"Redirect loop: {target.text} has already been visited.",
                remedy="The app may want a cookie, which a trace does not keep.",
                kind="redirect loop",
            )
        if len(seen) > MOST_REDIRECTS:
            raise TraceFailed(
                f"There are more than {MOST_REDIRECTS} redirects in a row.",
                remedy="Browsers give up as well: let the app redirect to the target directly.",
                kind="too many redirects",
            )
    except UrlRefused as exc:
        failure = TraceFailed(exc.problem, remedy=exc.remedy, kind="bad redirect")
    except TraceFailed as exc:
        failure = exc
    else:
        return redirect._replace(is_followed=follow)
    return redirect._replace(failure=Failure.of(failure)) if follow else redirect
