"""Loading apps, and every way in which that fails, word for word.

Most are loaded in this process, each from its own folder and under its own module name.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from webdemo.errors import (
    AppImportFailed,
    UsageError,
    WebdemoError,
)
from webdemo.worker.app_import import Found, Target, load, read_env_file

_numbers = itertools.count(1)
Module = Callable[..., str]

APP = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"app"]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """Writes a module into the current folder and returns its unique name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(text: str, *, file: str = "{}.py") -> str:
        name = f"site{next(_numbers)}"
        path = tmp_path / file.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return name

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def refusal(kind: type[WebdemoError], app: str) -> WebdemoError:
    with pytest.raises(kind) as caught:
        load(Target(app))
    assert "\n" not in caught.value.problem
    assert "\n" not in caught.value.remedy
    assert type(caught.value) is kind
    return caught.value


def without_carets(traceback: str) -> list[str]:
    """The traceback's lines without the markers under the code, which differ between Python versions."""
    return [line for line in traceback.splitlines() if line.strip(" ^~") or not line]


def answer(app: Any) -> bytes:
    return b"".join(app({}, lambda *_: None))


def answer_of(found: Found) -> bytes:
    return answer(found.app)


# -- apps that load -------------------------------------------------------------------------------


def test_an_attribute_a_nested_one_and_the_usual_name_are_found(module: Module) -> None:
    name = module(APP + "class shop:\n    web = staticmethod(app)\n")
    for text in (f"{name}:app", f"{name}:shop.web", name):
        assert answer_of(load(Target(text))) == b"app"


@pytest.mark.parametrize("usual", ["app", "application", "wsgi", "create_app", "make_app"])
def test_without_an_attribute_the_usual_names_are_tried(module: Module, usual: str) -> None:
    made = f"{usual} = app\n" if not usual.endswith("_app") else f"def {usual}():\n    return run\n"
    name = module(APP.replace("def app", "def run") + made.replace("= app", "= run"))
    assert answer_of(load(Target(name))) == b"app"


def test_a_factory_takes_literal_arguments(module: Module) -> None:
    name = module("""
        def make(*words, sep=" ", **more):
            def app(environ, start_response):
                start_response("200 OK", [])
                return [repr((words, sep, more)).encode()]
            return app
        class inner:
            make = staticmethod(make)
        """)
    text = f'{name}:make(1, -2.5, "a:b", [None, True], sep={{"k": (1, 2)}}, debug=False)'
    assert (
        answer_of(load(Target(text))) == b"((1, -2.5, 'a:b', [None, True]), {'k': (1, 2)}, {'debug': False})"
    )
    assert answer_of(load(Target(f"{name}:inner.make()"))) == b"((), ' ', {})"
    keyed = Target(f"{name}:inner.make", arguments=("secret",))
    assert "secret" not in str(keyed)
    assert answer_of(load(keyed)) == b"(('secret',), ' ', {})"


def test_a_class_an_instance_and_a_name_with_a_hyphen_are_apps(module: Module, tmp_path: Path) -> None:
    name = module("""
        class App:
            def __init__(self, environ, start_response):
                pass
        class Callable:
            def __call__(self, environ, start_response):
                return [b"instance"]
        app = Callable()
        """)
    assert callable(load(Target(f"{name}:App")).app)
    assert answer_of(load(Target(f"{name}:app"))) == b"instance"
    (tmp_path / f"my-{name}.py").write_text(APP)
    assert answer_of(load(Target(f"my-{name}:app"))) == b"app"


def test_a_folder_is_served_with_its_listing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    app: Any = load(Target(directory=str(tmp_path))).app
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": "", "QUERY_STRING": ""}
    body = app(environ, lambda *_: None)
    assert b"a.txt" in b"".join(body)
    body.close() if hasattr(body, "close") else None


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=str(tmp_path / "none")):
        load(Target(directory=str(tmp_path / "none")))


# -- missing modules ------------------------------------------------------------------------------


def test_a_missing_module_is_told_from_one_whose_own_import_fails(module: Module, tmp_path: Path) -> None:
    name = module("import webdemo_no_such_library\n")
    missing = refusal(WebdemoError, "zzzzzz:app")
    assert str(missing) == (
        "There is no module 'zzzzzz' for the app 'zzzzzz:app'.\n"
        f"Start in the folder that holds it (this is {tmp_path}), or name it: --app-dir DIR"
    )
    failed = refusal(AppImportFailed, f"{name}:app")
    assert str(failed) == (
        f"The app '{name}' cannot be loaded: ModuleNotFoundError: No module named 'webdemo_no_such_library'\n"
        f"Install or fix what it imports: webdemo_no_such_library ({name}.py, line 1)."
    )
    assert isinstance(failed, AppImportFailed)
    assert failed.traceback == (
        "Traceback (most recent call last):\n"
        f'  File "{tmp_path}/{name}.py", line 1, in <module>\n'
        "    import webdemo_no_such_library\n"
        "ModuleNotFoundError: No module named 'webdemo_no_such_library'\n"
    )


