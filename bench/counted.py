"""Run under callgrind: `python -m bench.counted CONTESTANT FOLDER` makes the calls of every case once.

It calls getppid where counting begins and ends, and prints the names of the cases.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from bench.cases import CASES, HANDLERS, environs
from bench.contestants import BARE, find
from bench.inproc import call, equal_runners
from bench.instructions import CALLS


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    contestants = [find(who) for who in dict.fromkeys((BARE, name))]
    for case in (*CASES, *HANDLERS):
        runners, _ = equal_runners(case, contestants, folder)
        runner = runners.get(name)
        if runner is None:
            continue
        call(runner.app, environs(case, 20, runner.more))
        batch = environs(case, CALLS, runner.more)
        gc.collect()
        os.getppid()
        call(runner.app, batch)
        os.getppid()
        print(case.name)


if __name__ == "__main__":
    main()
