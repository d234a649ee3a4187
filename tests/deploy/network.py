"""Hosts on one machine: network namespaces on a bridge. Needs root and iproute2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.visitors import Count

ROOT = Path(__file__).parents[2]
HOSTS = ("10.90.0.1", "10.90.0.2", "10.90.0.3")
BALANCER = "10.90.0.10"
CLIENT = "10.90.0.20"


class Network:
    """Three hosts, a balancer and a client, each in a namespace of its own."""

    def __init__(self) -> None:
        self._names = {
            address: f"wd{os.getpid()}-{address.rpartition('.')[2]}" for address in (*HOSTS, BALANCER, CLIENT)
        }

    def command(self, address: str, *command: str) -> list[str]:
        """The command, run on the host with this address."""
        return ["ip", "netns", "exec", self._names[address], *command]

    def path(self, address: str) -> Path:
        """The namespace of the host with this address."""
        return Path("/run/netns", self._names[address])

    def popen(self, address: str, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(address, *command), start_new_session=True, **options)

    def run(self, address: str, *command: str) -> str:
        done = subprocess.run(self.command(address, *command), capture_output=True, text=True, timeout=60)
        return done.stdout

    def make(self) -> None:
        for name in self._names.values():
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        bridge = self._names[BALANCER]
        _ip("-n", bridge, "link", "add", "bridge", "type", "bridge")
        _ip("-n", bridge, "address", "add", f"{BALANCER}/24", "dev", "bridge")
        _ip("-n", bridge, "link", "set", "bridge", "up")
        for address in (*HOSTS, CLIENT):
            name, port = self._names[address], f"to{address.rpartition('.')[2]}"
            _ip("-n", bridge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", bridge, "link", "set", port, "master", "bridge", "up")
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")

    def remove(self) -> None:
        for name in self._names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def network() -> Iterator[Network]:
    with ExitStack() as undo:
        made = Network()
        undo.callback(made.remove)
        made.make()
        yield made


class RemoteVisitors:
    """Visitors in the client's namespace."""

    def __init__(self, net: Network, **options: Any) -> None:
        self._process = net.popen(
            CLIENT,
            *(sys.executable, "-m", "tests.deploy.visitors", json.dumps(options)),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def begin_end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"end\n")
        self._process.stdin.flush()

    def stop(self) -> Count:
        output, _ = self._process.communicate(timeout=120)
        return Count(**json.loads(output))
