"""What users are shown of a run: its services, their states and figures. Runs in the main process."""

from __future__ import annotations

import time

from webdemo.stats.figures import Figures, Served
from webdemo.supervisor.control_messages import ChangeStatus, ProcessStatus, ServiceStatus
from webdemo.supervisor.desired import Slot
from webdemo.supervisor.events import Row
from webdemo.supervisor.executor import Executor, service_of, version_of
from webdemo.supervisor.reconciler import Reconciler


class Overview:
    """Reads the reconciler and the executor."""

    def __init__(self, reconciler: Reconciler, executor: Executor) -> None:
        self._reconciler = reconciler
        self._executor = executor

    def services(self, figures: Figures) -> tuple[ServiceStatus, ...]:
        return tuple(self._service(slot, figures) for slot in self._reconciler.settled.slots)

    def changes(self) -> tuple[ChangeStatus, ...]:
        """What is desired and has not come to be yet."""
        now = time.monotonic()
        return tuple(
            ChangeStatus(what, round(now - since, 1), waits_for)
            for what, since, waits_for in self._reconciler.pending()
        )

    def rows(self) -> tuple[Row, ...]:
        """The rows of the start table: the app's services."""
        return tuple(
            Row(
                server=service.server,
                version=version_of(service),
                urls=self._executor.urls(slot),
                pids=self.pids(slot),
                workers=service.workers,
                state=self._reconciler.state_of(slot),
                open_urls=self._executor.open_urls(slot),
            )
            for slot in self._reconciler.settled.slots
            if (service := service_of(slot)).is_of_app
        )

    def served(self) -> list[Served]:
        return [
            Served(
                service_of(slot).server, slot.ports, self.pids(slot), self._reconciler.restarts[slot.ports]
            )
            for slot in self._reconciler.settled.slots
        ]

    def pids(self, slot: Slot) -> tuple[int, ...]:
        spec = self._reconciler.spec_of(slot)
        return tuple(p.pid for p in self._executor.of(spec) if p.pid is not None)

    def _service(self, slot: Slot, figures: Figures) -> ServiceStatus:
        service = service_of(slot)
        problem = self._reconciler.problem_of(slot)
        return ServiceStatus(
            server=service.server,
            version=version_of(service),
            state=self._reconciler.state_of(slot),
            dashboard=not service.is_of_app,
            ports=slot.ports,
            urls=self._executor.urls(slot),
            workers=service.workers,
            restarts=self._reconciler.restarts[slot.ports],
            processes=self._processes(slot, current=True),
            figures=figures.latest(slot.ports),
            other_processes=self._processes(slot, current=False),
            problem=problem.problem if problem is not None else "",
        )

    def _processes(self, slot: Slot, *, current: bool) -> tuple[ProcessStatus, ...]:
        """Its processes, or the others on its ports."""
        spec = self._reconciler.spec_of(slot)
        return tuple(
            ProcessStatus(process.pid, self._reconciler.process_state(number), process.started_at)
            for number, process in self._executor.processes.items()
            if process.spec.slot.has_any(slot.ports) and (process.spec == spec) is current
        )
