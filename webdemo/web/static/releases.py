"""Finds files in an assets archive, which archive.py publishes; asked only for what an app has not itself."""

from __future__ import annotations

import os

from webdemo.web.static.tree import split_path


def find(archive: str, path_info: str) -> bytes | None:
    """The folder of a release that has a file for this path; None if no release has."""
    names = split_path(path_info)
    if not names or not names[-1]:
        return None
    below = b"/".join(names)
    try:
        releases = os.listdir(os.fsencode(archive))  # noqa: PTH208  bytes
    except OSError:
        return None
    for release in releases:
        folder = os.path.join(os.fsencode(archive), release)  # noqa: PTH118  pathlib has no bytes
        if not release.startswith(b".") and os.path.isfile(os.path.join(folder, below)):  # noqa: PTH113, PTH118
            return folder
    return None
