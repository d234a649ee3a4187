"""Gunicorn: a master and its worker processes, each with threads or without."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from webdemo.servers import Adapter, Job, option


@dataclass(frozen=True, slots=True)
class Options:
    threads: int = option(4, "Threads for each worker; 1 makes it a sync worker.")
    worker_class: str = option("", "Gunicorn's kind of worker, for example sync, gthread or gevent.")
    timeout: int = option(30, "Seconds after which a worker that shows no life is replaced.")
    keepalive: int = option(5, "Seconds an idle connection is kept open.")
    max_requests: int = option(0, "Requests after which a worker is replaced; 0: never.")


def serve(job: Job) -> None:
    import gunicorn.app.base

    class Application(gunicorn.app.base.BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in settings(job).items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return job.app

    # The arbiter sets its own signal handlers; SIGTERM drains.
    Application().run()


def settings(job: Job) -> dict[str, Any]:
    """Gunicorn's settings, by the names in its documentation."""

    def when_ready(arbiter: Any) -> None:
        # As under systemd, the sockets are not its own: it must not remove their files.
        arbiter.systemd = True
        job.ready()
        if job.stopping.is_set():  # told before the arbiter had its signal handlers
            signal.raise_signal(signal.SIGTERM)

    options = job.options
    chosen = {
        "bind": [f"fd://{sock.fileno()}" for sock in job.sockets],
        "workers": job.workers,
        "threads": options.threads,
        "timeout": options.timeout,
        "graceful_timeout": int(job.grace_seconds),
        "keepalive": options.keepalive,
        "max_requests": options.max_requests,
        "when_ready": when_ready,
        "control_socket_disable": True,  # two Gunicorns of one user would claim the same one
        "forwarded_allow_ips": "",  # the run layer decides whom to trust
        "loglevel": "warning",
        "proc_name": "webdemo",
    }
    if options.worker_class:
        chosen["worker_class"] = options.worker_class
    if job.certificate is not None:
        chosen |= {"certfile": str(job.certificate.chain), "keyfile": str(job.certificate.key)}
    return chosen


adapter = Adapter(
    name="gunicorn",
    serve=serve,
    summary="worker processes with threads; for production",
    distribution="gunicorn",
    options=Options,
    tls=True,
    own_workers=True,
)