def test_a_module_that_is_almost_named_right_is_suggested(module: Module) -> None:
    module(APP, file="storefront.py")
    assert refusal(WebdemoError, "storefrnt:app").remedy == "Did you mean storefront?"


def test_a_missing_submodule_is_named_and_a_sibling_suggested(module: Module) -> None:
    name = module("", file="{}/__init__.py")
    Path(name, "checkout.py").write_text(APP)
    missing = refusal(WebdemoError, f"{name}.chekout:app")
    assert str(missing) == (
        f"There is no module '{name}.chekout' for the app '{name}.chekout:app'.\n"
        f"Did you mean {name}.checkout?"
    )


def test_a_module_without_submodules_is_no_package(module: Module) -> None:
    name = module(APP)
    assert refusal(WebdemoError, f"{name}.main:app").problem == (
        f"There is no module '{name}.main' for the app '{name}.main:app'."
    )


def test_a_packages_own_import_of_a_missing_submodule_is_the_packages_failure(module: Module) -> None:
    name = module("from . import nothing_here\n", file="{}/__init__.py")
    Path(name, "main.py").write_text(APP)
    problem = refusal(AppImportFailed, f"{name}.main:app").problem
    assert problem.startswith(
        f"The app '{name}.main' cannot be loaded: ImportError: cannot import name 'nothing_here' from "
    )


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("shop.py:app", "Give the module, not its file: --app shop:app"),
        ("shop.py", "Give the module, not its file: --app shop:app"),
        ("./shop.py:web", "Give the module, not its file: --app shop:web"),
        ("src/shop.py:app", "Give the module, not its file: --app src.shop:app"),
        ("src/shop:app", "Give the module, not its file: --app src.shop:app"),
        ("/srv/shop.py:app", "Give the module, and start in its folder: cd /srv; --app shop:app"),
        ("/usr/", "To serve a folder: --directory /usr/"),
        ("", "Give it as MODULE:ATTR, for example --app mysite:app"),
        (":app", "Give it as MODULE:ATTR, for example --app mysite:app"),
        (".shop:app", "Give it as MODULE:ATTR, for example --app mysite:app"),
        ("shop..web:app", "Give it as MODULE:ATTR, for example --app mysite:app"),
    ],
)
def test_a_file_or_folder_given_for_a_module_is_answered_with_what_to_give(
    module: Module, given: str, remedy: str
) -> None:
    error = refusal(UsageError, given)
    assert str(error) == f"{given!r} does not name an app.\n{remedy}"
    assert error.exit_code == 2


def test_a_syntax_error_is_shown_with_its_line(module: Module, tmp_path: Path) -> None:
    name = module("x = 1\ndef app(:\n")
    failed = refusal(AppImportFailed, f"{name}:app")
    assert str(failed) == (
        f"The app '{name}' cannot be loaded: SyntaxError: invalid syntax ({name}.py, line 2)\n"
        f"Fix the app ({name}.py, line 2), or choose another --app."
    )
    assert isinstance(failed, AppImportFailed)
    assert without_carets(failed.traceback) == [
        f'  File "{tmp_path}/{name}.py", line 2',
        "    def app(:",
        "SyntaxError: invalid syntax",
    ]


def test_exiting_at_import_is_a_failure_and_does_not_end_the_program(module: Module) -> None:
    name = module('import sys\nsys.exit("DATABASE_URL is not set")\n')
    assert str(refusal(AppImportFailed, f"{name}:app")) == (
        f"The app '{name}' cannot be loaded: it called sys.exit('DATABASE_URL is not set')\n"
        f"Fix the app ({name}.py, line 2), or choose another --app."
    )


def test_an_error_without_text_of_its_own_is_named_by_its_class(module: Module) -> None:
    name = module("""
        class Broken(Exception):
            def __str__(self):
                raise ValueError("no text")
            __repr__ = __str__
        raise Broken
    """)
    assert "cannot be loaded: Broken: <exception str() failed>" in str(
        refusal(AppImportFailed, f"{name}:app")
    )


