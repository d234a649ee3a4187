"""The long fuzz run: `python -m tests.fuzz SECONDS [NAME ...]`, for each target or only those named.

Each target runs in its own process. With Atheris the input is guided by coverage, otherwise hypothesis makes
it. An input that fails is printed, to be added to FOUND, and the exit code is 1.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ALONE = "--alone"


def main(seconds: int, names: list[str]) -> int:
    from tests.fuzz.targets import TARGETS

    failed = []
    for target in TARGETS:
        if names and target.name not in names:
            continue
        print(f"{target.name}: {seconds} s", flush=True)
        done = subprocess.run([sys.executable, "-m", "tests.fuzz", ALONE, str(seconds), target.name])
        if done.returncode:
            failed.append(target.name)
    print(f"Failed: {', '.join(failed)}." if failed else "Nothing found.")
    return 1 if failed else 0


def by_coverage(seconds: int, name: str) -> None:
    """Fuzz with Atheris; does not return, because Atheris exits the process."""
    import atheris

    with atheris.instrument_imports(include=["webdemo", "tests.fuzz", "werkzeug"]):
        from tests.fuzz.inputs import LONGEST, check
        from tests.fuzz.targets import TARGETS, build

    target = next(one for one in TARGETS if one.name == name)

    def check_or_tell(data: bytes) -> None:
        try:
            check(target, data)
        except BaseException:
            print(f"{name}: {data!r}", file=sys.stderr)
            raise

    folder = tempfile.TemporaryDirectory()
    for number, shape in enumerate(target.shapes()):
        Path(folder.name, str(number)).write_bytes(build(shape, 64))
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=60", "-verbosity=0"]
    atheris.Setup(
        [sys.argv[0], *limits, f"-artifact_prefix={folder.name}/found-", folder.name], check_or_tell
    )
    atheris.Fuzz()


def by_hypothesis(seconds: int, name: str) -> None:
    from tests.fuzz.inputs import check, made_for
    from tests.fuzz.targets import TARGETS

    target = next(one for one in TARGETS if one.name == name)

    @given(st.data())
    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def try_some(data: st.DataObject) -> None:
        check(target, data.draw(made_for(target)))

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try_some()


if __name__ == "__main__":
    if sys.argv[1] == ALONE:
        is_led = importlib.util.find_spec("atheris") is not None
        (by_coverage if is_led else by_hypothesis)(int(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
