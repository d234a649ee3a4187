"""Machines with their own systemd: containers with this system's files, and what is written kept in memory.

Needs root and systemd-nspawn. Nothing is downloaded, and nothing on this system is changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests import running as runs
from tests.deploy.network import ROOT, Network

UNITS = Path("/etc/systemd/system")
# The hierarchies in which a machine gets a control group of its own: of version 2, or of version 1 beside it.
_HIERARCHIES = [Path("/sys/fs/cgroup", name) for name in ("", "systemd", "unified")]
# Where machines find this Python, its packages and webdemo, which may lie where only root can read.
_PYTHON, _PACKAGES, _WEBDEMO = Path("/opt/python"), "/opt/packages", "/opt/webdemo"
_LIBRARIES = f"LD_LIBRARY_PATH={_PYTHON / 'lib'}"  # libpython, if there is one


def why_none() -> str | None:
    """Why there can be no machine here; None if there can be."""
    if os.getuid() != 0 or not shutil.which("systemd-nspawn") or not shutil.which("ip"):
        return "needs root, systemd-nspawn and iproute2"
    return None


def make_venv(folder: Path) -> None:
    """A virtual environment with webdemo, for machines."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {_PYTHON / 'bin'}\n")
    for name in ("python", f"python{sys.version_info[0]}.{sys.version_info[1]}"):
        (folder / "bin" / name).symlink_to(_PYTHON / "bin" / Path(sys.executable).resolve().name)
    packages = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    packages.mkdir(parents=True)
    (packages / "webdemo.pth").write_text(f"{_WEBDEMO}\n{_PACKAGES}\n")


class Machine:
    """A booted machine at one address of the network."""

    def __init__(self, process: subprocess.Popen[bytes], console: Path) -> None:
        self._process = process
        self._console = console
        self._leader = 0
        runs.wait_until(self._find_leader, self.console)
        self.run("systemctl", "is-system-running", "--wait", check=False)

    def _find_leader(self) -> bool:
        """Find the systemd that is process 1 inside; nspawn is its parent."""
        assert self._process.poll() is None, self.console()
        for child in psutil.Process(self._process.pid).children(recursive=True):
            status = ""
            with contextlib.suppress(OSError):  # one of nspawn's own, which has ended
                status = Path(f"/proc/{child.pid}/status").read_text()
            if re.search(r"^NSpid:.*\s1$", status, re.MULTILINE):
                self._leader = child.pid
        return self._leader != 0 and Path(f"/proc/{self._leader}/root/run/systemd/private").exists()

    def console(self) -> str:
        return self._console.read_text(errors="replace")

    def command(self, *command: str) -> list[str]:
        """The command, run as root on the machine."""
        return [
            "nsenter",
            "-t",
            str(self._leader),
            "-m",
            "-u",
            "-i",
            "-n",
            "-p",
            "-C",
            "--",
            "env",
            _LIBRARIES,
            *command,
        ]

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            self.command(*command), capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{self.journal()}"
        return done.stdout

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "--lines=80", "--output=cat", check=False)


@contextmanager
def machine(
    net: Network, address: str, folder: Path, *, units: Mapping[str, str], shared: Mapping[Path, str]
) -> Iterator[Machine]:
    """A machine with these units, a user `shop`, and folders of this system: {folder: where}."""
    base = folder / f"machine-{address}"
    base.mkdir()
    (base / "root").mkdir()
    ours = {sys.base_prefix: _PYTHON, sysconfig.get_path("purelib"): _PACKAGES, ROOT: _WEBDEMO}
    binds = [f"--bind-ro={path}:{where}" for path, where in ours.items()]
    binds += [f"--bind={path}:{where}" for path, where in shared.items()]
    for name, text in units.items():
        (base / name).write_text(text)
        binds.append(f"--bind-ro={base / name}:{UNITS / name}")
    nspawn = [
        *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=read-only"),
        *(f"--directory={base / 'root'}", "--volatile=overlay", "--link-journal=no", *binds),
        *(f"--machine=host{address.rpartition('.')[2]}", f"--network-namespace-path={net.path(address)}"),
        *("--", "--unit=basic.target"),
    ]
    groups = [
        hierarchy / net.path(address).name
        for hierarchy in _HIERARCHIES
        if (hierarchy / "cgroup.procs").exists()
    ]
    for group in groups:
        group.mkdir()
    joins = "".join(f'echo $$ > "{group / "cgroup.procs"}" && ' for group in groups)
    # The mount of the root is in a namespace of its own, so it is gone when nspawn is.
    script = f'{joins}mount --bind / "{base / "root"}" && exec "$@"'
    console = base / "console"
    with console.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *nspawn],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        booted = Machine(process, console)
        booted.run("useradd", "--system", "shop")
        booted.run("systemctl", "set-environment", _LIBRARIES)
        yield booted
    finally:
        process.terminate()  # nspawn asks the machine to power off
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                one.kill()
            process.wait(60)
        for group in groups:
            for within, _, _ in os.walk(group, topdown=False):
                Path(within).rmdir()
