"""One server under its own supervisor: `python -m webdemo.compare.one_run ORDER`.

Runs in a separate main process per server, so that a server that hangs or crashes does not affect the others.
It reports events as JSON lines, shuts down like any run, and also when its standard input closes: then the
comparison has died.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from webdemo.errors import WebdemoError
from webdemo.middleware.stack import Features
from webdemo.net.bind import Bind
from webdemo.net.listener import listen
from webdemo.supervisor import plan as plans
from webdemo.supervisor.events import LoadFailed
from webdemo.supervisor.printer import Printer
from webdemo.supervisor.supervisor import Supervisor
from webdemo.worker.app_import import Target
from webdemo.worker.codec import build, plain


def order(bind: str, target: Target, grace_seconds: float) -> str:
    """The command line argument that `main` reads, as JSON."""
    return json.dumps({"bind": bind, "target": plain(target), "grace_seconds": grace_seconds})


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the supervisor handles it
    order = json.loads(sys.argv[1])
    comparison = os.getppid()
    abandoned = threading.Event()
    printer = Printer(as_json=True)
    try:
        bind = Bind.parse(order["bind"])
        sockets = listen(bind)
        bind = replace(bind, port=sockets[0].getsockname()[1])
        plan = plans.Plan(
            target=build(Target, order["target"]),
            services=plans.services([bind], default_server=plans.DEFAULT_SERVER),
            grace_seconds=order["grace_seconds"],
            features=Features(access_log=None),
        )
        supervisor = Supervisor(plan, [(bind, sockets)], printer)
        threading.Thread(target=_end_with_stdin, args=[abandoned], daemon=True).start()
        return supervisor.run()
    except WebdemoError as exc:
        printer(LoadFailed(exc, old_code_serves=False))
        return exc.exit_code
    finally:
        printer.close()
        if abandoned.is_set() or os.getppid() != comparison:
            _remove_folder()


def _remove_folder() -> None:
    """Remove the comparison's temporary folder, because it was killed; only the last run succeeds."""
    folder = Path(os.environ["XDG_RUNTIME_DIR"])
    with contextlib.suppress(OSError):  # another run still uses it
        for inner in folder.iterdir():
            inner.rmdir()
        folder.rmdir()


def _end_with_stdin(abandoned: threading.Event) -> None:
    """Shut down when the comparison says so on stdin, or has died (end of file)."""
    # Not sys.stdin: its lock would be held while Python exits.
    if not os.read(0, 4096):
        abandoned.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
