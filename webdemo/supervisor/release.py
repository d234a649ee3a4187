"""The release of the app: what its folder's git says. Reads files; git itself need not be installed."""

from __future__ import annotations

from pathlib import Path

_SHOWN_DIGITS = 12


def release_of(folder: Path) -> str:
    """The commit that git says, or the name of a folder in releases/; "" if there is neither."""
    real = folder.resolve()
    return commit_of(real) or (real.name if real.parent.name == "releases" else "")


def commit_of(folder: Path) -> str:
    """The commit that is checked out in the folder or a parent of it, shortened; "" if there is none."""
    for parent in (folder, *folder.parents):
        if (parent / ".git").exists():
            try:
                return _head(parent / ".git")[:_SHOWN_DIGITS]
            except (OSError, ValueError):  # not a repository, or not readable
                return ""
    return ""


def _head(git: Path) -> str:
    if git.is_file():  # of a worktree or a submodule: gitdir: PATH
        git = git.parent / git.read_text().removeprefix("gitdir:").strip()
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    common = git / (git / "commondir").read_text().strip() if (git / "commondir").is_file() else git
    for folder in (git, common):
        if (folder / name).is_file():
            return (folder / name).read_text().strip()
    packed = (common / "packed-refs").read_text().splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
