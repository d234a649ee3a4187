"""The reconciler's words: the names of services and edits, and why a wish is not fulfilled."""

from __future__ import annotations

from webdemo.errors import UsageError, WebdemoError
from webdemo.supervisor.desired import Edit, Reload, Slot, Swap


def label(slot: Slot) -> str:
    return f"{slot.service} {' '.join(slot.ports)}"


def name_of(edit: Edit) -> str:
    """The name of the command for it."""
    return type(edit).__name__.lower()


def describe(edit: Edit) -> str:
    """The edit in words, such as `swap 8000 to gunicorn`."""
    words = [name_of(edit)]
    if not isinstance(edit, Reload):
        words += edit.ports
    if isinstance(edit, Swap):
        words += ["to", str(edit.service)]
    return " ".join(words)


STOPPING = UsageError("This webdemo is stopping.", remedy="Start a new one.")


def replaced(earlier: Edit, later: Edit) -> WebdemoError:
    return WebdemoError(
        f"{describe(earlier).capitalize()}: it was replaced by a later command, {describe(later)}.",
        remedy="See: webdemo ps",
    )


def late(edit: Edit, seconds: float) -> WebdemoError:
    return WebdemoError(
        f"{describe(edit).capitalize()}: it was not done within {seconds:g} s.",
        remedy="See: webdemo ps, and the log.",
    )


def gave_up(slot: Slot, deaths: int) -> WebdemoError:
    return WebdemoError(
        f"{label(slot)} did not come up: it ended {deaths} times in a row.", remedy="The log says why."
    )


def loader_error(how: str) -> WebdemoError:
    return WebdemoError(
        f"The app cannot be loaded: the process that imports it {how}.",
        remedy="The log may say more; --start-timeout SECONDS gives it more time.",
    )
