"""What the app's Python code writes is reported before it is written. In a process: a hook stays for good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, shutil, sqlite3, tempfile, threading
from pathlib import Path
from webdemo.worker import own_writes

for name in ("link", "loop"):
    os.symlink("real" if name == "link" else "loop", name)
os.mkdir("real")
reported = []
own_writes.report(reported.append)

def written(*names):
    found = {os.path.relpath(path) for paths in reported for path in paths}
    assert found == set(names), (found, names)
    reported.clear()

Path("a.txt").write_text("1")
written("a.txt")
Path("a.txt").read_text()
Path("a.txt").write_text("2")  # once is enough
os.close(os.open(b"b.bin", os.O_WRONLY | os.O_CREAT))
written("b.bin")
os.replace("b.bin", "c.bin")
written("c.bin")
thread = threading.Thread(target=lambda: open("link/thread.log", "a").close())
thread.start()
thread.join()
written("real/thread.log")
tempfile.TemporaryFile(dir=".").close()
written()
sqlite3.connect("data").close()
written("data", "data-journal", "data-wal", "data-shm")
shutil.copyfile("a.txt", "copy.txt")
written("copy.txt")
try:
    open("loop/x", "w")
except OSError:
    pass
reported.clear()
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
try:
    open("x", "w")  # an error of its own, not the hook's
except FileNotFoundError:
    print("ok")
"""


@pytest.mark.process
def test_what_python_code_writes_is_reported_once_and_before(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
