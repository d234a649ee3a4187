"""The servers by name: those of this package, plug-ins, and runners of PasteDeploy.

A server is a module of this package with an `adapter`, an entry point of an installed package in the
group `webdemo.servers`, or (as `paste.NAME`) an entry point `paste.server_runner`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from webdemo.errors import ServerUnavailable, UsageError
from webdemo.servers import CONTRACT, Adapter, nearest, not_loadable
from webdemo.servers._paste import bridge

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "webdemo.servers"
PASTE_GROUP = "paste.server_runner"
PASTE = "paste."

_PACKAGE, _, _THIS = __name__.rpartition(".")


def built_in() -> list[str]:
    """The names of webdemo's own adapters, which are the other modules of this package."""
    import pkgutil

    modules = pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__)
    return sorted(m.name for m in modules if _may_be_adapter(m.name))


def _may_be_adapter(name: str) -> bool:
    return name.isidentifier() and not name.startswith("_") and name != _THIS


def names() -> list[str]:
    """The names of all known servers, installed or not."""
    plugged = sorted(e.name for e in _entry_points().select(group=GROUP))
    return list(dict.fromkeys([*built_in(), *plugged, *sorted(_pasted())]))


def _entry_points() -> Any:
    import importlib.metadata

    return importlib.metadata.entry_points()


def _pasted() -> dict[str, EntryPoint]:
    """Paste runners by name, `paste.NAME`; one called `main`, as most are, gets its package's name."""
    entries = _entry_points().select(group=PASTE_GROUP)
    return {PASTE + (e.dist.name if e.name == "main" and e.dist else e.name): e for e in entries}


@functools.cache  # finding a plug-in reads the metadata of every installed distribution
def find(name: str) -> Adapter:
    """The adapter called `name`; does not import the server. Raises UsageError or ServerUnavailable."""
    if _may_be_adapter(name) and importlib.util.find_spec(f"{_PACKAGE}.{name}"):
        return importlib.import_module(f"{_PACKAGE}.{name}").adapter  # type: ignore[no-any-return]
    if name.startswith(PASTE) and (runner := _pasted().get(name)):
        return bridge(name, runner)
    for entry in _entry_points().select(group=GROUP, name=name):
        try:
            adapter = entry.load()
        except Exception as exc:
            raise not_loadable(name, entry.value, f"{type(exc).__name__}: {exc}") from exc
        if not isinstance(adapter, Adapter):
            raise not_loadable(name, entry.value, "it is not a webdemo.servers.Adapter")
        if adapter.name != name:
            raise not_loadable(name, entry.value, f"the adapter is called {adapter.name!r}")
        if adapter.contract != CONTRACT:
            distribution = entry.dist.name if entry.dist else name
            older = distribution if adapter.contract < CONTRACT else "webdemo"
            raise not_loadable(
                name,
                entry.value,
                f"it was made for contract {adapter.contract}, and this webdemo has contract {CONTRACT}",
                remedy=f"Upgrade {older} (pip install --upgrade {older}), or choose another server.",
            )
        return adapter
    plain, _, options = name.partition("?")
    if options and plain in names():
        raise UsageError(
            f"{name!r} is a server with options, not its name.",
            remedy=f"Give the options in a bind: -b '{plain}://:8000?{options}'",
        )
    similar = nearest(name, names())
    raise UsageError(
        f"There is no server called {name!r}.",
        remedy=f"Did you mean {similar}?" if similar else f"These are known: {', '.join(names())}.",
    )


def find_installed(name: str) -> Adapter:
    """The adapter called `name`. Raises UsageError or ServerUnavailable."""
    adapter = find(name)
    if not adapter.is_installed():
        raise ServerUnavailable(
            f"The server {name} is not installed.", remedy=f"Install it: {adapter.install_command()}"
        )
    return adapter


def known() -> list[Adapter]:
    """All servers, installed or not; broken plug-ins are skipped (`find` raises for them)."""
    found = []
    for name in names():
        with contextlib.suppress(ServerUnavailable):
            found.append(find(name))
    return found


def installed() -> list[Adapter]:
    return [adapter for adapter in known() if adapter.is_installed()]
