"""The dashboard's buttons: each sends a command to the supervisor. Runs in the dashboard's process.

While the command runs, a thread keeps connecting to the port, so that each action reports its effect on
clients: how many connections were attempted, how many were refused, and how many were lost while being
established (during a TLS handshake, for example).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from webdemo.client.endpoint import Endpoint
from webdemo.dashboard.overview import Card, Port, Watch
from webdemo.errors import ControlUnavailable, UsageError
from webdemo.supervisor.actions import ACTIONS, Action
from webdemo.supervisor.control_messages import Completed, Kill, Killed, Start, Stop
from webdemo.text import format_duration
from webdemo.worker.codec import build

_TRY_EVERY_SECONDS = 0.01
_CONNECT_SECONDS = 2.0
_BACK_SECONDS = 15.0  # for a killed server to come up again


@dataclass(frozen=True, slots=True)
class Outcome:
    action: Action
    milliseconds: float
    tried: int
    refused: int
    lost: int

    def describe(self, port: str) -> str:
        """One sentence for the user."""
        text = f"{self.action.done.capitalize()} after {format_duration(self.milliseconds / 1000)}."
        if self.action.command is Stop:
            return f"{text} Port {port} is closed."
        if self.action.command is Start:
            return f"{text} Port {port} is open."
        lost = f", {self.lost} lost" if self.lost else ""
        return f"{text} {self.tried} connections meanwhile, {self.refused} refused{lost}."


def act(watch: Watch, card: Card, port: Port, name: str, server: str) -> Outcome:
    """Perform the action and wait until it is done; raises UsageError or ControlUnavailable."""
    offered = [known for known, action in ACTIONS.items() if action.states]
    if name not in offered:
        raise UsageError(f"There is no action {name!r}.", remedy=f"These are: {', '.join(offered)}.")
    action = ACTIONS[name]
    given = {"port": port.name, "server": server}
    command = build(action.command, {field: given[field] for field in action.command._fields})
    began = time.monotonic()
    with _Connecting(port) as connecting:
        is_kill = action.command is Kill
        reply = Killed if is_kill else Completed
        watch.instance.call(command, reply)
        if is_kill:
            _wait_until_back(watch, card, port.name)
    milliseconds = (time.monotonic() - began) * 1000
    return Outcome(action, milliseconds, connecting.tried, connecting.refused, connecting.lost)


def _wait_until_back(watch: Watch, card: Card, port: str) -> None:
    """Wait until the port's server is up in a new process; raises ControlUnavailable after _BACK_SECONDS."""
    killed = {process.pid for process in card.processes}
    deadline = time.monotonic() + _BACK_SECONDS
    while time.monotonic() < deadline:
        now = watch.look(afresh=True).card_of(port)
        if now and now.state == "up" and not killed & {process.pid for process in now.processes}:
            return
        time.sleep(0.05)
    raise ControlUnavailable(
        f"The server was killed, and is not back after {_BACK_SECONDS:.0f} s.",
        remedy="Its log says why; fix the cause, then restart it.",
    )


class _Connecting:
    """Connects to the port and disconnects, again and again, and counts the outcomes."""

    def __init__(self, port: Port) -> None:
        self.tried = 0
        self.refused = 0
        self.lost = 0
        self._endpoint = Endpoint.of_url(port.url)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._try, daemon=True)

    def __enter__(self) -> _Connecting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _try(self) -> None:
        while not self._over.is_set():
            self.tried += 1
            try:
                with self._endpoint.connect(_CONNECT_SECONDS):
                    pass
            except (ConnectionRefusedError, FileNotFoundError):
                self.refused += 1
            except OSError:
                self.lost += 1
            self._over.wait(_TRY_EVERY_SECONDS)
