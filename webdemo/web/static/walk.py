"""The files of a folder that are served under their own name, found by descriptor, following no symlink."""

from __future__ import annotations

import os
from collections.abc import Iterator

from webdemo.web.static.content_coding import SUFFIXES
from webdemo.web.static.tree import WELL_KNOWN, flags, is_served, open_folder

OPEN_TO_LIST = flags("O_RDONLY", "O_DIRECTORY", "O_CLOEXEC")


def files_below(root_fd: int) -> Iterator[tuple[bytes, ...]]:
    """The path, as names below the root, of each file; skips symlinks and unreadable folders.

    Precompressed siblings are not files of their own.
    """
    waiting: list[tuple[bytes, ...]] = [()]
    while waiting:
        folder = waiting.pop()
        try:
            entries = _list(root_fd, folder)
        except OSError:
            continue
        for name, is_folder in entries.items():
            if not is_served(name, at_root=not folder, is_folder=is_folder):
                continue
            if is_folder:
                waiting.append((*folder, name))
                continue
            stem, dot, suffix = os.fsdecode(name).rpartition(".")
            is_sibling = os.fsencode(stem) in entries and dot + suffix in SUFFIXES.values()
            if name != WELL_KNOWN and not is_sibling:
                yield (*folder, name)


def served_files(root: bytes) -> list[tuple[bytes, ...]]:
    """The files below a folder, sorted. Raises OSError."""
    root_fd = os.open(root, OPEN_TO_LIST)
    try:
        return sorted(files_below(root_fd))
    finally:
        os.close(root_fd)


def _list(root_fd: int, folder: tuple[bytes, ...]) -> dict[bytes, bool]:
    """The names of the files and folders in a folder, and whether each is a folder. Raises OSError."""
    folder_fd = open_folder(b".", folder, folder_fd=root_fd)
    try:
        listed_fd = os.open(b".", OPEN_TO_LIST, dir_fd=folder_fd)
    finally:
        os.close(folder_fd)
    try:
        with os.scandir(listed_fd) as found:
            return {
                os.fsencode(entry.name): entry.is_dir(follow_symlinks=False)
                for entry in found
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
            }
    finally:
        os.close(listed_fd)
