"""Opens the sockets of a run, where a terminal is asked what to do about a port in use; and the browser."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import click

from webdemo.errors import PortInUse
from webdemo.net.bind import Bind
from webdemo.net.listener import DEFAULT_PORT, listen_all, listen_default
from webdemo.text import terminal_line

Opened = list[tuple[Bind, list[socket.socket]]]


def open_sockets(wanted: Sequence[Bind], *, host: str | None, option: str = "") -> tuple[Opened, str | None]:
    """Open the sockets of every bind; the note says if the default port moved. Raises PortUnavailable.

    `option` is what the only bind was given with, unless that is --bind or --port.
    """
    if not wanted:
        bind, sockets, taken = listen_default(Bind(host=host, port=DEFAULT_PORT))
        return [(bind, sockets)], f"{taken.problem} Using {bind.port} instead." if taken else None
    while True:
        try:
            return [
                (with_real_port(bind, sockets), sockets) for bind, sockets in listen_all(wanted, option)
            ], None
        except PortInUse as exc:
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise
            wanted = choose_remedy(exc, wanted)


@contextmanager
def closed_at_the_end(opened: Opened) -> Iterator[None]:
    """Close all sockets in `opened` at the end, including those added meanwhile."""
    try:
        yield
    finally:
        for _, sockets in opened:
            for sock in sockets:
                sock.close()


def with_real_port(bind: Bind, sockets: list[socket.socket]) -> Bind:
    """The bind with the port that the system chose, if it asked for port 0."""
    return replace(bind, port=sockets[0].getsockname()[1]) if bind.port == 0 else bind


def choose_remedy(error: PortInUse, wanted: Sequence[Bind]) -> Sequence[Bind]:
    """Ask for a remedy, apply it, and return the binds to try next; raises `error` if the user gives up."""
    from webdemo.net import stopping

    click.echo(terminal_line(error.problem), err=True)
    remedies = {}
    if error.pid is not None:
        remedies["stop it, and use the port"] = "stop"
    if error.free is not None:
        remedies[f"use {error.free}, which is free"] = "move"
    remedies["give up"] = "give up"
    for number, text in enumerate(remedies, 1):
        click.echo(f"  {number}  {text}", err=True)
    number = click.prompt("Which", type=click.IntRange(1, len(remedies)), default=len(remedies), err=True)
    match list(remedies.values())[number - 1]:
        case "stop":
            for stopped in stopping.stop(stopping.find_stoppable(error.port)):
                click.echo(stopped.describe(), err=True)
            return wanted
        case "move":
            return [replace(b, port=error.free) if b.port == error.port else b for b in wanted]
    raise error


def open_browser(urls: Iterable[str], say: Callable[[str], object]) -> None:
    """Open the first HTTP URL in the user's browser, without waiting; `say` gets a line if that fails."""
    url = next((url for url in urls if url.startswith("http")), None)
    if url is None:
        say("--open: no URL is one that a browser opens.")
        return

    def open_it() -> None:
        import webbrowser

        if not webbrowser.open(url):
            say("--open: there is no browser on this machine. Open the URL yourself, or set BROWSER.")

    threading.Thread(target=open_it, daemon=True).start()
