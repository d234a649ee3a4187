"""Print the lowest version that pyproject.toml allows of each package that webdemo imports, for pip.

Run by `make lowest`: a lower bound that no test has met is a guess.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

EXTRAS = ("servers", "tls", "compress", "services")


def lowest() -> list[str]:
    """Requirements like `click==8.2`."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for name in EXTRAS for line in extras[name])]
    bounds = [(package.name, bound) for package in map(Requirement, lines) for bound in package.specifier]
    return [f"{name}=={bound.version}" for name, bound in bounds if bound.operator == ">="]


if __name__ == "__main__":
    print("\n".join(lowest()))
