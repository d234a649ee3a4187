"""The performance limits, as figures of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.cases import HANDLERS
from bench.tables import Table


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure, perhaps as a part of another one, and what it may be at most or must be at least."""

    title: str
    figure: str
    at_most: float | None = None
    at_least: float | None = None
    of: str | None = None
    unit: float = 1.0  # what the limit is written in: 1e-3 for milliseconds, 1e6 for megabytes
    unit_name: str = ""

    def measured(self, figures: Mapping[str, float]) -> float | None:
        """None where the run did not measure it."""
        value, whole = figures.get(self.figure), figures.get(self.of) if self.of else 1.0
        return None if value is None or whole is None else value / whole / self.unit

    def is_met(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )

    def text(self) -> str:
        sign, value = ("≤", self.at_most) if self.at_most is not None else ("≥", self.at_least)
        return f"{sign} {value:g}{self.unit_name}"


def _in_process() -> list[Limit]:
    limits = [
        Limit(f"{title} : bare", f"inproc.{case}.webdemo", at_most=most)
        for case, title, most in (
            ("hello", "hello", 2.0),
            ("json", "JSON", 1.2),
            ("name", "`/hello/<name>`", 1.75),
            ("routes", "last of 100 routes", 1.9),
            ("missing", "404", 2.5),
            ("page", "page of 10 items", 1.06),
            ("response", "hello by a `Response`", 3.6),
            ("static", "static, 1.5 KB", 1.6),
            ("unchanged", "static, 304", 1.6),
            ("large", "static, 1 MB", 1.15),
            ("no_file", "static, 404", 4.5),
        )
    ]
    limits += [
        Limit(f"{title} : Falcon", f"inproc.{case}.webdemo", at_most=most, of=f"inproc.{case}.falcon")
        for case, title, most in (
            ("hello", "hello", 0.3),
            ("name", "`/hello/<name>`", 0.4),
            ("routes", "last of 100 routes", 0.3),
            ("query", "query and cookie", 1.0),
            ("form", "form", 1.0),
        )
    ]
    most = {"multipart_small": 1.5, "multipart_large": 1.5}  # a library parses them
    for case in HANDLERS:
        own = f"inproc.{case.name}.webdemo"
        limits += [
            Limit(
                f"{case.title} as a handler : Falcon",
                own,
                at_most=most.get(case.name, 1.0),
                of=f"inproc.{case.name}.falcon",
            ),
            Limit(f"{case.title} as a handler : Bottle", own, at_most=1.0, of=f"inproc.{case.name}.bottle"),
        ]
    limits.append(Limit("all handlers : Falcon, geometric mean", "inproc.handlers", at_most=0.6))
    limits.append(
        Limit(
            "static, 1.5 KB : WhiteNoise indexed",
            "inproc.static.webdemo",
            at_most=0.4,
            of="inproc.static.whitenoise",
        )
    )
    return limits


def _in_instructions() -> list[Limit]:
    """A few limits that no other program on the machine can disturb."""
    limits = [
        Limit(f"{title} : bare, in instructions", f"instructions.{case}.webdemo", at_most=most)
        for case, title, most in (
            ("hello", "hello", 1.75),
            ("name", "`/hello/<name>`", 1.6),
            ("missing", "404", 2.2),
            ("response", "hello by a `Response`", 3.15),
            ("static", "static, 1.5 KB", 1.75),
            ("unchanged", "static, 304", 1.8),
            ("no_file", "static, 404", 3.7),
        )
    ]
    limits += [
        Limit(
            f"{title} as a handler : Falcon, in instructions",
            f"instructions.{case}.webdemo",
            at_most=most,
            of=f"instructions.{case}.falcon",
        )
        for case, title, most in (
            ("set_header", "a header set on a `Response`", 1.0),
            ("form_encoded", "form with encoded text", 0.95),
            ("two", "`/two/<x>/b/<y>`", 0.65),
            ("redirect", "redirect", 0.75),
            ("links", "page with `url_for` and `static`", 1.02),
        )
    ]
    figure = "instructions.handlers"
    limits.append(Limit("all handlers : Falcon, in instructions, geometric mean", figure, at_most=0.65))
    return limits


def _over_the_wire() -> list[Limit]:
    limits = []
    for server in ("waitress", "gunicorn", "werkzeug"):
        name = server.capitalize()
        limits += [
            Limit(f"hello over the wire : bare app, {name}", f"wire.{server}.webdemo", at_most=1.05),
            Limit(f"run layer without a log : own command, {name}", f"wire.layer.{server}.off", at_most=1.05),
            Limit(f"file of 4 KB : WhiteNoise, {name}", f"wire.small.{server}", at_most=0.8),
        ]
    for server, least in (("gunicorn", 0.95), ("waitress", 0.85), ("werkzeug", 0.75)):
        name = server.capitalize()
        for size in (10_000_000, 100_000_000):
            limits.append(
                Limit(
                    f"{size // 1_000_000} MB : nginx, {name}",
                    f"wire.large.{server}.{size}",
                    at_least=least,
                )
            )
        limits.append(
            Limit(
                f"memory, 100 MB : 10 MB file, {name}",
                f"wire.memory.{server}.100000000",
                at_most=1.1,
                of=f"wire.memory.{server}.10000000",
            )
        )
    for server in ("waitress", "gunicorn"):
        limits.append(
            Limit(
                f"requests per second : own command, {server.capitalize()}",
                f"threads.{server}",
                at_least=2.0,
            )
        )
    return limits


def _started() -> list[Limit]:
    limits = [
        Limit("ready : `flask run`", "start.flask", at_most=0.6),
        Limit("ready : bare `run_simple`", "start.run_simple", at_most=1.15),
        Limit("three servers ready : three commands", "start.together.ready", at_most=0.8),
        Limit("their memory : three commands'", "start.together.memory", at_most=0.66),
        Limit("their CPU : three commands'", "start.together.cpu", at_most=0.45),
        Limit("64 ports ready : 64 commands", "ports.one.ready", at_most=0.06),
        Limit("64 ports' memory : 64 commands'", "ports.one.memory", at_most=0.03),
        Limit(
            "memory of a port with its own process",
            "ports.each.memory",
            at_most=6,
            unit=1e6,
            unit_name=" MB",
        ),
    ]
    for server in ("werkzeug", "waitress", "gunicorn"):
        limits.append(
            Limit(
                f"answers again when killed, {server.capitalize()}",
                f"start.again.{server}",
                at_most=50,
                unit=1e-3,
                unit_name=" ms",
            )
        )
    for server in ("werkzeug", "waitress", "cheroot", "gevent", "hypercorn", "wsgiref"):
        limits.append(
            Limit(f"stop when idle, {server}", f"start.stop.{server}", at_most=60, unit=1e-3, unit_name=" ms")
        )
    return limits


LIMITS = (*_in_process(), *_in_instructions(), *_over_the_wire(), *_started())


def unmet(figures: Mapping[str, float]) -> list[Limit]:
    """Those that were measured and do not hold."""
    return [
        limit
        for limit in LIMITS
        if (value := limit.measured(figures)) is not None and not limit.is_met(value)
    ]


def table(figures: Mapping[str, float]) -> Table:
    """Every limit, what was measured, and whether it is met."""
    rows = []
    for limit in LIMITS:
        value = limit.measured(figures)
        measured = "not measured" if value is None else f"{value:.2f}{limit.unit_name}"
        met = "" if value is None else "yes" if limit.is_met(value) else "**no**"
        rows.append([limit.title, limit.text(), measured, met])
    return Table("Performance limits", ["what", "limit", "measured", "met"], rows)
