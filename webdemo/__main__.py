"""python -m webdemo, and the command `webdemo`.

What is going to load the app is started first: see webdemo.run.interpreter.
"""

from __future__ import annotations

import gc
import sys

from webdemo.run import interpreter


def main() -> None:
    """The command; it exits with its exit code."""
    if _serves(sys.argv[1:]):
        interpreter.start_early()
    from webdemo.cli import main as command

    try:
        command()
    finally:
        interpreter.end_early()
        gc.freeze()  # looking for garbage in what is left takes longest of all that an exit does


def _serves(arguments: list[str]) -> bool:
    """Whether it is to serve, as far as the first word tells: other commands are named by it."""
    first = arguments[0] if arguments else "--port"
    return first.startswith("-") and first not in ("-h", "--help", "--version")


if __name__ == "__main__":
    main()
