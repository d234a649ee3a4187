"""Load by wrk, over loopback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

_COUNT = re.compile(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b")
_BYTES = re.compile(r"Transfer/sec:\s+([\d.]+)(B|KB|MB|GB)")
_FAILED = re.compile(r"(?:Non-2xx or 3xx responses|Socket errors).*")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_SIZES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


@dataclass(frozen=True, slots=True)
class Load:
    requests: int
    per_second: float
    bytes_per_second: float


def is_there() -> bool:
    return shutil.which("wrk") is not None


def run(
    url: str,
    *,
    seconds: float,
    connections: int = 8,
    cpus: Sequence[int] | None = None,
    reconnect: bool = False,
) -> Load:
    """Load the URL for `seconds`, rounded to whole ones. Raises RuntimeError if a response is an error.

    `reconnect`: a new connection for each request, for servers without keep-alive.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    if reconnect:
        command += ["-H", "Connection: close"]
    result = subprocess.run(
        [*command, url],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=True,
        preexec_fn=None if cpus is None else lambda: os.sched_setaffinity(0, cpus),
    )
    return read(result.stdout, reconnect=reconnect)


def read(text: str, *, reconnect: bool = False) -> Load:
    """Parse wrk's output. With `reconnect`, socket errors do not count: wrk reports some closes as errors."""
    failed = _FAILED.search(text)
    if failed is not None and ("Non-2xx" in failed[0] or not reconnect):
        raise RuntimeError(f"wrk: {failed[0]}")
    count, size = _COUNT.search(text), _BYTES.search(text)
    if count is None or size is None:
        raise RuntimeError(f"wrk said something else than expected: {text}")
    seconds = float(count[2]) * _SECONDS[count[3]]
    requests = int(count[1])
    return Load(requests, requests / seconds, float(size[1]) * _SIZES[size[2]])
