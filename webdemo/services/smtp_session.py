"""The SMTP sessions of webdemo.services.smtp, on aiosmtpd. Runs in a server process.

Imported only to serve, because aiosmtpd comes with an extra.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from email.utils import formatdate
from typing import Any

from aiosmtpd.smtp import SMTP

from webdemo.servers import LINGER_SECONDS, Job
from webdemo.servers._draining import stopped
from webdemo.services.spool import Spool
from webdemo.text import log_field, plain_field

_MOST_RECIPIENTS = 100  # the minimum that RFC 5321 section 4.5.3.1.8 requires
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SECONDS_BETWEEN_LOOKS = 0.05
_SECONDS_AFTER_FAILED_ACCEPT = 0.5


async def catch_mail(job: Job, spool: Spool) -> None:
    """Serve until `job.stopping`, then until the last transaction has ended."""
    catcher = _Catcher(job, spool)
    catcher.start_accepting()
    job.ready()
    await stopped(job.stopping)
    catcher.stop()
    await asyncio.sleep(LINGER_SECONDS if catcher.is_busy() else 0)
    while catcher.is_busy():
        catcher.dismiss_idle()
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


class _Catcher:
    """Accepts connections, as many at once as the options allow."""

    def __init__(self, job: Job, spool: Spool) -> None:
        self._job = job
        self._spool = spool
        self._loop = asyncio.get_running_loop()
        self._is_stopped = False
        self.sessions: set[_Session] = set()
        self._beginning: set[asyncio.Task[Any]] = set()
        self._connections = 0

    def start_accepting(self) -> None:
        for listener in self._job.sockets if not self._is_stopped else ():
            self._loop.add_reader(listener, self._accept, listener)

    def stop(self) -> None:
        self._is_stopped = True
        self._stop_accepting()
        for listener in self._job.sockets:
            listener.close()

    def is_busy(self) -> bool:
        return bool(self.sessions or self._beginning)

    def dismiss_idle(self) -> None:
        for session in [session for session in self.sessions if not session.is_receiving()]:
            session.dismiss()

    def ended(self, session: _Session) -> None:
        self._connections -= 1
        self.sessions.discard(session)
        self.start_accepting()

    def _stop_accepting(self) -> None:
        for listener in self._job.sockets:
            self._loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:  # another process accepted it
            return
        except OSError:  # out of file descriptors, or the client has disconnected already
            self._stop_accepting()
            self._loop.call_later(_SECONDS_AFTER_FAILED_ACCEPT, self.start_accepting)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._new_session, connection))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)
        self._connections += 1
        if self._connections >= self._job.options.max_connections:
            self._stop_accepting()

    def _new_session(self) -> _Session:
        options = self._job.options
        return _Session(
            self,
            _Hooks(self._job, self._spool),
            data_size_limit=options.max_message_bytes,
            enable_SMTPUTF8=True,
            hostname="localhost",  # otherwise aiosmtpd looks up the machine's name, which can take seconds
            ident="webdemo keeps your mail and sends it nowhere",
            timeout=options.timeout,
            loop=self._loop,
        )


class _Session(SMTP):
    def __init__(self, catcher: _Catcher, hooks: _Hooks, **settings: Any) -> None:
        super().__init__(hooks, **settings)
        self._catcher = catcher

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._catcher.sessions.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._catcher.ended(self)
        super().connection_lost(error)

    def is_receiving(self) -> bool:
        """Whether a transaction is in progress: from MAIL to the reply to DATA (RFC 5321 section 3.3)."""
        return self.envelope is not None and bool(self.envelope.mail_from)

    def dismiss(self) -> None:
        """Close the session; a server that shuts down says so with 421 (RFC 5321 section 3.8)."""
        if isinstance(self.transport, asyncio.Transport) and not self.transport.is_closing():
            self.transport.write(b"421 4.3.2 The server is shutting down.\r\n")
            self.transport.close()


class _Hooks:
    """The hooks that aiosmtpd calls during a transaction; it defines their names."""

    def __init__(self, job: Job, spool: Spool) -> None:
        self._job = job
        self._spool = spool

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= _MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        most = self._job.options
        client = f"{plain_field(session.host_name)} ([{session.peer[0]}])"
        trace = [
            f"Return-Path: {_in_brackets(envelope.mail_from)}",
            *(f"X-Envelope-To: {_in_brackets(address)}" for address in envelope.rcpt_tos),
            f"Received: from {client} by webdemo; {formatdate()}",
        ]
        message = "".join(f"{line}\r\n" for line in trace).encode() + envelope.original_content
        try:
            name = self._spool.add(message, most_messages=most.max_messages, most_bytes=most.max_spool_bytes)
        except OSError as exc:
            logging.error("A message could not be kept in %s: %s", self._spool.folder, exc.strerror)
            if exc.errno in _FULL:
                return "452 4.3.1 No room is left for mail"
            return "451 4.3.0 The message could not be kept; the log says why"
        recipients = ", ".join(map(log_field, envelope.rcpt_tos))
        self._job.log(
            f"{session.peer[0]} mail from {log_field(envelope.mail_from)} to {recipients}, "
            f"{len(message)} bytes, kept as {name}"
        )
        return f"250 2.0.0 Kept as {name}"


def _in_brackets(address: str) -> str:
    return f"<{plain_field(address).removeprefix('<').removesuffix('>')}>"
