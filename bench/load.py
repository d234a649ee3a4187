"""Load by wrk, over loopback, measured as `webdemo compare` does it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from webdemo.compare.speed.load import Load, find_generator


def is_there() -> bool:
    return find_generator(None).wrk is not None


def run(
    port: int,
    path: str,
    *,
    seconds: float,
    connections: int = 8,
    cpus: AbstractSet[int] | None = None,
    reconnect: bool = False,
) -> Load:
    """Load the path for `seconds`. Raises RuntimeError if a request failed.

    `reconnect`: a new connection for each request, for servers without keep-alive. Failed connections are
    ignored then, because wrk reports some closes as errors.
    """
    headers = ("Connection: close",) if reconnect else ()
    generator = find_generator(frozenset(cpus) if cpus else None)
    found = generator.run(port, path, connections=connections, seconds=seconds, headers=headers)
    return checked(found, reconnect=reconnect)


def checked(found: Load, *, reconnect: bool) -> Load:
    if found.error_responses or (found.failed_connections and not reconnect):
        raise RuntimeError(
            f"wrk: {found.error_responses} error responses, {found.failed_connections} failed connections"
        )
    return found
