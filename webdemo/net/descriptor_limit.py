"""The limit of open files.

To be imported early: a process without a free descriptor cannot import anything.
"""

from __future__ import annotations

import sys

try:
    from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
except ImportError:  # Windows
    _has_limit = False
else:
    _has_limit = True


def most_descriptors() -> int:
    """How many descriptors this process may have open; sys.maxsize if there is no limit."""
    if not _has_limit:
        return sys.maxsize
    limit = getrlimit(RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == RLIM_INFINITY else limit
