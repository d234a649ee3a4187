"""A folder tree confined to its root: no name and no symlink leads out of it.

Names are bytes, as in the file system, so that names that are not UTF-8 can be requested too. A path is
resolved first, and the resolved path is then opened from the root by descriptor, following no symlink:
replacing a folder by a symlink in between causes an error, not access to another folder's file. Windows has
no such descriptors: there the resolved path itself is opened.
"""

from __future__ import annotations

import errno
import functools
import operator
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

WELL_KNOWN = b".well-known"


def flags(*names: str) -> int:
    """These flags of os.open, as far as the system has them."""
    return functools.reduce(operator.or_, (getattr(os, name, 0) for name in names))


_OPEN_FOLDER = flags("O_PATH", "O_DIRECTORY", "O_CLOEXEC")
_OPEN_TO_LIST = flags("O_RDONLY", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
_OPEN_FILE = flags("O_RDONLY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")

_HAS_FOLDER_DESCRIPTORS = os.open in os.supports_dir_fd
_SEPARATOR = os.fsencode(os.sep)
# On Windows another separator, and the mark of drives and of a file's other streams.
_NEVER_IN_A_NAME = re.compile(r"[\0\\:]" if os.sep == "\\" else r"\0")


class Signature(NamedTuple):
    """What changes with a file's content, even if a copy keeps the old modification time."""

    modified_ns: int
    size: int
    inode: int
    changed_ns: int


def signature(status: os.stat_result) -> Signature:
    return Signature(status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)


def is_fresh_sibling(sibling: Signature, original: Signature) -> bool:
    """Whether a precompressed sibling was made from the file as it is now.

    `webdemo compress` gives it the file's modification time; other tools make it after the file. A file that
    is put back with its old time (mv, cp -p, rsync -t) is older than the sibling, but changed after it.
    """
    if sibling.modified_ns == original.modified_ns:
        return True
    return sibling.modified_ns > original.modified_ns and sibling.changed_ns > original.changed_ns


def split_path(path_info: str) -> list[bytes] | None:
    """The names in a WSGI PATH_INFO, the last one "" for a folder; None if the path is never served.

    Not served: empty names, NUL, and names that begin with a dot (`.` and `..` included), except for the
    folder /.well-known (RFC 8615) and files such as `..name`.
    """
    try:
        names = path_info.encode("latin-1").split(b"/")
    except UnicodeEncodeError:
        return None
    if names.pop(0) or _NEVER_IN_A_NAME.search(path_info):
        return None
    if "/." not in path_info and "//" not in path_info:
        return names
    return names if b"" not in names[:-1] and _are_served(names) else None


def is_served(name: bytes, *, at_root: bool, is_folder: bool = True) -> bool:
    """Whether a file or folder of this name may be served.

    None that begins with a dot is, but /.well-known and files such as `..name`.
    """
    if not name.startswith(b"."):
        return True
    return (at_root and name == WELL_KNOWN) or (not is_folder and name[:2] == b".." and name != b"..")


class Node(NamedTuple):
    """A file or folder in the tree: its parent's descriptor, its resolved name and path, its status.

    Without descriptors of folders `folder_fd` is None, and the name is the path.
    """

    folder_fd: int | None
    name: bytes
    path: bytes
    status: os.stat_result

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class Folder(NamedTuple):
    """A folder that is open to be listed."""

    fd: int | None
    path: bytes

    @classmethod
    def open(cls, node: Node) -> Folder:
        if not node.is_folder:
            raise NotADirectoryError("not a folder")
        if not _HAS_FOLDER_DESCRIPTORS:
            return cls(None, node.path)
        return cls(os.open(node.name, _OPEN_TO_LIST, dir_fd=node.folder_fd), node.path)

    def scan(self) -> os._ScandirIterator[str]:
        return os.scandir(os.fsdecode(self.path) if self.fd is None else self.fd)

    def entry(self, name: bytes) -> bytes:
        """What to call an entry in a call with `dir_fd=self.fd`."""
        return os.path.join(self.path, name) if self.fd is None else name  # noqa: PTH118

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


class Tree:
    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fsencode(os.path.abspath(root))  # noqa: PTH100  bytes, and symlinks are kept

    def path(self, names: list[bytes]) -> bytes:
        """The path of these names below the root, unchecked and with its symlinks unresolved."""
        # One by one, thousands of names would be joined in quadratic time.
        return os.path.join(self.root, b"/".join(names))  # noqa: PTH118  pathlib has no bytes

    @contextmanager
    def enter(self, names: list[bytes]) -> Iterator[Node]:
        """The file or folder at the path of these names; its parent stays open inside the `with`.

        Raises OSError if it does not exist, is outside the root, or is not accessible; without an errno if
        that does not depend on what is being replaced at the moment.
        """
        root = os.path.realpath(self.root)
        # Below the resolved root, so that one which is swapped meanwhile makes no difference.
        real = os.path.realpath(os.path.join(root, b"/".join(names)), strict=True)  # noqa: PTH118  bytes
        if real != root and not real.startswith(root.rstrip(_SEPARATOR) + _SEPARATOR):
            if os.path.realpath(self.root) != root:  # an absolute symlink may lead to the new one
                raise FileNotFoundError(errno.ENOENT, "the root has just been replaced")
            raise FileNotFoundError("outside the root")
        *folders, name = real[len(root) :].strip(_SEPARATOR).split(_SEPARATOR)
        if not _HAS_FOLDER_DESCRIPTORS:
            if not _are_served([*folders, name]):  # Windows has other names for a folder, such as GIT~1
                raise FileNotFoundError("not served")
            yield Node(None, real, real, os.lstat(real))
            return
        folder_fd = open_folder(root, folders)
        try:
            status = os.stat(name or b".", dir_fd=folder_fd, follow_symlinks=False)
            yield Node(folder_fd, name or b".", real, status)
        finally:
            os.close(folder_fd)


def _are_served(names: list[bytes]) -> bool:
    """Whether the names of a path, the last one of a file, may be served."""
    last = len(names) - 1
    return all(is_served(name, at_root=not depth, is_folder=depth < last) for depth, name in enumerate(names))


def open_folder(root: bytes, names: Iterable[bytes], *, folder_fd: int | None = None) -> int:
    """A descriptor of the folder at the path of these names; none of them may be a symlink.

    It can be used to open the folder's entries, not to list them (O_PATH). Raises OSError.
    """
    opened = os.open(root, _OPEN_FOLDER, dir_fd=folder_fd)
    for name in names:
        outer = opened
        try:
            opened = os.open(name, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=outer)
        finally:
            os.close(outer)
    return opened


def open_file(path: bytes, *, folder_fd: int | None = None) -> int:
    """A descriptor for reading; does not wait for a FIFO's writer nor follow a symlink at the end."""
    return os.open(path, _OPEN_FILE, dir_fd=folder_fd)
