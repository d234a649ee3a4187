"""The folders whose files the app reads anew for each page: a change there needs no new process.

Runs in the app's processes. The rule: a folder is named only if that is certain, and none that holds code of
the app. What a program compiles, such as TypeScript, is no file that the app reads.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from webdemo.user_code import is_own

# Files of any such folder from which something else may be made while the app is loaded.
COMPILED = (".py", ".scss", ".sass", ".less", ".styl", ".ts", ".tsx", ".jsx", ".coffee", ".po")


def reread_folders(app: Any) -> tuple[str, ...]:
    """Those of webdemo's own framework, of Flask with its blueprints (and so of Dash), and of Django."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    code = {Path(file).resolve() for file in files if file and is_own(file)}
    named = filter(None, (*_of_webdemo(app), *_of_flask(app), *_of_django()))
    folders = {Path(folder).resolve() for folder in named}
    return tuple(sorted(str(each) for each in folders if not any(each in file.parents for file in code)))


def _of_webdemo(app: Any) -> Iterator[str]:
    web = sys.modules.get("webdemo.web.app")
    if web is not None and isinstance(app, web.App):
        yield from app.jinja_env.loader.searchpath
        yield from (static.folder for static in app.static_apps().values())


def _of_flask(app: Any) -> Iterator[str | None]:
    flask = sys.modules.get("flask")
    if flask is not None and isinstance(app, flask.Flask):
        for part in (app, *app.iter_blueprints()):
            yield part.static_folder
            if app.debug or app.config["TEMPLATES_AUTO_RELOAD"]:
                yield from getattr(part.jinja_loader, "searchpath", ())


def _of_django() -> Iterator[str]:
    apps = sys.modules.get("django.apps")
    if apps is None or not apps.apps.ready:
        return
    with contextlib.suppress(Exception):  # settings that Django itself would refuse at the first page
        from django.conf import settings
        from django.contrib.staticfiles.finders import get_finders
        from django.template.autoreload import get_template_directories

        yield from map(str, get_template_directories())
        if apps.apps.is_installed("django.contrib.staticfiles") and settings.DEBUG:
            for finder in get_finders():
                yield from (storage.location for storage in getattr(finder, "storages", {}).values())
