"""An SMTP server (RFC 5321) that stores every message and delivers none. Runs in a server process.

The rule: 250 is sent only after the message is in the spool. Everything is limited: connections, recipients
and bytes of a message, stored messages.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

from webdemo.servers import LINGER_SECONDS, Adapter, Job, option
from webdemo.services.spool import Spool, default_folder
from webdemo.text import log_field, plain_field

_MOST_RECIPIENTS = 100  # the minimum that RFC 5321 section 4.5.3.1.8 requires
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SECONDS_BETWEEN_LOOKS = 0.05
_SECONDS_AFTER_FAILED_ACCEPT = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    spool: str = option("", "Folder that keeps the messages; without it one of your user's own.")
    max_messages: int = option(100, "Messages kept; beyond it the oldest goes.")
    max_spool_bytes: int = option(100_000_000, "Bytes kept; beyond it the oldest message goes.")
    max_message_bytes: int = option(10_000_000, "Largest message taken, in bytes.")
    max_connections: int = option(20, "Connections open at once; further ones wait.")
    timeout: int = option(300, "Seconds without a command after which a connection is closed.")


def serve(job: Job) -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    spool = Spool(Path(job.options.spool) if job.options.spool else default_folder())
    spool.make()
    asyncio.run(_catch(job, spool))


async def _catch(job: Job, spool: Spool) -> None:
    from aiosmtpd.smtp import SMTP

    options: Options = job.options
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    sessions: set[Session] = set()
    beginning: set[asyncio.Task[Any]] = set()
    connections = 0

    class Session(SMTP):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            sessions.add(self)
            super().connection_made(transport)

        def connection_lost(self, error: Exception | None) -> None:
            nonlocal connections
            connections -= 1
            sessions.discard(self)
            open_doors()
            super().connection_lost(error)

        def is_receiving(self) -> bool:
            """Whether a transaction is in progress: from MAIL to the reply to DATA (RFC 5321 section 3.3)."""
            return self.envelope is not None and bool(self.envelope.mail_from)

        def dismiss(self) -> None:
            """Close the session; a server that shuts down says so with 421 (RFC 5321 section 3.8)."""
            if isinstance(self.transport, asyncio.Transport) and not self.transport.is_closing():
                self.transport.write(b"421 4.3.2 This server stops.\r\n")
                self.transport.close()

    def new_session() -> Session:
        return Session(
            _Handler(job, spool),
            data_size_limit=options.max_message_bytes,
            enable_SMTPUTF8=True,
            hostname="localhost",  # otherwise aiosmtpd looks up the machine's name, which can take seconds
            ident="webdemo keeps your mail and sends it nowhere",
            timeout=options.timeout,
            loop=loop,
        )

    def open_doors() -> None:
        for listener in job.sockets if not stopping.is_set() else ():
            loop.add_reader(listener, accept, listener)

    def close_doors() -> None:
        for listener in job.sockets:
            loop.remove_reader(listener)

    def accept(listener: socket.socket) -> None:
        nonlocal connections
        try:
            connection, _ = listener.accept()
        except BlockingIOError:  # another process accepted it
            return
        except OSError:  # out of file descriptors, or the client has disconnected already
            close_doors()
            loop.call_later(_SECONDS_AFTER_FAILED_ACCEPT, open_doors)
            return
        connection.setblocking(False)
        task = loop.create_task(loop.connect_accepted_socket(new_session, connection))
        beginning.add(task)
        task.add_done_callback(beginning.discard)
        connections += 1
        if connections >= options.max_connections:
            close_doors()

    loop.add_reader(job.stopping.fileno(), stopping.set)
    open_doors()
    job.ready()
    await stopping.wait()
    loop.remove_reader(job.stopping.fileno())
    close_doors()
    for listener in job.sockets:
        listener.close()
    await asyncio.sleep(LINGER_SECONDS if sessions or beginning else 0)
    while sessions or beginning:
        for session in [s for s in sessions if not s.is_receiving()]:
            session.dismiss()
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


class _Handler:
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
        options: Options = self._job.options
        client = f"{plain_field(session.host_name)} ([{session.peer[0]}])"
        trace = [
            f"Return-Path: {_in_brackets(envelope.mail_from)}",
            *(f"X-Envelope-To: {_in_brackets(address)}" for address in envelope.rcpt_tos),
            f"Received: from {client} by webdemo; {formatdate()}",
        ]
        message = "".join(f"{line}\r\n" for line in trace).encode() + envelope.original_content
        try:
            name = self._spool.add(
                message, most_messages=options.max_messages, most_bytes=options.max_spool_bytes
            )
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


adapter = Adapter(
    name="smtp",
    serve=serve,
    summary="a mail catcher: what is sent to it can be read at /mail of the demo site",
    protocol="smtp",
    greeting=b"220",  # RFC 5321 section 3.1
    distribution="aiosmtpd",
    extra="services",
    options=Options,
    unix=False,
    bounds=True,
)
