"""From what the user named to a WSGI app: `MODULE:ATTR`, `MODULE:FACTORY(...)` or a folder.

The rule: say what went wrong as the user would. A module that is not there is told from a module
whose own import failed, and only in the second case is a traceback wanted (see own_code).
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from webdemo.errors import AttributeMissing, ModuleMissing, NotCallable, UsageError
from webdemo.servers import nearest
from webdemo.worker.user_code import failure, is_own

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DEMO_SITE = "webdemo:app"
_USUAL_NAMES = ("app", "application", "wsgi", "create_app()", "make_app()")


class Target(NamedTuple):
    """What to serve: an app by name, or a folder."""

    app: str = DEMO_SITE
    directory: str | None = None

    def __str__(self) -> str:
        return self.directory if self.directory is not None else self.app


def load(target: Target) -> WSGIApplication:
    """The app; raises AppUnavailable or UsageError. Runs the user's code, but not in the supervisor."""
    if target.directory is not None:
        from webdemo.web.static.app import StaticFiles

        return StaticFiles(target.directory, listing=True)
    module_name, colon, expression = target.app.partition(":")
    if not _is_ours(module_name):
        _look_in_current_folder()
    module = _import(module_name, target.app)
    if not colon:
        expression = _usual_name(module, module_name)
    found = _evaluate(module, module_name, expression)
    _check_callable(found, f"{module_name}:{expression}")
    return cast("WSGIApplication", found)


# -- the module -----------------------------------------------------------------------------------


def _is_ours(module_name: str) -> bool:
    """Whether it is one of webdemo's own apps: the demo site, the dashboard."""
    return module_name.partition(".")[0] == __name__.partition(".")[0]


def _look_in_current_folder() -> None:
    """Put the current folder first on the path, however webdemo was started.

    Only processes that run an app that the user named have it there: see webdemo.__main__.
    """
    with contextlib.suppress(FileNotFoundError):  # it is gone
        here = str(Path.cwd())
        if sys.path[:1] != [here]:
            sys.path.insert(0, here)


def _import(name: str, text: str) -> ModuleType:
    if "/" in name or name.endswith(".py") or not all(part.strip() for part in name.split(".")):
        raise UsageError(f"{text!r} does not name an app.", remedy=_module_instead(name, text))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        # It is what was asked for that is missing only if it is a part of that name.
        if exc.name is None or not (name == exc.name or name.startswith(exc.name + ".")):
            raise failure(name, exc) from exc
        guess = nearest(exc.name, _modules_beside(exc.name))
        remedy = (
            f"Did you mean {guess}?"
            if guess
            else f"Start in the folder that holds it (this is {Path.cwd()})."
        )
        raise ModuleMissing(f"There is no module {exc.name!r} for the app {text!r}.", remedy=remedy) from exc
    except (Exception, SystemExit) as exc:
        raise failure(name, exc) from exc


def _module_instead(name: str, text: str) -> str:
    """How to name what was given as a file or a folder."""
    path = Path(name).resolve()
    if path.is_dir() and "/" in name:
        return f"To serve a folder: --directory {name}"
    if "/" not in name and not name.endswith(".py"):
        return "Give it as MODULE:ATTR, for example --app mysite:app"
    attribute = text.partition(":")[2] or "app"
    if path.is_relative_to(Path.cwd()):
        dotted = ".".join(path.relative_to(Path.cwd()).with_suffix("").parts)
        return f"Give the module, not its file: --app {dotted}:{attribute}"
    return f"Give the module, and start in its folder: cd {path.parent}; --app {path.stem}:{attribute}"


def _modules_beside(name: str) -> list[str]:
    """The modules that `name` could have been meant to be."""
    import pkgutil

    parent, dot, _ = name.rpartition(".")
    if not dot:
        return [module.name for module in pkgutil.iter_modules([str(Path.cwd())])]
    folders = getattr(sys.modules.get(parent), "__path__", [])
    return [f"{parent}.{module.name}" for module in pkgutil.iter_modules(folders)]


# -- what is in it --------------------------------------------------------------------------------


def _usual_name(module: ModuleType, module_name: str) -> str:
    for name in _USUAL_NAMES:
        try:
            found = _attribute(module, name.removesuffix("()"), f"{module_name}:{name}")
        except AttributeError:
            continue
        if callable(found):
            return name
    raise AttributeMissing(
        f"The module {module_name!r} has none of {', '.join(_USUAL_NAMES)}.",
        remedy=_hidden_by(module) or f"Name the app: --app {module_name}:NAME",
    )


