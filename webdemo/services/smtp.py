"""An SMTP server (RFC 5321) that stores every message and delivers none. Runs in a server process.

The rule: 250 is sent only after the message is in the spool. Everything is limited: connections, recipients
and bytes of a message, stored messages.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from webdemo.servers import MOST_BYTES, Adapter, Job, option
from webdemo.services.spool import Spool, default_folder


@dataclass(frozen=True, slots=True)
class Options:
    spool: str = option("", "Folder for the messages. Default: a private folder of this user.")
    max_messages: int = option(100, "Messages kept; beyond that, the oldest is removed.")
    max_spool_bytes: int = option(
        100_000_000, "Bytes kept; beyond that, the oldest message is removed.", most=MOST_BYTES
    )
    max_message_bytes: int = option(10_000_000, "Largest message accepted, in bytes.", most=MOST_BYTES)
    max_connections: int = option(20, "Open connections; further ones wait.")
    timeout: int = option(300, "Seconds without a command after which a connection is closed.", least=1)


def serve(job: Job) -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    from webdemo.services.smtp_session import catch_mail

    spool = Spool(Path(job.options.spool) if job.options.spool else default_folder())
    spool.make()
    asyncio.run(catch_mail(job, spool))


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
