"""`webdemo compare`: does the app behave the same on every server, and how fast is it?"""

from __future__ import annotations

import datetime
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from webdemo import __version__
from webdemo.compare import runner
from webdemo.compare.behaviour import own_paths, probing
from webdemo.compare.behaviour.app_requests import AppRequest, of_har, of_paths, of_routes
from webdemo.compare.machine import this_machine
from webdemo.compare.report import accepted, saved, terminal
from webdemo.compare.report.junit import to_junit
from webdemo.compare.results import Behaviour, Comparison, Server, Speed
from webdemo.compare.speed.rounds import SECONDS_PER_ROUND, measure
from webdemo.errors import UsageError, WebdemoError
from webdemo.worker.app_import import DEMO_SITE, Target

DIFFERENCES = 1


@click.command()
@click.option("--app", default=DEMO_SITE, metavar="MODULE:ATTR", show_default=True, help="The WSGI app.")
@click.option(
    "-s",
    "--server",
    "labels",
    multiple=True,
    metavar="NAME[?option=value]",
    help="A server to compare, for example 'gunicorn?threads=1'; without it all. May be repeated.",
)
@click.option(
    "--path",
    "paths",
    multiple=True,
    metavar="/PATH",
    help="A path of the app to compare; without it, all its GET routes without parameters "
    "if it is a webdemo app, else /. Speed is measured at the first. May be repeated.",
)
@click.option(
    "--har",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Compare the requests of a HAR file that a browser has recorded, instead.",
)
@click.option("--only", type=click.Choice(["behaviour", "speed"]), help="Compare one of the two.")
@click.option(
    "--duration",
    type=click.FloatRange(0.2, 60),
    default=SECONDS_PER_ROUND,
    metavar="SECONDS",
    show_default=True,
    help="How long each measurement of speed takes.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write it as JSON."
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a report, one HTML file.",
)
@click.option(
    "--junit",
    "junit_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the differences as JUnit XML, for CI.",
)
@click.option(
    "--accepted",
    "accepted_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file of accepted differences; see docs/compare.md.",
)
@click.option(
    "--fail-on-difference",
    is_flag=True,
    help="Exit with 1 if there are differences that are not accepted, or a server does not run the app.",
)
def compare(
    app: str,
    labels: tuple[str, ...],
    paths: tuple[str, ...],
    har: Path | None,
    only: str | None,
    duration: float,
    json_file: Path | None,
    html_file: Path | None,
    junit_file: Path | None,
    accepted_file: Path | None,
    fail_on_difference: bool,
) -> None:
    """Run the app on every server, send each the same requests, show what differs, and measure.

    \b
    webdemo compare --app shop:app                        every server, behaviour and speed
    webdemo compare --app shop:app -s gunicorn -s waitress --only behaviour
    webdemo compare --app shop:app --path / --path /api --html report.html
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    for file in filter(None, (json_file, html_file, junit_file)):
        _check(file)
    entries = accepted.read(accepted_file) if accepted_file else ()
    choices = runner.choose(labels)
    target = Target(app)
    if paths and har:
        raise UsageError("--path and --har cannot be combined.", remedy="Give one of them.")
    requests = of_har(har) if har else of_paths(paths) or of_routes(target)
    comparison = _compare(target, choices, requests, only, duration)
    judgement = accepted.judge(comparison, entries)
    terminal.show(comparison, Console())
    if json_file:
        _write(json_file, comparison.to_json())
    if html_file:
        from webdemo.compare.report.html_report import to_html

        _write(html_file, to_html(comparison))
    if junit_file:
        _write(junit_file, to_junit(comparison, judgement))
    _save(comparison)
    if not any(server.state == "up" for server in comparison.servers):
        reason = next((server.problem for server in comparison.servers if server.problem), "")
        raise WebdemoError(
            f"No server runs {app}: {reason}", remedy=f"Find the cause with: python -m webdemo --app {app}"
        )
    _explain(comparison, judgement, fails=fail_on_difference)
    if fail_on_difference and not judgement.is_same:
        sys.exit(DIFFERENCES)


def _compare(
    target: Target,
    choices: Sequence[runner.Choice],
    requests: Sequence[AppRequest],
    only: str | None,
    duration: float,
) -> Comparison:
    layers: list[Behaviour] = []
    probed: dict[str, Server] = {}  # servers that did not stay up during the probes
    speed: Speed | None = None
    if only != "speed":
        total = len(probing.probes()) * len(choices)
        with (
            _progress("probing servers", total) as update,
            runner.running(choices, probing.PROBE_APP) as runs,
        ):
            layers.append(probing.probe(runs, lambda: update(advance=1)))
            probed = {run.choice.label: row for run in runs if (row := run.row()).state != "up"}
    with runner.running(choices, target) as runs:
        if only != "speed":
            with _progress("comparing the app's responses", len(requests) * len(choices)) as update:
                layers.append(
                    own_paths.compare(
                        runs,
                        requests,
                        lambda: update(advance=1),
                        target=target,
                        on_retry=lambda: update(description="retrying what differs", total=None),
                    )
                )
        if only != "behaviour":
            speed = _measure(runs, target, requests[0].request.target, duration)
        servers = tuple(_row(run, probed.get(run.choice.label)) for run in runs)
    return Comparison(
        app=target.app,
        made_at=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        webdemo=__version__,
        machine=this_machine(),
        servers=servers,
        behaviour=probing.join(layers) if layers else None,
        speed=speed,
    )


def _row(run: runner.Run, probed: Server | None) -> Server:
    row = run.row()
    if probed is not None and row.problem is None:
        return replace(row, problem=f"It did not complete the probes. {probed.problem}")
    return row


@contextmanager
def _progress(text: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar, shown only on a terminal; yields a function that updates it."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        yield functools.partial(progress.update, progress.add_task(text, total=total))


def _measure(runs: Sequence[runner.Run], target: Target, path: str, duration: float) -> Speed | None:
    if not any(run.state == "up" for run in runs):
        return None
    with _progress("measuring", None) as update:
        return measure(
            runs,
            target,
            lambda step: update(total=step.total, completed=step.done, description=step.text),
            path=path,
            seconds_per_round=duration,
        )


def _check(file: Path) -> None:
    """Refuse at once a file that could not be written at the end."""
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise UsageError(f"{file} cannot be written.", remedy="Choose a file in a writable folder.")


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
