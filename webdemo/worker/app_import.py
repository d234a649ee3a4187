"""Imports the app that the user named: `MODULE:ATTR`, `MODULE:FACTORY(...)`, or a folder to serve.

Runs in the loader, or in a server process that imports its own copy of the app.
The rule: a missing module is told apart from a module whose own import failed; only the latter shows a
traceback (see user_code).
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import inspect
import os
import stat
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from webdemo import standard_streams
from webdemo.errors import UsageError, WebdemoError
from webdemo.middleware.static_mounts import FolderOptions
from webdemo.servers import nearest
from webdemo.user_code import failure, is_own
from webdemo.worker import new_bytecode

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DEMO_SITE = "webdemo:app"
_USUAL_NAMES = ("app", "application", "wsgi", "create_app()", "make_app()")


class Target(NamedTuple):
    """What to serve: an app by name, or a folder, if `directory` is set."""

    app: str = DEMO_SITE
    directory: str | None = None
    folder_options: FolderOptions = FolderOptions()  # those of `directory`
    arguments: tuple[str | bool, ...] | None = None  # call what `app` names with these; may be secret
    environment: tuple[tuple[str, str], ...] = ()  # variables to set for the app, unless they are set
    env_file: str | None = None  # further ones, read each time the app is loaded
    folder: str | None = None  # where the app is found, instead of the current folder

    def __str__(self) -> str:
        return self.directory if self.directory is not None else self.app


class Found(NamedTuple):
    """The app, and the whole name under which it was found."""

    name: str
    app: WSGIApplication


def load(target: Target) -> Found:
    """Import the app, which runs the user's code. Raises WebdemoError or UsageError."""
    if target.directory is not None:
        return Found(target.directory, target.folder_options.app(target.directory, listing=True))
    _set_environment(target)
    module_name, colon, expression = target.app.partition(":")
    if not _is_ours(module_name):
        _look_first_in(target.folder)
    with new_bytecode.not_kept():
        module = _import(module_name, target.app)
        if not colon:
            module, module_name, expression = _usual_name(module, module_name)
        found = _evaluate(module, module_name, expression, target.arguments)
    standard_streams.restore()
    name = f"{module_name}:{expression}"
    _check_callable(found, name)
    return Found(name, cast("WSGIApplication", found))


def _set_environment(target: Target) -> None:
    """Set the app's variables; none is set over one that is set already."""
    variables = dict(target.environment)
    if target.env_file is not None:
        variables |= read_env_file(target.env_file)
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def read_env_file(path: str) -> dict[str, str]:
    """The variables of a .env file. Raises UsageError."""
    import dotenv

    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ValueError("it is not a regular file")  # a device may have no end, a FIFO no writer
        with Path(path).open(encoding="utf-8") as file:
            found = dotenv.dotenv_values(stream=file)
    except (OSError, ValueError) as exc:
        raise UsageError(
            f"The file {path} cannot be read: {getattr(exc, 'strerror', None) or exc}.",
            remedy="Name a file with lines NAME=value: --env-file FILE",
        ) from exc
    return {name: value for name, value in found.items() if value is not None}


# -- the module -----------------------------------------------------------------------------------


def _is_ours(module_name: str) -> bool:
    """Whether the module is part of webdemo: the demo site, the dashboard."""
    return module_name.partition(".")[0] == __name__.partition(".")[0]


def _look_first_in(folder: str | None) -> None:
    """Put this folder, or the current one, first on sys.path, however webdemo was started.

    Only processes that run the user's app have it there: see webdemo.__main__.
    """
    with contextlib.suppress(FileNotFoundError):  # the current folder was deleted
        here = folder or str(Path.cwd())
        if sys.path[:1] != [here]:
            sys.path.insert(0, here)


def _import(name: str, text: str) -> ModuleType:
    if "/" in name or name.endswith(".py") or not all(part.strip() for part in name.split(".")):
        raise UsageError(f"{text!r} does not name an app.", remedy=_module_instead(name, text))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        # The app's module itself is missing only if the missing name is it or a parent package of it.
        if exc.name is None or not (name == exc.name or name.startswith(exc.name + ".")):
            raise failure(name, exc) from exc
        parent, _, attribute = exc.name.rpartition(".")
        if hasattr(sys.modules.get(parent), attribute):
            guess: str | None = f"{parent}:{attribute}"
        else:
            guess = nearest(exc.name, _modules_beside(exc.name))
        remedy = (
            f"Did you mean {guess}?"
            if guess
            else f"Start in the folder that holds it (this is {Path.cwd()}), or name it: --app-dir DIR"
        )
        raise WebdemoError(f"There is no module {exc.name!r} for the app {text!r}.", remedy=remedy) from exc
    except BaseException as exc:
        raise failure(name, exc) from exc


def _module_instead(name: str, text: str) -> str:
    """The remedy for an app that was given as a file or a folder."""
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
    """The modules of which `name` may be a misspelling."""
    import pkgutil

    parent, dot, _ = name.rpartition(".")
    if not dot:
        return [module.name for module in pkgutil.iter_modules([str(Path.cwd())])]
    folders = getattr(sys.modules.get(parent), "__path__", [])
    return [f"{parent}.{module.name}" for module in pkgutil.iter_modules(folders)]


# -- what is in it --------------------------------------------------------------------------------


