"""The order to fork a server process, from its service and the settings of its release. Pure."""

from __future__ import annotations

from webdemo.middleware.stack import EdgeSettings
from webdemo.servers import MadeCertificate, registry
from webdemo.supervisor.plan import Plan, Service
from webdemo.supervisor.processes import ServerProcess
from webdemo.worker.messages import Spawn


def order_of(process: ServerProcess, service: Service, plan: Plan, settings: EdgeSettings) -> Spawn:
    own_workers = registry.find(service.server).own_workers
    certificate = service.certificate
    return Spawn(
        process=process.number,
        own_import=not process.loader.share,
        server=service.server,
        options=dict(service.options),
        workers=service.workers if own_workers else 1,
        has_siblings=service.workers > 1,
        cpus=service.cpus if process.cpu is None else (process.cpu,),
        worker_cpus=service.cpus if service.cpu_each and own_workers else (),
        certificate=None if isinstance(certificate, MadeCertificate) else certificate,
        made_certificate=certificate if isinstance(certificate, MadeCertificate) else None,
        grace_seconds=plan.grace_seconds,
        writes_stacks=bool(plan.hang_seconds),
        reload=plan.reload,
        settings=settings,
        target=service.target or plan.target,
    )
