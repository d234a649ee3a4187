"""The output of `webdemo port`, as text and as JSON.

The rule: both are made from the same facts. "Free" means that listening on the port has just succeeded.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from webdemo.errors import WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.holders import Listening, hidden_hint, tcp_listeners, unix_listeners
from webdemo.net.listener import close, listen, next_free_port
from webdemo.net.ports import PortFacts, find_shadows, gather_facts, range_of, read_targets
from webdemo.net.uses import uses
from webdemo.text import format_duration, table, terminal_line

_FULL_RANGE = 32
"""Up to this many ports are all listed; of more, only those in use or with a known use."""
_FEW = 3
"""Up to this many ports are shown in full detail."""


@dataclass(frozen=True, slots=True)
class PortReport:
    facts: PortFacts
    free: bool
    """Whether this user could listen on it, on loopback, a moment ago."""
    next_free: int | None
    """The next port that this user could listen on."""
    advice: tuple[str, ...]


def answer(arguments: Sequence[str] = (), *, as_json: bool = False, width: int | None = None) -> str:
    """The output of `webdemo port ARGUMENTS`, with tables of this width.

    Raises BindTextError for an invalid argument.
    """
    if not arguments:
        listening = [*tcp_listeners(), *unix_listeners()]
        return dump_json(listening) if as_json else render_listening(listening, width=width)
    targets = list(dict.fromkeys(port for argument in arguments for port in read_targets(argument)))
    if len(targets) <= _FEW:
        reports = [examine(port) for port in targets]
        return dump_json(reports) if as_json else "\n\n".join(render_report(report) for report in reports)
    listening = tcp_listeners()
    if as_json:
        return dump_json([gather_facts(port, listening) for port in _pick(targets, listening)])
    return render_ports(targets, listening, width=width)


def examine(port: int) -> PortReport:
    """Facts and advice about a port. Listens on it, and on the next free one, for a moment."""
    facts = gather_facts(port)
    failure = _try(Bind(port=port)) if port else None
    next_free = next_free_port(Bind(port=port)) if port else free_port()
    return PortReport(
        facts=facts,
        free=port != 0 and failure is None,
        next_free=next_free,
        advice=tuple(_advise(facts, failure, next_free)),
    )


def free_port() -> int:
    """A port that is free on both loopback addresses. It is not reserved: prefer serving on `:0`."""
    sockets = listen(Bind(port=0))
    port = int(sockets[0].getsockname()[1])
    close(sockets)
    return port


def dump_json(value: object) -> str:
    """Facts as JSON, keyed by the fields of their dataclasses; `facts` of a PortReport is flattened."""
    return json.dumps(value, default=_as_plain, indent=2)


def render_listening(listening: Sequence[Listening], *, width: int | None = None) -> str:
    """A table of all listening sockets, and a sentence for each that hides another."""
    if not listening:
        return "Nothing listens on this machine, as far as this user can see."
    now = time.time()
    rows = [("PORT", "ADDRESS", "USER", "PID", "SINCE", "COMMAND")]
    for one in listening:
        process = one.processes[0] if one.processes else None
        rows.append(
            (
                "unix" if one.path else str(one.port),
                one.path or one.host,
                one.user or "?",
                str(process.pid) if process else "?",
                format_duration(now - process.started) if process else "?",
                process.command if process else "?",
            )
        )
    lines = table(rows, width=width)
    hidden = sum(not one.processes for one in listening)
    if hidden:
        who = "One program is" if hidden == 1 else f"{hidden} programs are"
        lines += ["", f"{who} hidden: {hidden_hint()}."]
    shadows = find_shadows([one for one in listening if not one.path])
    return "\n".join([*lines, *([""] if shadows else []), *shadows])


def render_report(report: PortReport) -> str:
    """Everything known about a port, one line for each fact."""
    facts = report.facts
    range_ = facts.range
    rows = [
        ("range", f"{range_.name} ({range_.other_name}), {range_.first}-{range_.last}: {range_.meaning}"),
        *(("used for", use.meaning) for use in facts.uses),
        *(
            (
                "IANA",
                " ".join(
                    filter(None, (service.name, f"({', '.join(service.transports)})", service.description))
                ),
            )
            for service in facts.iana
        ),
        *(("system", ", ".join((service.name, *service.aliases))) for service in facts.system),
    ]
    if facts.blocked_by_browsers:
        rows.append(("browsers", "refuse to open it (the Fetch standard's port blocking)"))
    if facts.needs_privilege:
        rows.append(("privileges", f"needed: this user may listen on {facts.lowest_unprivileged} and above"))
    if facts.is_ephemeral and facts.ephemeral:
        low, high = facts.ephemeral
        rows.append(("kernel", f"uses ports {low}-{high} for outgoing connections, possibly this one"))
    rows += [("listens", f"{one.place} is {one.describe()}") for one in facts.listening]
    rows += [("note", shadow) for shadow in facts.shadows]
    state = "free" if report.free else "in use" if facts.listening else "unavailable"
    rows.append(("state", "requests any free port" if facts.port == 0 else state))
    rows += [("advice", advice) for advice in report.advice]
    labels = [
        label if index == 0 or rows[index - 1][0] != label else "" for index, (label, _) in enumerate(rows)
    ]
    lines = [f"  {label:<11} {terminal_line(text)}" for label, (_, text) in zip(labels, rows, strict=True)]
    return "\n".join([f"Port {facts.port}", *lines])


def render_ports(ports: Sequence[int], listening: Sequence[Listening], *, width: int | None = None) -> str:
    """A table of ports: all of a short list; of a long list only those in use or with a known use."""
    held = {one.port: one for one in reversed(listening)}
    picked = _pick(ports, listening)
    rows = [("PORT", "RANGE", "USED FOR", "LISTENS")]
    for port in picked:
        meaning = "; ".join(use.name for use in uses(port))
        rows.append((str(port), range_of(port).name, meaning, held[port].describe() if port in held else ""))
    taken = sum(port in held for port in ports)
    lines = table(rows, width=width) if picked else []
    return "\n".join([*lines, f"{len(ports)} ports, {taken} of them in use."])


def _pick(ports: Sequence[int], listening: Sequence[Listening]) -> list[int]:
    """The ports to list."""
    held = {one.port for one in listening}
    return [port for port in ports if len(ports) <= _FULL_RANGE or port in held or uses(port)]


def _advise(facts: PortFacts, failure: WebdemoError | None, next_free: int | None) -> list[str]:
    if facts.port == 0:
        return [f"Serve on any free port: webdemo --port 0 (free now: {next_free})"]
    advice = []
    if facts.blocked_by_browsers:
        advice.append("Use another port for pages: no browser opens this one.")
    elif failure is None:
        advice.append(f"Serve there: webdemo --port {facts.port}")
    if failure is not None and not facts.listening:
        advice.append(failure.remedy)
    if facts.listening:
        if any(process.is_mine for one in facts.listening for process in one.processes):
            advice.append(f"Stop it: webdemo port {facts.port} --stop")
        if next_free is not None:
            advice.append(f"Use the next free port: webdemo --port {next_free}")
    if facts.is_ephemeral and facts.ephemeral:
        advice.append(
            f"For a service choose one below {facts.ephemeral[0]}: "
            "an outgoing connection may be using this one."
        )
    return advice


def _try(bind: Bind) -> WebdemoError | None:
    try:
        close(listen(bind))
    except WebdemoError as exc:
        return exc
    return None


def _as_plain(value: Any) -> dict[str, Any]:
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, PortReport):
        return _as_plain(value.facts) | {name: fact for name, fact in fields.items() if name != "facts"}
    return fields
