"""Describes the machine, without which no figure of speed is worth much."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from webdemo.compare.results import Machine


def this_machine() -> Machine:
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        processor=_processor(),
        processors=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
