"""/learn: a lesson about ports in five steps and five questions, with this run's servers as the example.

Facts about this machine (which programs listen, which servers run) are shown only to clients on it; others
read an explanation instead. The fourth step really tries to listen, so it requires a POST from this site's
page. Answers to the questions are in the query, so that they are checked without JavaScript.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from werkzeug.exceptions import NotFound

from webdemo.demo.connection_path import (
    ConnectionPath,
    addresses_of,
    python_version,
    read_connection_path,
)
from webdemo.demo.port_line import line_context
from webdemo.demo.running_servers import RunningServer, running_servers
from webdemo.errors import WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.holders import Listening, tcp_listeners
from webdemo.net.listener import listen
from webdemo.net.ports import lowest_unprivileged_port, needs_privilege
from webdemo.net.uses import USES
from webdemo.web import Request, Response
from webdemo.web.page import Site
from webdemo.web.visitor import is_at_this_machine


@dataclass(frozen=True, slots=True)
class Step:
    slug: str
    title: str
    summary: str
    shows_machine: bool = True
    """Whether it shows what listens and runs on this machine, which takes a while to find."""

    @property
    def template(self) -> str:
        return f"lesson_{self.slug.replace('-', '_')}.html"


STEPS = (
    Step("port", "What a port is", "An address identifies a machine; a port identifies a program on it."),
    Step(
        "url",
        "From URL to app",
        "Name, address, port, server, app: the path of this request, and back.",
        False,
    ),
    Step("ranges", "Three ranges", "Who assigns port numbers, and which of them you can use."),
    Step("one-server", "One server per port", "Try to listen on a port in use, and see what happens.", False),
    Step(
        "many-servers", "Many servers, one machine", "Each has its own port, and to browsers its own origin."
    ),
    Step("questions", "Five questions", "Your answers are checked against this machine."),
)

WELL_KNOWN = tuple(use for use in USES if use.port in (20, 21, 25, 80, 443))
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
MOST_DOORS = 6

# More would only lengthen the list and the Content-Security-Policy header.
MOST_OTHERS = 8


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of an attempt to listen on the port: the error as the terminal prints it, or None."""

    port: int
    error: WebdemoError | None


@dataclass(frozen=True, slots=True)
class Door:
    """A port in the picture of a machine, and the program that listens there; "" if none does."""

    port: int
    program: str


def add_lesson(site: Site) -> None:
    def show(
        request: Request, step: Step, status: int = 200, attempt: Attempt | None = None, problem: str = ""
    ) -> Response:
        connection = read_connection_path(request.environ)
        number = STEPS.index(step)
        may_see = is_at_this_machine(request.environ)
        look = may_see and step.shows_machine
        running = running_servers() if look else []
        listening = tcp_listeners() if look else []
        origins = other_origins(connection, running, listening) if step.slug == "many-servers" else []
        response = site.page(
            step.template,
            status,
            **line_context(connection, may_see),
            **_machine(connection, running, listening),
            steps=STEPS,
            step=step,
            number=number + 1,
            before=STEPS[number - 1] if number else None,
            after=STEPS[number + 1] if number + 1 < len(STEPS) else None,
            python=python_version(),
            origins=origins,
            attempt=attempt,
            problem=problem,
            answers=request.args,
        )
        if origins:
            # The policy must permit the request, so that it is the browser's same-origin policy that hides
            # the response from the page.
            response.headers["Content-Security-Policy"] += f"; connect-src 'self' {' '.join(origins)}"
        return response

    @site.app.get("/learn")
    def learn(request: Request) -> Response:
        return site.page("learn.html", steps=STEPS, connection=read_connection_path(request.environ))

    @site.app.get("/learn/<slug>")
    def learn_step(request: Request, slug: str) -> Response:
        return show(request, _find(slug))

    @site.local_form("/learn/one-server")
    def take_port(request: Request) -> Response:
        """Try to listen on the port that received this request."""
        step = _find("one-server")
        port = read_connection_path(request.environ).port
        if port is None:
            return show(request, step, 409, problem="This server does not say which port it listens on.")
        return show(request, step, attempt=try_to_listen(port))


def _machine(
    connection: ConnectionPath, running: Sequence[RunningServer], listening: Sequence[Listening]
) -> dict[str, Any]:
    """What the steps show of this machine; without listeners, what holds for every machine."""
    in_use = {connection.port, *(one.port for one in listening)}
    return {
        "running": running,
        "doors": doors(connection, running, listening),
        "in_use": in_use,
        "free_port": _free_port(in_use),
        "needs_privilege": bool(listening) and needs_privilege(80),
        "lowest_unprivileged": lowest_unprivileged_port() if listening else 1024,
        "well_known": WELL_KNOWN,
        "loopback_names": [
            (name, addresses_of(name.strip("[]")), reaches(name, connection.port, listening))
            for name in LOOPBACK_NAMES
        ],
    }


def _free_port(in_use: Container[int | None]) -> int:
    return next(port for port in range(8000, 65536) if port not in in_use)


def try_to_listen(port: int) -> Attempt:
    """Try to listen on the port as a second server would, and close the sockets at once."""
    try:
        sockets = listen(Bind(port=port))
    except WebdemoError as exc:
        return Attempt(port, exc)
    for sock in sockets:
        sock.close()
    return Attempt(port, None)


def doors(
    connection: ConnectionPath, running: Sequence[RunningServer], listening: Sequence[Listening]
) -> list[Door]:
    """The ports to draw: this page's, then those of the servers that run, then others, then a closed one.

    Without `listening`, which a client on another machine does not see, only this page's.
    """
    programs = {connection.port: connection.server or "this server"} if connection.port else {}
    for server in running:
        programs |= {port: server.server for port in server.ports if port not in programs}
    for one in listening:
        if one.processes:
            holder = one.processes[0]
            programs.setdefault(one.port, "a webdemo" if holder.is_webdemo else holder.command)
        else:
            programs.setdefault(one.port, "a hidden program")
    found = [Door(port, program) for port, program in programs.items()][: MOST_DOORS - 1]
    if listening:
        found.append(Door(_free_port(programs), ""))
    return found


def reaches(name: str, port: int | None, listening: Sequence[Listening]) -> bool:
    """Whether a program listens on the port at an address of this loopback name."""
    addresses = set(addresses_of(name.strip("[]")))
    addresses |= {"::" if ":" in address else "0.0.0.0" for address in addresses}
    return any(one.port == port and one.host in addresses for one in listening)


def other_origins(
    connection: ConnectionPath, running: Sequence[RunningServer], listening: Sequence[Listening] = ()
) -> list[str]:
    """Origins to compare this page's with: this server by another name, other servers by this name.

    A content security policy cannot name an IPv6 address, so 127.0.0.1 stands in for one.
    """
    name = "127.0.0.1" if connection.name is None or ":" in connection.name else connection.name
    found = [
        f"{connection.scheme}://{other}:{connection.port}"
        for other in LOOPBACK_NAMES[:2]
        if other != connection.name and reaches(other, connection.port, listening)
    ]
    for one in running:
        for url in one.urls if one.state == "up" else ():
            scheme, _, rest = url.partition("://")
            host, _, port = rest.rstrip("/").rpartition(":")
            if scheme in ("http", "https") and int(port) != connection.port and ":" not in host:
                found.append(f"{scheme}://{name}:{port}")
    return list(dict.fromkeys(found))[:MOST_OTHERS]


def _find(slug: str) -> Step:
    for step in STEPS:
        if step.slug == slug:
            return step
    raise NotFound
