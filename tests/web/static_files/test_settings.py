"""What an app can set: types and charsets of files, and which of them never change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.static_files.calling import call
from webdemo.errors import UsageError
from webdemo.web.static.app import StaticFiles

TYPES = {".glb": "model/gltf-binary", ".TXT": "text/plain; charset=iso-8859-1", ".gmi": "text/gemini"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.glb", "model/gltf-binary"),
        ("a.GLB", "model/gltf-binary"),
        ("a.txt", "text/plain; charset=iso-8859-1"),
        ("a.gmi", "text/gemini; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("glb", "application/octet-stream"),
    ],
)
def test_types_and_charsets_are_taken_before_the_table(folder: Path, name: str, expected: str) -> None:
    (folder / name).write_text("x")
    assert call(StaticFiles(folder, types=TYPES), f"/{name}")["Content-Type"] == expected


@pytest.mark.parametrize(
    "types", [{"glb": "model/x"}, {".tar.gz": "a/b"}, {".x": "nonsense"}, {".x": "a/b\r\nc"}]
)
def test_type_that_is_none_is_refused(folder: Path, types: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="is not the type of a suffix"):
        StaticFiles(folder, types=types)


@pytest.mark.parametrize(
    ("pattern", "path", "is_immutable"),
    [
        ("*.????????.js", "app.3f9a1c2b.js", True),
        ("*.????????.js", "sub/app.3f9a1c2b.js", True),
        ("*.????????.js", "app.js", False),
        ("assets/*", "assets/index-4f3a2b1c.css", True),
        ("assets/*", "sub/assets/index.css", False),
        (None, "app.3f9a1c2b.js", False),
    ],
)
def test_file_whose_name_matches_the_pattern_is_immutable(
    folder: Path, pattern: str | None, path: str, is_immutable: bool
) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("x")
    app = StaticFiles(folder, immutable=pattern, max_age=60)
    expected = "public, max-age=31536000, immutable" if is_immutable else "public, max-age=60"
    reply = call(app, f"/{path}")
    assert reply["Cache-Control"] == expected
    assert call(app, f"/{path}", if_none_match=reply["ETag"])["Cache-Control"] == expected
