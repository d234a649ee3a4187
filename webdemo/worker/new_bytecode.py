"""Bytecode of files that were saved a moment ago is not kept: it could pass for that of the next save.

Runs in the processes that import the app. Python compares a source file with its bytecode by size and by
whole seconds (https://docs.python.org/3/reference/import.html#cached-bytecode-invalidation), so that a second
save of the same size within one second would never be loaded.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def not_kept() -> Iterator[None]:
    """Delete at the end what was compiled in this context from files saved in the same second, or later."""
    began, before = int(time.time()), set(sys.modules)
    failed: BaseException | None = None
    try:
        yield
    except BaseException as exc:
        failed = exc
        raise
    finally:
        new = [getattr(sys.modules.get(name), "__file__", None) for name in sys.modules.keys() - before]
        for file in (*new, *_files_of(failed)):
            # NotImplementedError: this Python writes none. ValueError: a file without a name.
            with contextlib.suppress(OSError, NotImplementedError, ValueError):
                if isinstance(file, str) and Path(file).stat().st_mtime >= began:
                    Path(importlib.util.cache_from_source(file)).unlink()


def _files_of(failed: BaseException | None) -> Iterator[str]:
    """Those in the tracebacks: a module whose import failed is no longer in sys.modules."""
    while failed is not None:
        yield from (frame.f_code.co_filename for frame, _ in traceback.walk_tb(failed.__traceback__))
        failed = failed.__cause__ or failed.__context__
