"""Whether a folder can be served."""

from __future__ import annotations

import os

from webdemo.errors import UsageError


def check_folder(directory: str | os.PathLike[str], given_as: str = "") -> None:
    """Raise UsageError, which begins with `given_as`, unless the folder exists and may be read."""
    path, what = os.fspath(directory), f"{given_as}: " if given_as else ""
    if not os.path.exists(path):  # noqa: PTH110
        raise UsageError(
            f"{what}The folder {path} does not exist.", remedy="Make it, or name one that exists."
        )
    if not os.path.isdir(path):  # noqa: PTH112
        raise UsageError(f"{what}{path} is a file, not a folder.", remedy="Name the folder that holds it.")
    if not os.access(path, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise UsageError(
            f"{what}The folder {path} may not be read by this user.", remedy=f"Let it: chmod o+rx {path}"
        )