def test_the_traceback_has_the_apps_frames_and_not_the_libraries(module: Module, tmp_path: Path) -> None:
    name = module("""
        import json
        def settings():
            try:
                return json.loads("{")
            except ValueError as exc:
                raise RuntimeError("the settings\\ncannot be read") from exc
        settings()
        """)
    failed = refusal(AppImportFailed, f"{name}:app")
    assert isinstance(failed, AppImportFailed)
    assert failed.problem == (f"The app '{name}' cannot be loaded: RuntimeError: the settings cannot be read")
    file = f'  File "{tmp_path}/{name}.py"'
    assert without_carets(failed.traceback) == [
        "Traceback (most recent call last):",
        f"{file}, line 5, in settings",
        '    return json.loads("{")',
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        f"{file}, line 8, in <module>",
        "    settings()",
        f"{file}, line 7, in settings",
        '    raise RuntimeError("the settings\\ncannot be read") from exc',
        "RuntimeError: the settings",
        "cannot be read",
    ]


# -- missing attributes ---------------------------------------------------------------------------


def test_a_missing_attribute_is_named_and_the_nearest_suggested(module: Module) -> None:
    name = module(APP + "class shop:\n    web = staticmethod(app)\n")
    assert str(refusal(WebdemoError, f"{name}:ap")) == (
        f"The module '{name}' has no 'ap'.\nDid you mean app?"
    )
    assert str(refusal(WebdemoError, f"{name}:shop.wbe")) == (
        f"The module '{name}' has no 'shop.wbe'.\nDid you mean shop.web?"
    )
    assert str(refusal(WebdemoError, f"{name}:zzzzzz.app")) == (
        f"The module '{name}' has no 'zzzzzz'.\nDid you mean app?"
    )


def test_a_module_without_any_usual_name_asks_for_the_name(module: Module) -> None:
    name = module("x = 1")
    assert str(refusal(WebdemoError, name)) == (
        f"The module '{name}' has none of app, application, wsgi, create_app(), make_app().\n"
        f"Name the app: --app {name}:NAME"
    )


def test_a_module_hidden_by_one_of_pythons_is_told(module: Module) -> None:
    module(APP, file="json.py")
    remedy = "Python has a module 'json' of its own, which hides yours: rename json.py."
    assert refusal(WebdemoError, "json:app").remedy == remedy
    assert refusal(WebdemoError, "json").remedy == remedy


@pytest.mark.parametrize(
    "expression",
    ["", "make(", "make(x)", "make(*[1])", "make(**{})", "a[0]", "a()()", "1", "lambda: 1", "a b", "'a'"],
)
def test_an_expression_that_is_no_name_and_no_plain_call_is_refused(module: Module, expression: str) -> None:
    name = module(APP)
    assert str(refusal(UsageError, f"{name}:{expression}")) == (
        f"{expression!r} does not name an app in {name}.\n"
        f"Give an attribute, or a call with plain values: --app '{name}:make_app(2)'"
    )


def test_what_cannot_be_called_is_no_app(module: Module) -> None:
    name = module("app = 1\ndef make():\n    return None\n")
    remedy = "A WSGI app is called with (environ, start_response); name the attribute that holds it."
    assert str(refusal(WebdemoError, f"{name}:app")) == (
        f"{name}:app is no WSGI app: it is an int, which cannot be called.\n{remedy}"
    )
    assert str(refusal(WebdemoError, f"{name}:make()")) == (
        f"{name}:make() is no WSGI app: it is a NoneType, which cannot be called.\n{remedy}"
    )


def test_an_attribute_behind_a_dot_gets_its_colon(module: Module) -> None:
    name = module("app = lambda environ, start_response: []\n")
    assert refusal(WebdemoError, f"{name}.app").remedy == f"Did you mean {name}:app?"


def test_a_factory_an_asgi_app_and_another_function_are_told_from_an_app(module: Module) -> None:
    name = module("""
        def make(debug=False): ...
        async def asgi(scope, receive, send): ...
        def other(a, b, c, d): ...
        """)
    problem = "is no WSGI app: it cannot be called with (environ, start_response)."
    assert str(refusal(WebdemoError, f"{name}:make")) == (
        f"{name}:make {problem}\nIf it makes the app, call it: --app '{name}:make()'"
    )
    assert str(refusal(WebdemoError, f"{name}:asgi")) == (
        f"{name}:asgi looks like an ASGI app (scope, receive, send), and webdemo serves WSGI apps.\n"
        "Serve it with an ASGI server, such as Uvicorn, or wrap it in ASGIMiddleware of a2wsgi."
    )
    assert refusal(WebdemoError, f"{name}:other").remedy == (
        "Name the attribute that holds the app, or call what makes it: --app 'MODULE:make_app()'"
    )


