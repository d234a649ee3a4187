"""From what the user named to a WSGI app: `MODULE:ATTR`, `MODULE:FACTORY(...)` or a folder.

The rule: say what went wrong as the user would. A module that is not there is told from a module
whose own import failed, and only in the second case is a traceback wanted: the one of the app's
own code, without our frames.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from webdemo.errors import AppImportFailed, AttributeMissing, ModuleMissing, NotCallable, UsageError
from webdemo.servers import nearest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DEMO_SITE = "webdemo:app"
_USUAL_NAMES = ("app", "application", "wsgi", "create_app()", "make_app()")


@dataclass(frozen=True, slots=True)
class Target:
    """What to serve: an app by name, or a folder."""

    app: str = DEMO_SITE
    directory: str | None = None

    def __str__(self) -> str:
        return self.directory if self.directory is not None else self.app


def load(target: Target) -> WSGIApplication:
    """The app; raises AppUnavailable or UsageError. Runs the user's code, but not in the supervisor."""
    if target.directory is not None:
        from webdemo.web.static import StaticFiles

        return StaticFiles(target.directory, listing=True)
    module_name, colon, expression = target.app.partition(":")
    module = _import(module_name, target.app)
    if not colon:
        expression = _usual_name(module, module_name)
    found = _evaluate(module, module_name, expression)
    if not callable(found):
        raise NotCallable(
            f"{module_name}:{expression} is no WSGI app: it is {_a(type(found).__name__)}, which cannot be called.",
            remedy="A WSGI app is called with (environ, start_response); name the attribute that holds it.",
        )
    return cast("WSGIApplication", found)


def _import(name: str, text: str) -> ModuleType:
    if not name or not all(part.isidentifier() for part in name.split(".")):
        remedy = "Give it as MODULE:ATTR, for example --app mysite:app"
        if name.endswith(".py") or "/" in name:
            dotted = name.removesuffix(".py").replace("/", ".").strip(".")
            attribute = text.partition(":")[2] or "app"
            remedy = f"Give the module, not its file: --app {dotted}:{attribute}"
        raise UsageError(f"{text!r} does not name an app.", remedy=remedy)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        # Ours is missing only if the missing one is a part of the name that was asked for.
        if exc.name is None or not (name == exc.name or name.startswith(exc.name + ".")):
            raise _failed(name, exc) from exc
        known = [p.stem for p in Path.cwd().glob("*.py")] + [
            p.parent.name for p in Path.cwd().glob("*/__init__.py")
        ]
        guess = nearest(exc.name, known)
        remedy = (
            f"Did you mean {guess}?"
            if guess
            else f"Start in the folder that holds it (this is {Path.cwd()})."
        )
        raise ModuleMissing(f"There is no module {exc.name!r} for the app {text!r}.", remedy=remedy) from exc
    except SystemExit as exc:
        raise _failed(name, exc) from exc
    except Exception as exc:
        raise _failed(name, exc) from exc


def _usual_name(module: ModuleType, module_name: str) -> str:
    for name in _USUAL_NAMES:
        if callable(getattr(module, name.removesuffix("()"), None)):
            return name
    raise AttributeMissing(
        f"The module {module_name!r} has none of {', '.join(_USUAL_NAMES)}.",
        remedy=f"Name the app: --app {module_name}:NAME",
    )


def _evaluate(module: ModuleType, module_name: str, expression: str) -> Any:
    """`a.b`, or `a.b(1, key="x")` with literal arguments, read off the module."""
    try:
        node = ast.parse(expression.strip(), mode="eval").body
        call = node if isinstance(node, ast.Call) else None
        path = ast.unparse(call.func if call else node)
        if not all(part.isidentifier() for part in path.split(".")):
            raise ValueError
        arguments = [ast.literal_eval(a) for a in call.args] if call else []
        keywords = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if k.arg} if call else {}
    except (SyntaxError, ValueError):
        raise UsageError(
            f"{expression!r} does not name an app in {module_name}.",
            remedy=f"Give an attribute or a call: --app {module_name}:app or --app '{module_name}:make_app()'",
        ) from None
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as exc:
            public = [n for n in dir(found) if callable(getattr(found, n, None)) and not n.startswith("_")]
            guess = nearest(part, public)
            remedy = f"Did you mean {guess}?" if guess else f"Name its app: --app {module_name}:NAME"
            raise AttributeMissing(f"The module {module_name!r} has no {path!r}.", remedy=remedy) from exc
    if call is None:
        return found
    try:
        return found(*arguments, **keywords)
    except Exception as exc:
        raise _failed(f"{module_name}:{expression}", exc) from exc


def _failed(name: str, exc: BaseException) -> AppImportFailed:
    """The failure of the user's own code, with its frames and without those that led to it."""
    frames = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen importlib")
        and importlib.__file__ != frame.filename
    ]  # fmt: skip
    lines = ["Traceback (of the app):\n", *traceback.format_list(frames)] if frames else []
    lines += traceback.format_exception_only(exc)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    what = (
        f"it called sys.exit({exc.code!r})" if isinstance(exc, SystemExit) else f"{type(exc).__name__}: {exc}"
    )
    remedy = f"Mend the app{where}, or choose another --app."
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        remedy = f"Install or mend what it imports: {exc.name}{where}."
    return AppImportFailed(
        f"The app {name!r} cannot be loaded: {' '.join(what.split())}",
        remedy=remedy,
        traceback="".join(lines),
    )


def _a(word: str) -> str:
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"


def opened_at_import(before: set[str]) -> str | None:
    """What the app started when it was imported that a fork would break: None, or in words."""
    import threading

    threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    if threads:
        return f"importing the app started a thread ({threads[0]})"
    if open_sockets() - before:
        return "importing the app opened a socket"
    return None


def open_sockets() -> set[str]:
    """The sockets of this process, where the system tells (Linux): their names in /proc."""
    links = set()
    for entry in Path("/proc/self/fd").glob("*") if sys.platform == "linux" else ():
        try:
            links.add(str(entry.readlink()))
        except OSError:
            continue
    return {link for link in links if link.startswith("socket:")}


def source_folders() -> list[str]:
    """Where the app's own code lies: the folders of what was imported from outside of Python itself.

    With them comes the current folder, if some of it lies there: its templates and data count, too.
    """
    apart = {Path(path).resolve() for path in (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix)}
    here, ours = Path.cwd(), Path(__file__).resolve().parents[1]
    folders = set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file:
            folder = Path(file).resolve().parent
            parents = {folder, *folder.parents}
            if not (parents & apart or ours in parents):
                folders.add(here if here in parents and here != Path.home() else folder)
    return sorted(map(str, folders))
