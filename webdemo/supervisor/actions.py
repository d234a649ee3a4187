"""The table of actions: the commands that change what runs, in the words of all who offer or report them.

The CLI makes its commands from it, the dashboard its buttons, and the printer its lines.
"""

from typing import NamedTuple

from webdemo.supervisor.control_messages import ActionCommand, Kill, Reload, Restart, Start, Stop, Swap


class Action(NamedTuple):
    command: type[ActionCommand]
    help: str  # `webdemo NAME --help`; the command's fields are the arguments
    done: str  # "webdemo 4711 8000: restarted after 80 ms."
    event: str  # "waitress 8000 has been restarted after 80 ms."
    states: tuple[str, ...] = ()  # of a service: in these the dashboard has a button for it


ACTIONS = {
    "reload": Action(
        Reload,
        "Import the app again and replace every server. If the import fails, the old code keeps running.",
        done="reloaded",
        event="has the new code",
    ),
    "restart": Action(
        Restart,
        "Replace the processes of the server on PORT, or of every server. No connection is refused.",
        done="restarted",
        event="has been restarted",
        states=("up",),
    ),
    "swap": Action(
        Swap,
        "Replace the server on PORT with another one. No connection is refused.\n\n"
        "SERVER is a name, with options if needed: webdemo swap 8000 'gunicorn?workers=2'",
        done="swapped",
        event="has taken over",
        states=("up", "waiting"),
    ),
    "stop": Action(
        Stop,
        "Stop the server on PORT gracefully, and close the port. Without PORT, stop the whole webdemo.",
        done="stopped",
        event="continues without the port that was stopped",
        states=("up", "waiting"),
    ),
    "start": Action(
        Start,
        "Start the server on PORT again after it was stopped or given up.",
        done="started",
        event="has been started",
        states=("stopped", "given up"),
    ),
    "kill": Action(
        Kill,
        "Kill the server processes on PORT with SIGKILL; they are restarted.",
        done="killed, and up again",
        event="is up again",
        states=("up",),
    ),
}
"""By name; `kill` is not a command of the CLI."""