def test_a_factory_that_raises_is_the_apps_failure(module: Module, tmp_path: Path) -> None:
    name = module("import sys\ndef make(x):\n    return 1 / x\ndef leave():\n    sys.exit(3)\n")
    failed = refusal(AppImportFailed, f"{name}:make(0)")
    assert str(failed) == (
        f"The app '{name}:make(0)' cannot be loaded: ZeroDivisionError: division by zero\n"
        f"Fix the app ({name}.py, line 3), or choose another --app."
    )
    assert isinstance(failed, AppImportFailed)
    assert failed.traceback.splitlines()[1] == f'  File "{tmp_path}/{name}.py", line 3, in make'
    assert refusal(AppImportFailed, f"{name}:leave()").problem.endswith("it called sys.exit(3)")
    assert refusal(AppImportFailed, f"{name}:make()").problem == (
        f"The app '{name}:make()' cannot be loaded: "
        "TypeError: make() missing 1 required positional argument: 'x'"
    )


def test_an_app_that_is_made_when_asked_for_and_fails_is_not_called_missing(module: Module) -> None:
    name = module("""
        def __getattr__(name):
            if name == "app":
                return [].nothing
            raise AttributeError(name)
        """)
    for text in (f"{name}:app", name):
        assert refusal(AppImportFailed, text).problem == (
            f"The app '{name}:app' cannot be loaded: AttributeError: 'list' object has no attribute 'nothing'"
        )
    assert refusal(WebdemoError, f"{name}:web").problem == f"The module '{name}' has no 'web'."


# -- effects of the import, seen from another process -----------------------------------------------

REPORT = """
import json, sys
from webdemo.worker import app_import
app_import.load(app_import.Target(sys.argv[1]))
print(json.dumps(app_import.source_folders()))
"""


def report(folder: Path, app: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    command = [sys.executable, "-c", REPORT, app]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return cast("list[str]", json.loads(done.stdout))


@pytest.mark.process
def test_of_code_in_the_home_folder_only_the_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "main.py").write_text("import shop\n" + APP)
    found = report(tmp_path, "main:app", os.environ | {"HOME": str(tmp_path)})
    assert found == [str(tmp_path / "main.py"), str(tmp_path / "shop")]


@pytest.mark.process
def test_the_folders_of_the_apps_code_are_known_and_no_librarys(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "shop").mkdir(parents=True)
    (there / "shared").mkdir(parents=True)
    (there / "site-packages").mkdir()
    (there / "shared" / "__init__.py").touch()
    (there / "site-packages" / "installed.py").touch()
    (here / "shop" / "main.py").write_text(
        f"import sys, json, werkzeug\nsys.path += [{str(there)!r}, {str(there / 'site-packages')!r}]\n"
        "import shared, installed\n" + APP
    )
    assert report(here, "shop.main:app") == [str(here), str(there / "shared")]
    environment = os.environ | {"PYTHONPATH": f"{here}"}
    assert report(Path("/"), "shop.main:app", environment) == [str(here / "shop"), str(there / "shared")]


# -- where and how it is found ---------------------------------------------------------------------


def test_a_package_is_tried_by_its_usual_names_and_then_by_its_wsgi_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "shop_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "wsgi.py").write_text(textwrap.dedent(APP).replace("def app", "def application"))
    found = load(Target("shop_package"))
    assert (found.name, answer(found.app)) == ("shop_package.wsgi:application", b"app")
    assert str(refusal(WebdemoError, "shop_package.wsgi:zzz")) == (
        "The module 'shop_package.wsgi' has no 'zzz'.\nDid you mean application?"
    )


def test_the_app_is_found_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "app_in_a_folder.py").write_text(textwrap.dedent(APP))
    found = load(Target("app_in_a_folder", folder=str(tmp_path)))
    sys.path.remove(str(tmp_path))
    assert found.name == "app_in_a_folder:app"


def test_an_env_file_sets_what_is_not_set(
    module: Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("# a comment\nGIVEN=file\nexport NEW_ONE='two words'\nEMPTY=\nBARE\n")
    monkeypatch.setenv("GIVEN", "environment")
    for name in ("NEW_ONE", "EMPTY"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    name = module(APP + "import os\nseen = os.environ['GIVEN'], os.environ['NEW_ONE'], os.environ['EMPTY']\n")
    load(Target(name, env_file=str(tmp_path / ".env")))
    assert sys.modules[name].seen == ("environment", "two words", "")
    for variable in ("NEW_ONE", "EMPTY"):
        os.environ.pop(variable)
    with pytest.raises(UsageError, match="cannot be read"):
        read_env_file(str(tmp_path / "none"))


def test_an_env_file_without_an_end_is_refused_at_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in ("/dev/zero", str(fifo), str(tmp_path)):
        with pytest.raises(UsageError) as refused:
            read_env_file(path)
        assert refused.value.problem == f"The file {path} cannot be read: it is not a regular file."
