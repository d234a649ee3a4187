"""A comparison of fictitious servers that contains everything that a report can show."""

from __future__ import annotations

from webdemo.compare.results import (
    Behaviour,
    Comparison,
    Figure,
    Finding,
    Lifecycle,
    Machine,
    Measurement,
    Probe,
    Ratio,
    Server,
    Speed,
    Verdict,
)
from webdemo.compare.speed.cases import CASES

MACHINE = Machine("Linux 6.1 x86_64", "3.11.7", "A processor", 2, 8 << 30)


def server(label: str, **facts: object) -> Server:
    values: dict[str, object] = {"version": "1.2.3", "state": "up"}
    return Server(label, label.partition("?")[0], {}, **(values | facts))  # type: ignore[arg-type]


def probe(name: str, *, layer: str = "server") -> Probe:
    return Probe(
        name=name,
        group="headers" if layer == "server" else "app",
        layer=layer,  # type: ignore[arg-type]
        title=f"A request called <{name}>",
        request="GET / HTTP/1.1\\r\\n",
        section="RFC 9110 section 5.1" if layer == "server" else "",
        expected="200 & the header.",
        meaning="An app that reads it sees nothing.",
    )


def finding(name: str, label: str, verdict: Verdict, *, is_new: bool = False) -> Finding:
    if verdict in ("right", "missing"):
        return Finding(name, label, verdict, "200")
    return Finding(
        name,
        label,
        verdict,
        evidence="200, X-A: \x00",
        what=f"It is {verdict} there.",
        who_is_right="Others are, by RFC 9110 section 5.1.",
        meaning="An app that reads it sees nothing.",
        is_new=is_new,
    )


def exactly(value: float, *, by: float = 0.05, rounds: int = 6) -> Figure:
    return Figure(value, value * (1 - by), value * (1 + by), rounds)


def measurement(label: str, rate: float, **facts: object) -> Measurement:
    """A measurement, by default in the typical case."""
    values: dict[str, object] = {
        "case": "steady",
        "connections": 8,
        "requests_per_second": exactly(rate),
        "p50_ms": exactly(4000 / rate if rate else 0),
        "p90_ms": exactly(7000 / rate if rate else 0),
        "p99_ms": exactly(15000 / rate if rate else 0),
        "errors": 0,
        "cpu_us_per_request": exactly(1e6 / rate) if rate else None,
        "memory_bytes": exactly(2e7),
        "limited_by": "server",
    }
    return Measurement(server=label, **(values | facts))  # type: ignore[arg-type]


def comparison(
    servers: tuple[Server, ...] = (),
    *,
    findings: tuple[Finding, ...] | None = None,
    measurements: tuple[Measurement, ...] | None = None,
    ratios: tuple[Ratio, ...] = (),
    lifecycles: tuple[Lifecycle, ...] = (),
) -> Comparison:
    behaviour = speed = None
    if findings is not None:
        names = dict.fromkeys(one.probe for one in findings)
        probes = tuple(probe(n, layer="app" if n.startswith("GET ") else "server") for n in names)
        behaviour = Behaviour(probes, findings, seconds=1.0)
    if measurements is not None:
        speed = Speed("/", "wrk 4.1.0", 0.5, measurements, ratios, lifecycles, ("A note.",), 60.0)
    return Comparison(
        app="shop:app",
        made_at="2026-11-23T02:50:00+00:00",
        webdemo="0.1.0",
        machine=MACHINE,
        servers=servers,
        behaviour=behaviour,
        speed=speed,
    )


def everything() -> Comparison:
    """Six servers, one of them missing and one crashed; every verdict, every case."""
    rates = {"waitress": 6000.0, "gunicorn": 5800.0, "gunicorn?threads=1": 4100.0, "werkzeug": 1500.0}
    servers = (
        *map(server, rates),
        server("cheroot", state="missing", version=None, problem="pip install 'webdemo[servers]'"),
        server("gevent", state="crashed", problem="RuntimeError: no <loop>"),
    )
    verdicts: tuple[Verdict, ...] = ("right", "differs", "wrong", "dropped", "hung")
    findings = [
        finding(f"probe-{n}", label, verdicts[n * k % 5] if n % 3 else "right", is_new=n == 4)
        for n in range(30)
        for k, label in enumerate(rates)
    ]
    findings += [
        finding("GET /about", label, "differs" if k == 3 else "right") for k, label in enumerate(rates)
    ]
    findings += [finding(f"probe-{n}", "cheroot", "missing") for n in range(30)]
    measurements, ratios = [], []
    for case in CASES:
        for label, rate in rates.items():
            is_out = case.name == "slow clients" and label.startswith("gunicorn")
            own = 0.0 if is_out else rate * case.connections / (case.connections + 2)
            measurements.append(measurement(label, own, case=case.name, connections=case.connections))
            if label != "waitress" and not is_out:
                share = rate / rates["waitress"]
                is_significant = share < 0.9
                ratios.append(
                    Ratio(label, "waitress", case.name, case.connections, exactly(share), is_significant)
                )
    lifecycles = tuple(
        Lifecycle(label, exactly(0.4), exactly(0.1), 3 if label == "werkzeug" else 0, exactly(0.2))
        for label in rates
    )
    return comparison(
        servers,
        findings=tuple(findings),
        measurements=tuple(measurements),
        ratios=tuple(ratios),
        lifecycles=lifecycles,
    )
