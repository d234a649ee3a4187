"""What follows when a file changes: the code is loaded again, or pages show it. Runs in the main process."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from webdemo.errors import WebdemoError
from webdemo.servers import registry
from webdemo.supervisor import events
from webdemo.supervisor.executor import Executor
from webdemo.supervisor.live import LiveReload
from webdemo.supervisor.load_writes import LoadWrites, Version
from webdemo.supervisor.loop import Loop
from webdemo.supervisor.plan import Plan
from webdemo.worker import interpreter
from webdemo.worker.app_import import is_project
from webdemo.worker.messages import Sources
from webdemo.worker.reread import COMPILED

if TYPE_CHECKING:
    from webdemo.supervisor.watch import Watcher

_QUIET_MS = 100  # without a write, after which a series of writes has ended
_QUIET_MS_LIVE = 15
_SPARE_SECONDS = 0.5  # for what is up to answer first


class FileChanges:
    """Watches the app's folders with --reload, and acts on what changes there."""

    def __init__(
        self,
        loop: Loop,
        plan: Plan,
        executor: Executor,
        *,
        emit: Callable[[events.Event], None],
        hint: Callable[[str], None],
        load_again: Callable[[Callable[[WebdemoError | None], None]], None],
        is_stopping: Callable[[], bool],
    ) -> None:
        """`hint` takes lines for the user that are printed once. `load_again` loads the code again, and calls
        back with None when it serves, or with why it does not."""
        self.tells_when_loaded = False  # of the changes that are being loaded, with their files
        self._loop = loop
        self._plan = plan
        self._executor = executor
        self._emit = emit
        self._hint = hint
        self._load_again = load_again
        self._is_stopping = is_stopping
        self._live = self._live_reload()
        self._load_writes = LoadWrites(time.time())
        self._watcher: Watcher | None = None
        self._watched: set[str] = set()
        self._ahead: tuple[str, ...] = ()
        self._reread_folders: set[str] = set()  # folders of files that the same processes read anew

    def renew(self, plan: Plan) -> None:
        """Continue with the settings of this plan."""
        before, self._plan = self._plan, plan
        if plan.features.live_reload != before.features.live_reload:
            self._live = self._live_reload()
        if _settings(plan) != _settings(before):
            self.close()
            self._watcher, watched, self._watched = None, self._watched, set()
            self._watch(sorted(watched))
            self.watch_current_folder()

    def _live_reload(self) -> LiveReload:
        executor = self._executor
        return LiveReload(executor.counters.board, executor.run_name, is_on=self._plan.features.live_reload)

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()

    # -- what is known of the app ----------------------------------------------------------------

    def add_sources(self, sources: Sources) -> None:
        self._reread_folders |= set(sources.reread)
        self._watch(sources.folders)

    def set_needed(self, modules: tuple[str, ...]) -> None:
        """The newest load needed these modules of webdemo."""
        self._ahead = modules or self._ahead

    def wrote(self, paths: Iterable[str]) -> None:
        """The app is about to write these."""
        self._load_writes.wrote(paths)

    def started(self) -> None:
        self._load_writes.load_ended(time.time())
        self._loop.after(_SPARE_SECONDS, self._keep_spare)

    def serves(self, release: int) -> None:
        """This release of the code serves."""
        self._live.serves(release)

    def failed(self, error: WebdemoError, *, old_code_serves: bool) -> None:
        """The code cannot be loaded."""
        self._live.failed(error)
        if not old_code_serves:
            self.watch_current_folder()

    # -- watching --------------------------------------------------------------------------------

    def watch_current_folder(self) -> None:
        """Until the app's folders are known: a change may fix an import that fails, or takes too long."""
        if not self._watched:
            with contextlib.suppress(FileNotFoundError):  # the current folder was deleted
                here = Path.cwd()
                name = self._plan.target.app.partition(":")[0].partition(".")[0]
                of_app = [
                    Path(path, file) for path in (str(here), *sys.path) for file in (name, f"{name}.py")
                ]
                self._watch([str(path) for path in ([here] if is_project(here) else of_app) if path.exists()])

    def _watch(self, folders: Iterable[str]) -> None:
        """With --reload: watch these folders as well."""
        if not self._plan.reload or self._is_stopping():
            return
        target, mounts = self._plan.target, self._plan.features.static
        wanted = {*folders, *self._plan.reload_paths, *(mount.folder for mount in mounts)}
        if target.directory is not None:
            wanted.add(target.directory)
        for folder in [each for each in wanted if not is_project(Path(each))]:
            wanted.remove(folder)
            self._hint(
                f"{folder} holds too much to be watched: changes in it reload nothing. "
                "To watch a part of it: --reload-path FOLDER"
            )
        if wanted <= self._watched:
            return
        from webdemo.supervisor.watch import Watcher  # slow to import, and needed with --reload only

        self._watched |= wanted
        self.close()
        self._watcher = Watcher(
            self._watched,
            self._seen,
            barrier=self._loop.barrier,
            on_note=lambda text: self._loop.post(partial(self._emit, events.Note(text))),
            exclude=self._plan.reload_exclude,
            since=self._load_writes.began,
            quiet_ms=_QUIET_MS_LIVE if self._live.is_on else _QUIET_MS,
        )
        self._watcher.start()

    # -- changes ---------------------------------------------------------------------------------

    def _seen(self, paths: tuple[str, ...]) -> None:
        """Called in the watcher's thread, because there may be thousands of files to read."""
        self._loop.post(partial(self._changed, list(map(Version.of, paths))))

    def _changed(self, versions: Sequence[Version]) -> None:
        if self._is_stopping():
            return
        self._executor.take_reports()  # what the app has written itself is reported before it is written
        paths, notes = self._load_writes.without_own([version.path for version in versions])
        for note in notes:
            self._emit(events.Note(note))
        if not paths:
            return
        counting = set(paths)
        versions = [version for version in versions if version.path in counting]
        saved = min(max(version.modified for version in versions) or time.time(), time.time())
        if self._live.is_on and all(path.endswith(".css") for path in paths):
            self._live.styles_changed()
        elif self._live.is_on and all(map(self._is_reread, paths)):
            self._live.files_changed()
        else:
            self._load(versions, saved)
            return
        self._emit(events.Changed(paths, time.time() - saved))

    def _is_reread(self, path: str) -> bool:
        """Whether the same processes serve the new content."""
        if self._plan.target.directory is not None:
            return True
        mounts = {mount.folder for mount in self._plan.features.static}
        folders = {str(folder) for folder in Path(path).parents}
        return not path.endswith(COMPILED) and not folders.isdisjoint(self._reread_folders | mounts)

    def _load(self, versions: Sequence[Version], saved: float) -> None:
        counting, left_out = self._load_writes.take(versions)
        for path in left_out:
            self._emit(
                events.Note(
                    f"{path} is written whenever the app is loaded: its changes reload nothing from now on. "
                    f"To leave it out from the start: --reload-exclude {Path(path).name}"
                )
            )
        if not counting:
            return
        paths = tuple(counting)
        if self._live.is_on:
            self.tells_when_loaded = True
            self._live.loads(True)
            interpreter.end_if_old(paths)
        else:
            self._emit(events.Changed(paths))
        self._load_writes.load_began(time.time())
        self._load_again(partial(self._loaded, paths, saved))

    def _loaded(self, paths: tuple[str, ...], saved: float, error: WebdemoError | None) -> None:
        self._load_writes.load_ended(time.time())
        self.tells_when_loaded = False
        if self._live.is_on:
            self._live.loads(False)
            self._loop.after(_SPARE_SECONDS, self._keep_spare)
            if error is None:
                self._emit(events.Changed(paths, time.time() - saved))

    def _keep_spare(self) -> None:
        """Import ahead what the next load needs before the app: with --live-reload."""
        if self._live.is_on and not self._is_stopping():
            adapters = [registry.find(service.server) for service in self._plan.services]
            of_servers = (module for adapter in adapters for module in adapter.modules)
            interpreter.keep_spare((*interpreter.AHEAD, *of_servers, *self._ahead))


def _settings(plan: Plan) -> tuple[object, ...]:
    return plan.reload, plan.reload_paths, plan.reload_exclude, plan.features.live_reload
