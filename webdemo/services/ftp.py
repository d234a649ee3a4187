"""An anonymous, read-only FTP server for one folder (RFC 959, 2428, 3659). Runs in a server process.

The rule: it serves what the web server would serve from the folder: no dotfiles, and no symlink leads out
of it. A name is always sent as one line, whatever characters it contains. The server never opens a
connection (RFC 2577, the bounce attack): all data connections are passive.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from webdemo import assets
from webdemo.errors import UsageError
from webdemo.servers import Adapter, Job, option


@dataclass(frozen=True, slots=True)
class Options:
    directory: str = option("", "The folder. Default: that of --directory, or the demo site's files.")
    max_connections: int = option(100, "Open connections, including those for data.")
    timeout: int = option(300, "Seconds without a command after which a connection is closed.")


def serve(job: Job) -> None:
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    from webdemo.services.ftp_session import serve_folder

    root = Path(job.options.directory or job.directory or assets.STATIC).resolve()
    if not root.is_dir() or not os.access(root, os.R_OK | os.X_OK):
        raise UsageError(
            f"The folder {root} cannot be served: it does not exist, or cannot be read.",
            remedy="Choose another: ftp://:2121?directory=DIR",
        )
    serve_folder(job, root)


adapter = Adapter(
    name="ftp",
    serve=serve,
    summary="files to read: the folder of --directory, or the demo site's",
    protocol="ftp",
    greeting=b"220",  # RFC 959 section 5.4
    distribution="pyftpdlib",
    extra="services",
    options=Options,
    unix=False,
    bounds=True,
)
