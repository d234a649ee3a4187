"""python -m webdemo, and the command `webdemo`.

What is going to load the app is forked first: see webdemo.run.interpreter.
"""

from __future__ import annotations

import gc
import sys

from webdemo.run import lifetime


def main() -> None:
    """The command; it exits with its exit code."""
    gc.disable()  # imports make nothing but what stays
    lifetime.prepare()
    end_early = None
    if _serves(sys.argv[1:]):
        from webdemo.run import interpreter, loader

        channel = interpreter.fork_early()
        if channel is not None:
            sys.exit(loader.main(channel, is_early=True))
        end_early = interpreter.end_early
    from webdemo.cli import main as command

    gc.enable()
    try:
        command()
    except SystemExit as exc:
        if isinstance(exc.code, int):
            lifetime.with_code(exc.code)
        raise
    finally:
        if end_early is not None:
            end_early()


def _serves(arguments: list[str]) -> bool:
    """Whether it is to serve, as far as the first word tells: other commands are named by it."""
    first = arguments[0] if arguments else "--port"
    return first.startswith("-") and first not in ("-h", "--help", "--version")


if __name__ == "__main__":
    main()
