"""The folders of webdemo's own templates and static files.

They are at the top level of a checkout, and inside the package of an installed wheel.
"""

from __future__ import annotations

from pathlib import Path

_package = Path(__file__).resolve().parent
_root = _package if (_package / "templates").is_dir() else _package.parent

TEMPLATES = _root / "templates"
STATIC = _root / "static"
