"""One release of the app's code: the loaders that hold it. Runs in the main process.

The sharing loader has imported the app, and its children inherit it by fork. The other loader has not; it
is for servers that must patch modules before the import, for servers that run no app, and for apps that
are not safe to share. A loader is started when it is first needed, and again if it died.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from webdemo import servers
from webdemo.errors import SystemRefusal, WebdemoError
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.plan import Service
from webdemo.supervisor.processes import Gone, LoaderProcess, OnOutput, how_it_ended
from webdemo.worker.app_import import Target
from webdemo.worker.messages import ChildReport, Exited, Failed, Load, Loaded, LoaderReport, Refused, Spawned


class Hooks(NamedTuple):
    """The callbacks of a generation."""

    on_output: OnOutput
    on_process: Callable[[ChildReport], None]  # a loader's child was spawned, could not be, or has exited
    on_sources: Callable[[tuple[str, ...]], None]  # the folders of the app's code
    on_lost: Callable[[LoaderProcess], None]  # a loader died unexpectedly


class Generation:
    """`load` imports the code and calls back; from then on `loader_for` finds the loader for a service."""

    def __init__(
        self, loop: Loop, target: Target, hooks: Hooks, *, grace_seconds: float, wants_sources: bool
    ) -> None:
        self.seconds = 0.0
        self.not_shared_because: str | None = None
        self.loaders: list[LoaderProcess] = []
        self._loop = loop
        self._target = target
        self._grace_seconds = grace_seconds
        self._wants_sources = wants_sources
        self._hooks = hooks
        self._waiting: set[LoaderProcess] = set()
        self._servers: dict[bool, list[str]] = {}  # server names, by whether they share the imported app
        self._then: Callable[[], None] = lambda: None
        self._failed: Callable[[WebdemoError], None] = lambda _: None

    def load(
        self,
        services: Iterable[Service],
        then: Callable[[], None],
        failed: Callable[[WebdemoError], None],
    ) -> None:
        """Start the loaders that the services need; call `then` when all are ready, else `failed`."""
        self._then, self._failed = then, failed
        services = list(services)
        for share in (True, False):
            self._servers[share] = sorted({s.server for s in services if self.shares(s) is share})
        for share in (True, False):
            if self._servers[share] and not self._await(share):
                return

    def shares(self, service: Service) -> bool:
        """Whether the service's processes inherit the app that a loader has imported."""
        adapter = servers.find(service.server)
        return (
            self.not_shared_because is None
            and service.target is None
            and adapter.before_import is None
            and adapter.runs_app
        )

    def loader_for(self, service: Service) -> LoaderProcess:
        """The loader that forks the service's processes; raises SystemRefusal if none can be started."""
        share = self.shares(service)
        for loader in self.loaders:
            if loader.share is share and loader.alive:
                return loader
        return self._start(share)

    def is_alive(self) -> bool:
        return any(loader.alive for loader in self.loaders)

    def retire(self) -> None:
        """Let each loader exit when its last child has."""
        for loader in self.loaders:
            loader.retire()

    def close(self) -> None:
        """Stop the loaders now, and their children with them."""
        self._waiting.clear()
        for loader in self.loaders:
            loader.close()

    def _await(self, share: bool) -> bool:
        """Start a loader, and have `load` wait for it; False if none can be started."""
        try:
            self._waiting.add(self._start(share))
        except SystemRefusal as exc:
            self._give_up(exc)
            return False
        return True

    def _start(self, share: bool) -> LoaderProcess:
        loader = LoaderProcess(
            self._loop,
            Load(
                target=self._target,
                servers=tuple(self._servers[share]),
                share=share,
                wants_sources=self._wants_sources,
                grace_seconds=self._grace_seconds,
            ),
            on_message=self._hear,
            on_output=self._hooks.on_output,
        )
        self.loaders.append(loader)
        return loader

    def _hear(self, loader: LoaderProcess, message: LoaderReport | Gone) -> None:
        match message:
            case Loaded():
                self._loaded(loader, message)
            case Failed() if loader in self._waiting:
                self._give_up(message.error())
            case Gone(code) if loader in self._waiting:
                self._give_up(_ended_while_loading(self._target, code))
            case Gone():
                if not loader.retired:
                    self._hooks.on_lost(loader)
            case Spawned() | Refused() | Exited():
                self._hooks.on_process(message)

    def _loaded(self, loader: LoaderProcess, message: Loaded) -> None:
        servers.remember_versions(message.versions)
        self._hooks.on_sources(message.sources)
        self.seconds += message.seconds
        reason = message.not_shared_because
        if reason is not None and self.not_shared_because is None:
            self.not_shared_because = reason
            loader.retire()
            has_other = any(other.alive and not other.share for other in self.loaders)
            if not has_other and not self._await(share=False):
                return
        if loader in self._waiting:
            self._waiting.discard(loader)
            if not self._waiting:
                self._then()

    def _give_up(self, error: WebdemoError) -> None:
        self._waiting.clear()
        self._failed(error)


def _ended_while_loading(target: Target, code: int | None) -> WebdemoError:
    module = target.app.partition(":")[0]
    return WebdemoError(
        f"The app {str(target)!r} cannot be loaded: the process that imported it {how_it_ended(code)}.",
        remedy=f"Import it by hand to see why: python -c 'import {module}'",
    )
