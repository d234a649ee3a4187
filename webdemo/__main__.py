"""Entry point of `python -m webdemo` and of the command `webdemo`.

webdemo imports nothing from the current folder, which may be any folder that a user wants to serve:
`python -m` puts it on sys.path, and it is removed before the first import. Importing the user's app
puts it back: see webdemo.worker.app_import. (What `python -m` itself imports before this line is out
of our control; the command `webdemo` imports nothing from there.)

The interpreter that will load the app is forked first: see webdemo.worker.interpreter.
"""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the current folder, or the script's

import gc

from webdemo.portable import CAN_FORK
from webdemo.worker import startup


def main() -> None:
    """Run the command and exit with its exit code."""
    gc.disable()  # imports create only objects that stay alive
    startup.open_closed_streams()
    end_early = None
    if CAN_FORK and _serves(sys.argv[1:]):
        import webdemo.worker.channel
        import webdemo.worker.messages  # both processes need them
        from webdemo.worker import interpreter

        channel = interpreter.fork_early()
        if channel is not None:
            from webdemo.worker import loader

            sys.exit(loader.main(channel, interpreter.AHEAD))
        end_early = interpreter.end_early
        import webdemo.supervisor.supervisor  # noqa: F401  # before collections would visit all new classes
    from webdemo.cli import main as command

    gc.freeze()
    gc.enable()
    try:
        command()
    finally:
        if end_early is not None:
            end_early()
        gc.freeze()  # the collections of the interpreter's teardown would take longer than the rest of it


def _serves(arguments: list[str]) -> bool:
    """Whether the command line serves an app: any other command is named by its first word."""
    first = arguments[0] if arguments else "--port"
    return first.startswith("-") and first not in ("-h", "--help", "--version")


if __name__ == "__main__":
    main()