def _evaluate(module: ModuleType, module_name: str, expression: str) -> Any:
    """`a.b`, or `a.b(1, key="x")` with literal arguments, read off the module."""
    path, call = _parse(module_name, expression)
    found: Any = module
    for depth, part in enumerate(path):
        try:
            found = _attribute(found, part, f"{module_name}:{expression}")
        except AttributeError as exc:
            callables = [n for n in dir(found) if callable(getattr(found, n, None)) and not n.startswith("_")]
            guess = nearest(part, callables)
            remedy = (
                f"Did you mean {'.'.join([*path[:depth], guess])}?"
                if guess
                else _hidden_by(module) or f"Name its app: --app {module_name}:NAME"
            )
            raise AttributeMissing(
                f"The module {module_name!r} has no {'.'.join(path[: depth + 1])!r}.", remedy=remedy
            ) from exc
    if call is None:
        return found
    arguments, keywords = call
    try:
        return found(*arguments, **keywords)
    except (Exception, SystemExit) as exc:
        raise failure(f"{module_name}:{expression}", exc) from exc


def _parse(module_name: str, expression: str) -> tuple[list[str], tuple[list[Any], dict[str, Any]] | None]:
    """The path of names, and the arguments if it is a call."""
    try:
        node = ast.parse(expression.strip(), mode="eval").body
        call = None
        if isinstance(node, ast.Call):
            if not all(keyword.arg for keyword in node.keywords):
                raise ValueError
            call = (
                [ast.literal_eval(argument) for argument in node.args],
                {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords},
            )
            node = node.func
        path = ast.unparse(node).split(".")
        if not all(part.isidentifier() for part in path):
            raise ValueError
    except (SyntaxError, ValueError):
        raise UsageError(
            f"{expression!r} does not name an app in {module_name}.",
            remedy=f"Give an attribute, or a call with plain values: --app '{module_name}:make_app(2)'",
        ) from None
    return path, call


def _attribute(holder: Any, name: str, app: str) -> Any:
    """The attribute; raises AttributeError if it is not there.

    An app may be made when it is first asked for, and fail then, with an AttributeError of its own too.
    """
    try:
        return getattr(holder, name)
    except AttributeError as exc:
        if exc.name == name and exc.obj is holder:
            raise
        raise failure(app, exc) from exc
    except (Exception, SystemExit) as exc:
        raise failure(app, exc) from exc


def _hidden_by(module: ModuleType) -> str | None:
    """The remedy when a module of Python's stands before one of the same name in this folder."""
    own = Path.cwd() / f"{module.__name__}.py"
    if own.exists() and not is_own(getattr(module, "__file__", None) or ""):
        return f"Python has a module {module.__name__!r} of its own, which hides yours: rename {own.name}."
    return None


def _check_callable(found: Any, name: str) -> None:
    """Refuse what is no WSGI app as far as that can be seen without a request."""
    if not callable(found):
        raise NotCallable(
            f"{name} is no WSGI app: it is {_a(type(found).__name__)}, which cannot be called.",
            remedy="A WSGI app is called with (environ, start_response); name the attribute that holds it.",
        )
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return  # written in C: it does not say
    if _takes(signature, 2):
        return
    if _takes(signature, 3):
        remedy = "It looks like an ASGI app (scope, receive, send), and webdemo serves WSGI apps."
    elif _takes(signature, 0):
        remedy = f"If it makes the app, call it: --app '{name}()'"
    else:
        remedy = "Name the attribute that holds the app, or call what makes it: --app 'MODULE:make_app()'"
    raise NotCallable(
        f"{name} is no WSGI app: it cannot be called with (environ, start_response).", remedy=remedy
    )


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _a(word: str) -> str:
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"


# -- what the import did --------------------------------------------------------------------------


def started_at_import(before: set[tuple[str, str]]) -> str | None:
    """What the app started when it was imported that a fork would break: None, or in words."""
    import threading

    threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    if threads:
        return f"importing the app started a thread ({threads[0]})"
    if any(name.startswith("socket:") for _, name in open_files() - before):
        return "importing the app opened a socket"
    return None


def open_files() -> set[tuple[str, str]]:
    """Descriptors of this process and their names in /proc, sockets and pipes too; none if not on Linux."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir() if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):  # the one that listed them
            found.add((descriptor.name, str(descriptor.readlink())))
    return found


def source_folders() -> list[str]:
    """Where the app's own code lies: the folders of what was imported, without installed packages.

    With them comes the current folder, if some of it lies there: its templates and data count, too.
    """
    here = Path.cwd()
    folders = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and is_own(file):
            folder = Path(file).parent
            folders.add(here if folder.is_relative_to(here) and here != Path.home() else folder)
    return sorted(map(str, folders))