def _usual_name(module: ModuleType, module_name: str) -> tuple[ModuleType, str, str]:
    """The module, its name, and what makes or holds the app: in this module, or in its module `wsgi`."""
    if name := _usual_in(module, module_name):
        return module, module_name, name
    wsgi_name = f"{module_name}.wsgi"
    if hasattr(module, "__path__") and importlib.util.find_spec(wsgi_name):
        wsgi = _import(wsgi_name, wsgi_name)
        if name := _usual_in(wsgi, wsgi_name):
            return wsgi, wsgi_name, name
    raise WebdemoError(
        f"The module {module_name!r} has none of {', '.join(_USUAL_NAMES)}.",
        remedy=_hidden_by(module) or f"Name the app: --app {module_name}:NAME",
    )


def _usual_in(module: ModuleType, module_name: str) -> str | None:
    for name in _USUAL_NAMES:
        try:
            found = _attribute(module, name.removesuffix("()"), f"{module_name}:{name}")
        except AttributeError:
            continue
        if callable(found):
            return name
    return None


def _evaluate(
    module: ModuleType, module_name: str, expression: str, arguments: tuple[str | bool, ...] | None
) -> Any:
    """Evaluate `a.b` in the module, call it with `arguments`, or evaluate `a.b(1, key="x")` with literals."""
    path, call = _parse(module_name, expression)
    if arguments is not None:
        call = list(arguments), {}
    found: Any = module
    for depth, part in enumerate(path):
        try:
            found = _attribute(found, part, f"{module_name}:{expression}")
        except AttributeError as exc:
            callables = [n for n in dir(found) if callable(getattr(found, n, None)) and not n.startswith("_")]
            guess = nearest(part, callables)
            if guess is None and depth == 0:
                guess = next((name for name in _USUAL_NAMES if callable(vars(module).get(name))), None)
            remedy = (
                f"Did you mean {'.'.join([*path[:depth], guess])}?"
                if guess
                else _hidden_by(module) or f"Name its app: --app {module_name}:NAME"
            )
            raise WebdemoError(
                f"The module {module_name!r} has no {'.'.join(path[: depth + 1])!r}.", remedy=remedy
            ) from exc
    if call is None:
        return found
    positional, keywords = call
    try:
        return found(*positional, **keywords)
    except BaseException as exc:
        raise failure(f"{module_name}:{expression}", exc) from exc


def _parse(module_name: str, expression: str) -> tuple[list[str], tuple[list[Any], dict[str, Any]] | None]:
    """The names of the attribute path; for a call also positional and keyword arguments, else None."""
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
    """The attribute. Raises AttributeError if it is missing, and AppImportFailed if computing it fails.

    A module's `__getattr__` may build the app on first access, and raise its own AttributeError.
    """
    try:
        return getattr(holder, name)
    except AttributeError as exc:
        if exc.name == name and exc.obj is holder:
            raise
        raise failure(app, exc) from exc
    except BaseException as exc:
        raise failure(app, exc) from exc


def _hidden_by(module: ModuleType) -> str | None:
    """The remedy if another module, such as one of the standard library, shadows the user's."""
    own = Path.cwd() / f"{module.__name__}.py"
    if own.exists() and not is_own(getattr(module, "__file__", None) or ""):
        return f"Python has a module {module.__name__!r} of its own, which hides yours: rename {own.name}."
    return None


def _check_callable(found: Any, name: str) -> None:
    """Raise WebdemoError for an object that is not a WSGI app, as far as its signature shows."""
    if not callable(found):
        raise WebdemoError(
            f"{name} is no WSGI app: it is {_a(type(found).__name__)}, which cannot be called.",
            remedy="A WSGI app is called with (environ, start_response); name the attribute that holds it.",
        )
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return  # a callable written in C may have no signature
    if _takes(signature, 2):
        return
    problem = f"{name} is no WSGI app: it cannot be called with (environ, start_response)."
    if _takes(signature, 3):
        problem = f"{name} looks like an ASGI app (scope, receive, send), and webdemo serves WSGI apps."
        remedy = "Serve it with an ASGI server, such as Uvicorn, or wrap it in ASGIMiddleware of a2wsgi."
    elif _takes(signature, 0):
        remedy = f"If it makes the app, call it: --app '{name}()'"
    else:
        remedy = "Name the attribute that holds the app, or call what makes it: --app 'MODULE:make_app()'"
    raise WebdemoError(problem, remedy=remedy)


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _a(word: str) -> str:
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"


# -- what the import did --------------------------------------------------------------------------


def source_folders() -> tuple[str, ...]:
    """The folders of the app's own code: of all imported modules except installed packages.

    A folder inside the current one is replaced by the current folder, so that changes of templates and data
    are noticed too. The home folder and the root hold too much else: there the files themselves are named.
    """
    here = Path.cwd()
    in_project = is_project(here)
    folders = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and is_own(file):
            folder = Path(file).parent
            if in_project and folder.is_relative_to(here):
                folder = here
            folders.add(folder if is_project(folder) else Path(file))
    return tuple(sorted(map(str, folders)))


def is_project(folder: Path) -> bool:
    """Whether the folder can be watched as a whole; the home folder and the root hold too much."""
    return folder not in (_home(), Path(folder.anchor))


def _home() -> Path | None:
    """The user's home folder; None if neither HOME nor the user database names one."""
    try:
        return Path.home()
    except RuntimeError:
        return None
