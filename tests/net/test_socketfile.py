"""Unix sockets: the modes of their files, and who removes which file."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.net.programs import listening, needs_root, run_as_nobody
from webdemo.errors import PortUnavailable
from webdemo.net.bind import Bind
from webdemo.net.listener import listen


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        return client.connect_ex(str(path)) == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site.sock"


@pytest.mark.parametrize(("option", "mode"), [("", 0o600), ("?mode=660", 0o660), ("?mode=0666", 0o666)])
@pytest.mark.parametrize("umask", [0o022, 0o777, 0])
def test_socket_has_the_mode_asked_for_whatever_the_umask(
    path: Path, option: str, mode: int, umask: int
) -> None:
    before = os.umask(umask)
    try:
        (sock,) = listen(Bind.parse(f"unix://{path}{option}"))
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    with closing(sock):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert connects(path)


def test_file_is_removed_when_the_socket_is_closed(path: Path) -> None:
    (sock,) = listen(Bind(path=str(path)))
    sock.close()
    assert not path.exists()
    sock.close()


def test_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    (sock,) = listen(Bind(path=str(path)))
    with closing(sock):
        assert connects(path)


@pytest.mark.process
def test_live_socket_is_left_and_its_holder_named(path: Path) -> None:
    with listening("AF_UNIX", str(path)) as (process, _):
        with pytest.raises(PortUnavailable) as caught:
            listen(Bind(path=str(path)))
        assert connects(path)
        assert caught.value.problem.startswith(f"{path} is already in use by python")
        assert f"(pid {process.pid}, yours, started " in caught.value.problem
        assert caught.value.remedy == "Stop it, or choose another path."
        assert caught.value.exit_code == 69


def test_live_socket_whose_queue_is_full_is_left(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(0)
        clients = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            clients.append(client)
            if client.connect_ex(str(path)) == errno.EAGAIN:
                break
        with pytest.raises(PortUnavailable, match="is already in use by"):
            listen(Bind(path=str(path)))
        for client in clients:
            client.close()
        assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_never_removed(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("precious")
    with pytest.raises(PortUnavailable) as caught:
        listen(Bind(path=str(path)))
    assert caught.value.problem == f"{path} exists and is not a socket."
    assert caught.value.remedy == "Choose another path: the file is left as it is."
    assert path.is_symlink() or path.exists()


def test_successors_file_stands_when_the_first_socket_is_closed(path: Path) -> None:
    (first,) = listen(Bind(path=str(path)))
    path.unlink()
    (second,) = listen(Bind(path=str(path)))
    first.close()
    assert connects(path)
    second.close()
    assert not path.exists()


@pytest.mark.process
def test_forked_child_that_closes_its_copy_leaves_the_file(path: Path) -> None:
    (sock,) = listen(Bind(path=str(path)))
    with closing(sock):
        child = os.fork()
        if child == 0:
            sock.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert connects(path)


def test_missing_folder_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(PortUnavailable) as caught:
        listen(Bind(path=f"{tmp_path}/none/site.sock"))
    assert caught.value.problem == f"There is no folder {tmp_path}/none for the socket."
    assert caught.value.remedy == f"Make it: mkdir -p {tmp_path}/none"


@pytest.mark.process
@needs_root
def test_folder_of_another_user_is_refused() -> None:
    printed = run_as_nobody(
        """
from webdemo.errors import WebdemoError
from webdemo.net.bind import Bind
from webdemo.net.listener import listen
try:
    listen(Bind(path="/usr/site.sock"))
except WebdemoError as exc:
    print(exc.exit_code, exc, sep="\\n")
"""
    )
    assert printed.splitlines() == [
        "77",
        "This user may not make the socket /usr/site.sock.",
        "Choose a folder of your own, or let this user write to /usr.",
    ]
