"""What the run should be: one release of the code, and the services on their ports. Runs in the main process.

The rule: everything here is immutable data. A change is an edit that is applied to a `Desired` and gives
another one, so it can be applied again when something else has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol


class ServiceLike(Protocol):
    """What the reconciler must know about a service; plan.Service is one."""

    @property
    def processes(self) -> int:
        """How many processes it needs."""

    @property
    def shares_import(self) -> bool:
        """Whether its processes may be forked from a loader that has imported the app."""

    @property
    def opens_own_sockets(self) -> bool:
        """Whether its process opens the port itself, so that two of them cannot exist at once."""

    @property
    def has_placeholder(self) -> bool:
        """Whether the supervisor can respond with 503 in its place."""

    @property
    def is_of_app(self) -> bool:
        """Whether it belongs to the user's plan; False for the dashboard."""


class Slot(NamedTuple):
    """A service on some ports, running or stopped. A restart increases the revision."""

    service: ServiceLike
    ports: tuple[str, ...]
    is_running: bool = True
    revision: int = 0

    def has_any(self, ports: Iterable[str]) -> bool:
        return not set(self.ports).isdisjoint(ports)


class Spec(NamedTuple):
    """What a process is started for. A process whose spec is no longer desired is drained."""

    release: int
    slot: Slot


Services = tuple[tuple[ServiceLike, tuple[str, ...]], ...]
"""Services with their ports."""


def changed_ports(before: Services, now: Services) -> set[str]:
    """The ports that have another service now."""
    earlier = {port: service for service, ports in before for port in ports}
    return {port for service, ports in now for port in ports if earlier.get(port) != service}


class Desired(NamedTuple):
    release: int
    slots: tuple[Slot, ...]
    services: Services = ()  # as the settings name them; commands change the slots only

    def specs(self) -> list[Spec]:
        return [Spec(self.release, slot) for slot in self.slots if slot.is_running]

    def slot_of(self, port: str) -> Slot | None:
        return next((slot for slot in self.slots if port in slot.ports), None)


class Reload(NamedTuple):
    """Another release of the code for every service, and the services that the settings name by now."""

    release: int
    services: Services
    swapped: frozenset[str] = frozenset()  # ports to which a later command gives a service

    def apply(self, desired: Desired) -> Desired:
        """Where the settings name another service than before, it takes the port; what was swapped stays."""
        taken = changed_ports(desired.services, self.services) - self.swapped
        order = [port for slot in desired.slots for port in slot.ports]
        stopped = {port for slot in desired.slots if not slot.is_running for port in slot.ports}
        slots = [
            slot._replace(ports=rest)
            for slot in desired.slots
            if (rest := tuple(port for port in slot.ports if port not in taken))
        ]
        for service, ports in self.services:
            for is_running in (True, False):
                own = [port for port in ports if port in taken and (port not in stopped) is is_running]
                if own:
                    slots.append(Slot(service, tuple(own), is_running))
        slots.sort(key=lambda slot: order.index(slot.ports[0]))
        return Desired(self.release, tuple(slots), self.services)


class Restart(NamedTuple):
    """New processes for the services on these ports."""

    ports: tuple[str, ...]
    revision: int = 0

    def apply(self, desired: Desired) -> Desired:
        return _edited(desired, self.ports, revision=self.revision)


class Start(NamedTuple):
    """Start what is stopped, or was given up."""

    ports: tuple[str, ...]
    revision: int = 0

    def apply(self, desired: Desired) -> Desired:
        return _edited(desired, self.ports, is_running=True, revision=self.revision)


class Stop(NamedTuple):
    """Close one port; the service continues on its other ones."""

    ports: tuple[str, ...]
    revision: int = 0

    def apply(self, desired: Desired) -> Desired:
        return _split(desired, *self.ports, is_running=False)


class Swap(NamedTuple):
    """Another service on one port."""

    ports: tuple[str, ...]
    service: ServiceLike
    revision: int = 0

    def apply(self, desired: Desired) -> Desired:
        return _split(desired, *self.ports, service=self.service, revision=self.revision)


PortEdit = Restart | Start | Stop | Swap
"""The revision, a number that no slot has had, is set by the reconciler."""
Edit = Reload | PortEdit


def _edited(desired: Desired, ports: tuple[str, ...], **fields: Any) -> Desired:
    """Give these fields to the slots of the ports."""
    return desired._replace(
        slots=tuple(slot._replace(**fields) if slot.has_any(ports) else slot for slot in desired.slots)
    )


def _split(desired: Desired, port: str, **fields: Any) -> Desired:
    """Give the port its own slot, with these fields, apart from the rest of its slot."""
    slots: list[Slot] = []
    for slot in desired.slots:
        if port not in slot.ports:
            slots.append(slot)
            continue
        others = tuple(other for other in slot.ports if other != port)
        rest = [slot._replace(ports=others)] if others else []
        own = slot._replace(ports=(port,), **fields)
        slots += [own, *rest] if port == slot.ports[0] else [*rest, own]
    return desired._replace(slots=tuple(slots))
