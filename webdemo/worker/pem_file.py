"""A certificate that was made for this run, as the file that servers want to be given.

The file is this process's own, so that nobody can take it away: some servers read it at each connection.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webdemo.servers import Certificate, MadeCertificate

_OPEN_FILES = Path("/proc/self/fd")


@contextmanager
def as_file(made: MadeCertificate) -> Iterator[Certificate]:
    """In memory where Linux lends a file there, which ends with the process; else in a folder of its own."""
    if hasattr(os, "memfd_create") and _OPEN_FILES.is_dir():
        with os.fdopen(os.memfd_create("webdemo-tls"), "w") as file:
            file.write(made.pem)
            file.flush()
            path = _OPEN_FILES / str(file.fileno())
            yield Certificate(path, path)
        return
    maker = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix="webdemo-tls-"))  # mode 0700
    try:
        path = folder / "certificate.pem"
        path.write_text(made.pem)
        yield Certificate(path, path)
    finally:
        if os.getpid() == maker:  # a server's own workers leave it to the others
            shutil.rmtree(folder, ignore_errors=True)
