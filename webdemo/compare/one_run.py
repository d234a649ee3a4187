"""One server under its own supervisor: `python -m webdemo.compare.one_run ORDER`.

Runs in a separate main process per server, so that a server that hangs or crashes does not affect the others.
It has no control socket, so that `webdemo ps` does not show it. It reports events as JSON lines. It shuts
down like any run, and also when its standard input closes: then the comparison has died.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace
from typing import NamedTuple

from webdemo.errors import WebdemoError
from webdemo.middleware.stack import Features
from webdemo.net.bind import Bind
from webdemo.net.listener import listen
from webdemo.supervisor import plan as plans
from webdemo.supervisor.events import LoadFailed
from webdemo.supervisor.printer import Printer
from webdemo.supervisor.supervisor import Supervisor
from webdemo.worker.app_import import Target
from webdemo.worker.codec import build, read_object


class Order(NamedTuple):
    """What to run; the argument of the command line, as JSON."""

    bind: str
    target: Target
    grace_seconds: float


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the supervisor handles it
    order = build(Order, read_object(sys.argv[1].encode()))
    printer = Printer(as_json=True)
    try:
        bind = Bind.parse(order.bind)
        sockets = listen(bind)
        bind = replace(bind, port=sockets[0].getsockname()[1])
        plan = plans.Plan(
            target=order.target,
            services=plans.services([bind], default_server=plans.DEFAULT_SERVER),
            grace_seconds=order.grace_seconds,
            features=Features(access_log=None),
        )
        supervisor = Supervisor(plan, [(bind, sockets)], printer, is_commanded=False)
        threading.Thread(target=_end_with_stdin, daemon=True).start()
        return supervisor.run()
    except WebdemoError as exc:
        printer(LoadFailed(exc, old_code_serves=False))
        return exc.exit_code
    finally:
        printer.close()


def _end_with_stdin() -> None:
    """Shut down when the comparison says so on stdin, or has died (end of file)."""
    # Not sys.stdin: its lock would be held while Python exits.
    os.read(0, 4096)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
