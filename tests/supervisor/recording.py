"""Records what a real run tells its reconciler and what that orders, and plays it to a fresh one.

`COMMAND` starts webdemo with such a recording; its first argument is the file.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from webdemo.errors import WebdemoError
from webdemo.supervisor import facts
from webdemo.supervisor.reconciler import Reconciler

_ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    sys.executable,
    "-c",
    f"import sys; sys.path.append({str(_ROOT)!r}); from tests.supervisor import recording; recording.main()",
)
WISHES = ("configure", "reload", "wish", "kill", "stop_all", "stop_now")


class Call(NamedTuple):
    """A call of the reconciler: the method ("" for the class itself), its arguments, what it returned."""

    name: str
    arguments: tuple[Any, ...]
    result: Any = None


class Failure(NamedTuple):
    """Stands for a WebdemoError, of which no two are equal."""

    problem: str
    remedy: str
    exit_code: int


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, WebdemoError):
            return Failure, (value.problem, value.remedy, value.exit_code)
        return NotImplemented


def _pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)
    return buffer.getvalue()


# -- in the recorded run --------------------------------------------------------------------------


def main() -> None:
    """Run webdemo with the arguments after the file's name."""
    from webdemo import __main__
    from webdemo.supervisor import supervisor

    path = Path(sys.argv[1])
    sys.argv[:] = ["webdemo", *sys.argv[2:]]
    supervisor.Reconciler = _recorded(path)  # type: ignore[attr-defined]
    __main__.main()


def _recorded(path: Path) -> type[Reconciler]:
    """A Reconciler that writes down how it is called from outside; it also calls its own methods."""
    inside: list[str] = []

    def write(call: Call) -> None:
        with path.open("ab") as file:
            file.write(_pickled(call))

    def recording(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Reconciler, *arguments: Any, **options: Any) -> Any:
            inside.append(name)
            try:
                result = method(self, *arguments, **options)
            finally:
                inside.pop()
            if not inside:
                assert not options
                write(Call(name, arguments, result))
            return result

        return call

    class Recorded(Reconciler):
        def __init__(self, services: Any, limits: Any) -> None:
            super().__init__(services, limits)
            write(Call("", (services, limits)))

    for name in (*WISHES, "happened", "next_actions"):
        setattr(Recorded, name, recording(name, getattr(Reconciler, name)))
    return Recorded


# -- in the test ----------------------------------------------------------------------------------


def read(path: Path) -> list[Call]:
    calls = []
    with path.open("rb") as file:
        while file.peek(1):
            calls.append(pickle.load(file))
    return calls


def check(path: Path) -> list[Call]:
    """Check that a fresh reconciler decides the same, and the model's assumptions; returns the calls.

    The run must have ended.
    """
    calls = read(path)
    services, limits = calls[0].arguments
    reconciler = Reconciler(services, limits)
    for number, (name, arguments, result) in enumerate(calls[1:], 1):
        decided = pickle.loads(_pickled(getattr(reconciler, name)(*arguments)))
        earlier = "\n".join(map(str, calls[max(0, number - 30) : number]))
        assert decided == result, f"{name}{arguments} gave {decided}, not {result}, after\n{earlier}"
    _check_assumptions(calls)
    return calls


def _check_assumptions(calls: list[Call]) -> None:
    """The simulation takes these for granted of every machine."""
    living: dict[tuple[str, int], set[str]] = {}  # what is known of each process and loader
    shrunk: set[str] = set()
    for name, arguments, result in calls:
        for fact in arguments[:1] if name == "happened" else ():
            match fact:
                case facts.LoaderReady(number) | facts.LoaderEnded(number):
                    kind = ("loader", number)
                case facts.QueueLength(port):
                    assert port in shrunk, fact
                    continue
                case facts.PortOpened() | facts.PortFailed():
                    continue
                case _:
                    kind = ("process", fact.process)
            assert kind in living, f"nobody ordered it: {fact}"
            living[kind].add(type(fact).__name__)
            if isinstance(fact, facts.ProcessUp):
                assert "ProcessReady" in living[kind], fact
        for action in result if name == "next_actions" else ():
            match action:
                case facts.StartLoader(number):
                    living[("loader", number)] = set()
                case facts.Spawn(number):
                    living[("process", number)] = set()
                case facts.DrainQueue(port):
                    shrunk.add(port)
                case _:
                    pass
    for kind, told in living.items():
        assert told & {"ProcessEnded", "LoaderEnded"}, f"its end was never told: {kind}"
