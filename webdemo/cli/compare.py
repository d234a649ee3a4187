"""`webdemo compare`: does the app behave the same on every server, and how fast is it?"""

from __future__ import annotations

import datetime
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from webdemo import __version__
from webdemo.cli import Seconds, completing
from webdemo.compare import runner
from webdemo.compare.behaviour import hosts, own_paths, probing
from webdemo.compare.behaviour.app_requests import AppRequest, of_har, of_paths, of_routes
from webdemo.compare.machine import this_machine
from webdemo.compare.report import accepted, saved, terminal
from webdemo.compare.report.answer import answer
from webdemo.compare.report.junit import to_junit
from webdemo.compare.report.wording import counted
from webdemo.compare.results import Behaviour, Comparison, Server, Speed
from webdemo.compare.speed.rounds import measure, seconds_per_round
from webdemo.errors import UsageError, WebdemoError
from webdemo.worker.app_import import DEMO_SITE, Target

DIFFERENCES = 1


_several = partial(click.option, multiple=True)
_file = partial(click.option, type=click.Path(path_type=Path), metavar="FILE")


def _writable(_context: click.Context, _parameter: click.Parameter, file: Path | None) -> Path | None:
    """Refuse at once a file that could not be written at the end."""
    if file and (file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK)):
        raise UsageError(f"{file} cannot be written.", remedy="Choose a file in a writable folder.")
    return file


_output = partial(_file, callback=_writable)


@click.command()
@click.option("--app", default=DEMO_SITE, metavar="MODULE:ATTR", show_default=True, help="The WSGI app.")
@_several(
    "-s",
    "--server",
    "labels",
    metavar="NAME[?option=value]",
    shell_complete=completing.servers,
    help="A server to compare, for example 'gunicorn?threads=1'. Default: all. May be repeated.",
)
@_several(
    "--path",
    "paths",
    metavar="/PATH",
    help="A path of the app to compare. Default: all its GET routes without parameters "
    "if it is a webdemo app, else /. Speed is measured at the first. May be repeated.",
)
@_file("--har", help="Compare the requests of a HAR file recorded by a browser instead.")
@_several(
    "--at",
    "urls",
    metavar="URL",
    help="Compare hosts that already run the app, without load: --at https://a.example --at https://b.example",
)
@click.option("--only", type=click.Choice(["behaviour", "speed"]), help="Compare only this.")
@click.option(
    "--duration",
    type=Seconds(0.1, 60),
    metavar="SECONDS",
    help="How long each measurement of speed takes. Default: at most 0.5, and 32 s for all together.",
)
@_output("--json", "json_file", help="Write the comparison as JSON.")
@_output("--html", "html_file", help="Write a report, one HTML file.")
@_output("--junit", "junit_file", help="Write the differences as JUnit XML, for CI.")
@_file("--accepted", "accepted_file", help="TOML file of accepted differences; see docs/compare.md.")
@click.option(
    "--fail-on-difference",
    is_flag=True,
    help="Exit with 1 if there are differences that are not accepted, or a server does not run the app.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print every probe, difference and figure.")
