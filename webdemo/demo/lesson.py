"""/learn: a lesson about ports in five steps, with this run's own servers as the example.

Facts about this machine (who holds the port, which servers run) are shown only to clients on it; others read
an explanation instead. The fourth step really tries to listen, so it requires a POST from this site's page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from werkzeug.exceptions import NotFound

from webdemo.demo.connection_path import ConnectionPath, python_version, read_connection_path
from webdemo.demo.port_line import percent, text_anchor
from webdemo.demo.running_servers import RunningServer, running_servers
from webdemo.errors import WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.listener import listen
from webdemo.net.ports import RANGES, ephemeral_range, range_of
from webdemo.web import Request, Response
from webdemo.web.page import Site
from webdemo.web.visitor import is_at_this_machine


@dataclass(frozen=True, slots=True)
class Step:
    slug: str
    title: str
    summary: str

    @property
    def template(self) -> str:
        return f"lesson_{self.slug.replace('-', '_')}.html"


STEPS = (
    Step("port", "What a port is", "A number that finds the program, where the address found the machine."),
    Step("url", "Name, address, port", "How the text in the address bar becomes a connection."),
    Step("ranges", "Three ranges", "Who assigns the numbers, and which are yours."),
    Step("one-server", "One server on a port", "Try to take a port that is taken, and see what happens."),
    Step(
        "many-servers",
        "Many servers on a machine",
        "See them side by side, and what keeps them apart.",
    ),
)

# More would only lengthen the list and the Content-Security-Policy header.
MOST_OTHERS = 8


@dataclass(frozen=True, slots=True)
class Try:
    """The outcome of trying to listen on the port: the error as the terminal prints it, or None."""

    port: int
    error: WebdemoError | None


def add_lesson(site: Site) -> None:
    def show(
        request: Request, step: Step, status: int = 200, tried: Try | None = None, problem: str = ""
    ) -> Response:
        connection = read_connection_path(request.environ)
        number = STEPS.index(step)
        may_see = is_at_this_machine(request.environ)
        running = running_servers() if may_see and step is STEPS[-1] else []
        others = other_origins(connection, running)
        response = site.page(
            step.template,
            status,
            connection=connection,
            steps=STEPS,
            step=step,
            number=number + 1,
            before=STEPS[number - 1] if number else None,
            after=STEPS[number + 1] if number + 1 < len(STEPS) else None,
            may_see=may_see,
            ranges=RANGES,
            port_range=range_of(connection.port) if connection.port else None,
            client_port_range=range_of(connection.client_port) if connection.client_port else None,
            ephemeral=ephemeral_range() if may_see else None,
            percent=percent,
            text_anchor=text_anchor,
            python=python_version(),
            running=running,
            others=others,
            tried=tried,
            problem=problem,
        )
        if others:
            # The policy must permit the request, so that it is the browser's same-origin policy that hides
            # the response from the page.
            response.headers["Content-Security-Policy"] += f"; connect-src 'self' {' '.join(others)}"
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
        return show(request, step, tried=take(port))


def take(port: int) -> Try:
    """Try to listen on the port as a second server would, and close the sockets at once."""
    try:
        sockets = listen(Bind(port=port))
    except WebdemoError as exc:
        return Try(port, exc)
    for sock in sockets:
        sock.close()
    return Try(port, None)


def other_origins(connection: ConnectionPath, running: Sequence[RunningServer]) -> list[str]:
    """The origins of the other servers, by the host name that the visitor uses; at most MOST_OTHERS.

    A content security policy cannot name an IPv6 address, so 127.0.0.1 stands in for one.
    """
    name = "127.0.0.1" if connection.name is None or ":" in connection.name else connection.name
    found = []
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
