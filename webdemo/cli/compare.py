"""`webdemo compare`: does the app behave the same on every server, and how fast is it?"""

from __future__ import annotations

import datetime
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from webdemo import __version__
from webdemo.compare import runner
from webdemo.compare.behaviour import own_paths, probing
from webdemo.compare.behaviour.app_requests import of_har, of_paths, of_routes
from webdemo.compare.machine import this_machine
from webdemo.compare.report import accepted, saved, terminal
from webdemo.compare.report.junit import to_junit
from webdemo.compare.results import Behaviour, Comparison, Server, Speed
from webdemo.compare.speed.rounds import SECONDS_PER_ROUND, Step, measure
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
    help="Write what differs as JUnit XML, for CI.",
)
@click.option(
    "--accepted",
    "accepted_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Differences that are accepted, a TOML file; see docs/compare.md.",
)
@click.option(
    "--fail-on-difference",
    is_flag=True,
    help="Exit with 1 when servers differ in what is not accepted, or one does not run the app.",
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
        raise UsageError("--path and --har are two ways to say one thing.", remedy="Give one of them.")
    requests = of_har(har) if har else of_paths(paths) or of_routes(target)

    console = Console(stderr=True)
    layers: list[Behaviour] = []
    probed: dict[str, Server] = {}  # servers that did not stay up during the probes
    speed: Speed | None = None
    if only != "speed":
        bar = _Bar(console, "what the servers do", len(probing.probes()) * len(choices))
        with bar, runner.running(choices, probing.PROBE_APP) as runs:
            layers.append(probing.probe(runs, bar.one_more))
            probed = {run.choice.label: row for run in runs if (row := run.row()).state != "up"}
    with runner.running(choices, target) as runs:
        if only != "speed":
            with _Bar(console, "what the app answers", len(requests) * len(choices)) as bar:
                layers.append(
                    own_paths.compare(
                        runs, requests, bar.one_more, target=target, on_second_look=bar.look_again
                    )
                )
        if only != "behaviour":
            speed = _measure(runs, target, requests[0].request.target, duration, console)
        servers = tuple(_row(run, probed.get(run.choice.label)) for run in runs)
    comparison = Comparison(
        app=app,
        made_at=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        webdemo=__version__,
        machine=this_machine(),
        servers=servers,
        behaviour=probing.join(layers) if layers else None,
        speed=speed,
    )
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
    if not any(server.state == "up" for server in servers):
        raise _nobody(app, servers)
    _tell(comparison, judgement, fails=fail_on_difference)
    if fail_on_difference and not judgement.is_same:
        sys.exit(DIFFERENCES)


def _row(run: runner.Run, probed: Server | None) -> Server:
    row = run.row()
    if probed is not None and row.problem is None:
        return replace(row, problem=f"It did not take all probes. {probed.problem}")
    return row


class _Bar:
    """A progress bar; shown only on a terminal."""

    def __init__(self, console: Console, text: str, total: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task(text, total=total)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def one_more(self, _: str) -> None:
        self._progress.advance(self._task)

    def look_again(self) -> None:
        self._progress.update(self._task, description="looking again at what differs", total=None)


def _measure(
    runs: list[runner.Run], target: Target, path: str, duration: float, console: Console
) -> Speed | None:
    up = [run for run in runs if run.state == "up"]
    if not up:
        return None
    with Progress(
        TextColumn("{task.description}"), BarColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("how fast it is")

        def tell(step: Step) -> None:
            progress.update(task, total=step.total, completed=step.done, description=step.text)

        return measure(up, target, tell, path=path, seconds_per_round=duration)


def _check(file: Path) -> None:
    """Refuse at once a file that could not be written at the end."""
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise UsageError(f"{file} cannot be written.", remedy="Name a file in a folder of yours.")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise UsageError(
            f"{file} cannot be written: {exc.strerror}.", remedy="Name a file in a folder of yours."
        ) from exc
    click.echo(f"Written: {file}", err=True)


def _tell(comparison: Comparison, judgement: accepted.Judgement, *, fails: bool) -> None:
    """Print which accepted differences no longer occur and, if `fails`, why the exit code is not 0."""
    for entry in judgement.unused if comparison.behaviour else ():
        click.echo(f"Accepted, and no difference any more: {entry.probe} on {entry.server}.", err=True)
    if not fails:
        return
    for finding in judgement.differences:
        click.echo(f"Neither known nor accepted: {finding.probe} on {finding.server}.", err=True)
    for server in judgement.failed:
        click.echo(f"It did not run the app: {server.label}.", err=True)


def _save(comparison: Comparison) -> None:
    try:
        saved.save(comparison)
    except OSError as exc:
        click.echo(f"It is not kept for /compare of the demo site: {exc.strerror}.", err=True)


def _nobody(app: str, servers: tuple[Server, ...]) -> WebdemoError:
    reason = next((server.problem for server in servers if server.problem), "")
    return WebdemoError(
        f"No server runs {app}: {reason}", remedy=f"See what is wrong: python -m webdemo --app {app}"
    )
