"""The commands and their exit codes. sys.exit is called here and nowhere else."""

from __future__ import annotations

import sys

import click

from webdemo.errors import WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.listener import listen_all
from webdemo.run import plan as plans
from webdemo.run.load import Target
from webdemo.run.printer import Printer
from webdemo.run.supervisor import Supervisor


@click.command()
@click.option("-b", "--bind", multiple=True)
@click.option("--app", default="webdemo:app")
def main(bind, app):
    try:
        binds = [Bind.parse(b) for b in bind]
        services = plans.services(binds, default_server="werkzeug")
        binds = [b for s in services for b in s.binds]
        listeners = listen_all(binds)
        printer = Printer(colour=sys.stdout.isatty())
        code = Supervisor(plans.Plan(services=services, target=Target(app)), listeners, printer).run()
        printer.close()
    except WebdemoError as exc:
        print(exc, file=sys.stderr)
        code = exc.exit_code
    sys.exit(code)
