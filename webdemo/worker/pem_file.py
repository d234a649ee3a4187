"""A certificate generated for this run, as a file, which servers require. Runs in the server processes.

Each process has its own file, so that it exists as long as the process: some servers read it for each
connection.
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
    """A memfd on Linux, which ends with the process; else a file in a temporary folder (mode 0700)."""
    if hasattr(os, "memfd_create") and _OPEN_FILES.is_dir():
        with os.fdopen(os.memfd_create("webdemo-tls"), "w") as file:
            file.write(made.pem)
            file.flush()
            path = _OPEN_FILES / str(file.fileno())
            yield Certificate(path, path)
        return
    maker = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix="webdemo-tls-"))
    try:
        path = folder / "certificate.pem"
        path.write_text(made.pem)
        yield Certificate(path, path)
    finally:
        if os.getpid() == maker:  # not in workers that the server has forked
            shutil.rmtree(folder, ignore_errors=True)
