"""python -m webdemo, and the command `webdemo`.

Nothing is looked up in the current folder, which may be any folder that somebody wants to serve:
before anything else is imported, it goes from the path on which `python -m` put it. What loads an
app that the user named puts it back: see webdemo.worker.app_import. (What `python -m` itself imports before
this line cannot be helped; the command `webdemo` imports nothing from there.)

What is going to load the app is forked first: see webdemo.worker.interpreter.
"""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the current folder, or that of a script

import gc

from webdemo.worker import lifetime


def main() -> None:
    """The command; it exits with its exit code."""
    gc.disable()  # imports make nothing but what stays
    lifetime.prepare()
    end_early = None
    if _serves(sys.argv[1:]):
        from webdemo.worker import interpreter, loader

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