def compare(
    app: str,
    labels: tuple[str, ...],
    urls: tuple[str, ...],
    paths: tuple[str, ...],
    har: Path | None,
    only: str | None,
    duration: float | None,
    json_file: Path | None,
    html_file: Path | None,
    junit_file: Path | None,
    accepted_file: Path | None,
    fail_on_difference: bool,
    verbose: bool,
) -> None:
    """Run the app on every server, and show where they differ.

    Each gets the same requests, and then a load to measure its speed.

    \b
    webdemo compare --app shop:app                        every server, behaviour and speed
    webdemo compare --app shop:app -s gunicorn -s waitress --only behaviour
    webdemo compare --app shop:app --path / --path /api --html report.html
    webdemo compare --at http://10.0.0.1:8000 --at http://10.0.0.2:8000 --path /
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    entries = accepted.read(accepted_file) if accepted_file else ()
    if paths and har:
        raise UsageError("--path and --har cannot be combined.", remedy="Give one of them.")
    requests = of_har(har) if har else of_paths(paths)
    if urls:
        if labels or only == "speed":
            raise UsageError(
                "--at compares running hosts: it starts no server and measures no speed.",
                remedy="Leave out --server and --only speed.",
            )
        requests = requests or of_paths(["/"])
        comparison = _compare_hosts(urls, requests)
    else:
        choices = runner.choose(labels)
        routes = of_routes(Target(app))  # fails if the app cannot be imported
        requests = requests or routes
        comparison = _compare(Target(app), choices, requests, only, duration)
    judgement = accepted.judge(comparison, entries)
    reviewed = [finding for finding, _ in judgement.accepted]
    terminal.show(comparison, answer(comparison, reviewed), Console(), verbose=verbose)
    if json_file:
        _write(json_file, comparison.to_json())
    if html_file:
        from webdemo.compare.report.html_report import to_html

        _write(html_file, to_html(comparison, reviewed))
    if junit_file:
        _write(junit_file, to_junit(comparison, judgement))
    _save(comparison)
    if not verbose:
        click.echo("More details: --verbose, --html FILE, or the demo site's /compare", err=True)
        if len(requests) == 1 and not (paths or har):
            click.echo("Compare more of the app's pages: --path /PATH, or --har FILE", err=True)
    _explain(comparison, judgement, fails=fail_on_difference)
    if fail_on_difference and not judgement.is_same:
        sys.exit(DIFFERENCES)


def _compare(
    target: Target,
    choices: Sequence[runner.Choice],
    requests: Sequence[AppRequest],
    only: str | None,
    duration: float | None,
) -> Comparison:
    layers: list[Behaviour] = []
    not_probed: dict[str, str | None] = {}  # why servers did not complete the probes
    speed: Speed | None = None

    def start_again(labels: set[str]) -> AbstractContextManager[list[runner.Run]]:
        update(description=f"comparing again: {', '.join(sorted(labels))}")
        return runner.running([choice for choice in choices if choice.label in labels], target)

    total = len(requests) * len(choices)
    with _progress(f"starting {target.app} on {counted(len(choices), 'server')}", total) as update:
        with runner.running(choices, target) as runs:
            if not any(run.state == "up" for run in runs):
                reason = next((run.problem for run in runs if run.problem), "")
                remedy = f"Find the cause with: python -m webdemo --app {target.app}"
                raise WebdemoError(f"No server runs {target.app}: {reason}", remedy=remedy)
            if only != "speed":
                update(description=f"comparing the responses of {target.app}")
                layers.append(
                    own_paths.compare(runs, requests, lambda: update(advance=1), start_again=start_again)
                )
            if only != "behaviour":
                speed = measure(
                    runs,
                    target,
                    lambda text, done, total: update(text, completed=done, total=total),
                    path=requests[0].request.target,
                    seconds_per_round=duration or seconds_per_round(len(choices)),
                )
            servers = [run.row() for run in runs]
        if only != "speed":
            probes = len(probing.probes())
            update(description=f"sending {probes} probes to each server", total=None)
            with runner.running(choices, probing.PROBE_APP) as runs:
                update(total=probes * len(choices), completed=0)
                layers.append(probing.probe(runs, lambda: update(advance=1)))
                not_probed = {run.label: run.problem for run in runs if not run.is_up()}
    rows = tuple(
        row._replace(problem=f"It did not complete the probes. {not_probed[row.label]}")
        if row.label in not_probed and row.problem is None
        else row
        for row in servers
    )
    return _comparison(target.app, rows, layers, speed)


def _compare_hosts(urls: Sequence[str], requests: Sequence[AppRequest]) -> Comparison:
    found = hosts.reach(urls)
    if len([host for host in found if host.is_up()]) < 2:
        problem = " ".join(f"{host.label}: {host.problem}" for host in found if host.problem)
        raise WebdemoError(
            f"Fewer than two hosts can be compared. {problem}",
            remedy="Trace one of them: webdemo trace URL",
        )
    safe = [request for request in requests if request.request.is_safe]
    if len(safe) < len(requests):
        skipped = counted(len(requests) - len(safe), "request")
        click.echo(f"Not sent, because they may change something there: {skipped}.", err=True)
    if not safe:
        raise UsageError("No request is safe to send.", remedy="Name paths with --path.")
    with _progress(f"comparing the responses of {len(found)} hosts", len(safe) * len(found)) as update:
        layer = own_paths.compare(found, safe, lambda: update(advance=1))
    return _comparison("the app", tuple(host.row() for host in found), [layer], None)


def _comparison(
    app: str, servers: tuple[Server, ...], layers: Sequence[Behaviour], speed: Speed | None
) -> Comparison:
    return Comparison(
        app=app,
        made_at=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        webdemo=__version__,
        machine=this_machine(),
        servers=servers,
        behaviour=probing.join(layers) if layers else None,
        speed=speed,
    )


@contextmanager
def _progress(text: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show what goes on: a bar on a terminal, else a line for each part; yields a function to update it."""
    console = Console(stderr=True)
    parts: set[str] = set()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task(text, total=total)

        def update(description: str | None = None, **facts: Any) -> None:
            part = (description or "").partition(": ")[0]
            if part and part not in parts and not console.is_terminal:
                click.echo(f"{part} ...", err=True)
            parts.add(part)
            progress.update(task, description=description, **facts)

        update(text)
        yield update


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(
            f"{file} cannot be written: {exc.strerror}.", remedy="Choose a file in a writable folder."
        ) from exc
    click.echo(f"Written: {file}", err=True)


def _explain(comparison: Comparison, judgement: accepted.Judgement, *, fails: bool) -> None:
    """Print which accepted differences no longer occur and, if `fails`, why the exit code is not 0."""
    for entry in judgement.unused if comparison.behaviour else ():
        click.echo(f"Accepted, but no longer different: {entry.probe} on {entry.server}.", err=True)
    if not fails:
        return
    for finding in judgement.differences:
        click.echo(f"Neither known nor accepted: {finding.probe} on {finding.server}.", err=True)
    for server in judgement.failed:
        click.echo(f"{server.label} did not run the app.", err=True)


def _save(comparison: Comparison) -> None:
    try:
        saved.save(comparison)
    except OSError as exc:
        click.echo(f"The comparison was not saved for the demo site's /compare: {exc.strerror}.", err=True)
