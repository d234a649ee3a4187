"""The FTP server with real clients: what it shows, what it refuses, and how it stops."""

from __future__ import annotations

import contextlib
import ftplib
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import running as runs
from tests.services.conftest import Serve, Services, shared
from webdemo import assets
from webdemo.servers import Job, Stopping
from webdemo.services.ftp import Options

pytestmark = pytest.mark.process

SECONDS = 60
LARGE = os.urandom(1 << 20) * 24  # more than a connection's buffers hold


def make_folder(parent: Path) -> Path:
    root = parent / "root"
    (root / "inner").mkdir(parents=True)
    (root / "hello.txt").write_bytes(b"Hello\n")
    (root / "inner" / "data.bin").write_bytes(bytes(range(256)))
    (root / ".env").write_text("secret")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("secret")
    (parent / "secret.txt").write_text("secret")
    (root / "out.txt").symlink_to(parent / "secret.txt")
    (root / "out").symlink_to(parent)
    (root / "dangling").symlink_to("nowhere")
    (root / "link.txt").symlink_to("hello.txt")
    os.mkfifo(root / "fifo")
    os.close(os.open(os.fsencode(root) + b"/caf\xe9", os.O_CREAT | os.O_WRONLY))
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path)


@pytest.fixture
def own_ftp(serve: Serve, folder: Path) -> Services:
    """For tests that change the folder, or end the server."""
    return serve(f"ftp?directory={folder}")


@pytest.fixture(scope="module")
def ftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """One server for all other tests."""
    parent = tmp_path_factory.mktemp("ftp")
    with shared(parent, f"ftp?directory={make_folder(parent)}") as services:
        yield services


@contextlib.contextmanager
def session(services: Services, host: str = "127.0.0.1") -> Iterator[ftplib.FTP]:
    with ftplib.FTP(timeout=SECONDS, encoding="latin-1") as client:  # decodes any file name
        client.connect(host, services.ports["ftp"])
        client.login()
        client.voidcmd("TYPE I")  # binary: sizes and positions are in bytes
        yield client


def fetch(client: ftplib.FTP, path: str, *, rest: int | None = None) -> bytes:
    data = io.BytesIO()
    client.retrbinary(f"RETR {path}", data.write, rest=rest)
    return data.getvalue()


def test_files_are_listed_and_read(ftp: Services) -> None:
    with session(ftp) as client:
        assert client.nlst() == ["café", "hello.txt", "inner", "link.txt"]
        assert {name: facts["type"] for name, facts in client.mlsd("/inner")} == {"data.bin": "file"}
        client.voidcmd("TYPE I")
        assert client.size("inner/data.bin") == 256
        assert fetch(client, "inner/data.bin") == bytes(range(256))
        client.cwd("inner")
        assert client.pwd() == "/inner"
        assert fetch(client, "../link.txt") == b"Hello\n"
    ftp.webdemo.wait_for(r"127\.0\.0\.1 RETR /inner/data\.bin, 256 bytes, [0-9.]+ [µm]?s$")


def test_name_that_is_not_utf8_can_be_asked_for(ftp: Services) -> None:
    with session(ftp) as client:
        assert fetch(client, "café") == b""


def test_transfer_is_resumed(ftp: Services) -> None:
    with session(ftp) as client:
        assert fetch(client, "inner/data.bin", rest=250) == bytes(range(250, 256))
        with pytest.raises(ftplib.error_perm, match="554"):
            fetch(client, "inner/data.bin", rest=257)


def test_curl_lists_reads_and_resumes(ftp: Services, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    url = f"ftp://127.0.0.1:{ftp.ports['ftp']}/inner/"
    run = [curl, "--silent", "--show-error", "--fail"]
    listing = subprocess.run([*run, url], check=True, capture_output=True, timeout=SECONDS).stdout
    assert re.search(rb"^-rw.* 256 .* data\.bin\r?$", listing, re.MULTILINE)
    target = tmp_path / "data.bin"
    target.write_bytes(bytes(range(100)))
    subprocess.run([*run, "-C", "-", "-o", str(target), f"{url}data.bin"], check=True, timeout=SECONDS)
    assert target.read_bytes() == bytes(range(256))


HIDDEN = [
    *(
        ".env",
        ".git/config",
        "out.txt",
        "out/secret.txt",
        "../secret.txt",
        "/../secret.txt",
        "dangling",
        "fifo",
    ),
    *(
        "inner/../../secret.txt",
        "inner/../.env",
        "a\0b",
        "x" * 300,
        "nowhere",
        "hello.txt/x",
        "inner",
        "//etc/passwd",
    ),
]


def test_what_is_not_served_cannot_be_had(ftp: Services) -> None:
    with session(ftp) as client:
        for path in HIDDEN:
            with pytest.raises(ftplib.error_perm, match="550"):
                fetch(client, path)
            for command in ("SIZE", "MDTM", "MLST", "CWD", "STAT"):
                reply = answer(client, f"{command} {path}")
                assert reply.startswith("5") or "secret" not in reply, f"{command} {path}: {reply}"
                assert command in ("STAT", "CWD", "MLST") or reply.startswith("550"), (
                    f"{command} {path}: {reply}"
                )
            client.cwd("/")
        assert fetch(client, "hello.txt") == b"Hello\n"


def test_no_folder_but_those_below_the_root_can_be_listed(ftp: Services) -> None:
    with session(ftp) as client:
        for path in ("..", "/..", "out", ".git", "inner/../.."):
            names: list[str] = []
            with contextlib.suppress(ftplib.error_perm):
                names += client.nlst(path)
            with contextlib.suppress(ftplib.error_perm):
                names += [name for name, _ in client.mlsd(path)]
            assert not {"secret.txt", "config", ".env"} & set(names), path
            with contextlib.suppress(ftplib.error_perm):
                client.cwd(path)
            assert client.pwd() == "/", path


def answer(client: ftplib.FTP, command: str) -> str:
    try:
        return client.sendcmd(command)
    except ftplib.Error as exc:
        return str(exc)


WRITING = [
    *("STOR new", "APPE hello.txt", "STOU", "DELE hello.txt", "MKD new", "RMD inner", "RNFR hello.txt"),
    *("RNTO new", "SITE CHMOD 777 hello.txt", "MFMT 20200101000000 hello.txt", "XMKD new", "XRMD inner"),
]


def test_nothing_can_be_written(own_ftp: Services, folder: Path) -> None:
    before = sorted(folder.iterdir()), (folder / "hello.txt").stat()
    with session(own_ftp) as client:
        for command in WRITING:
            assert answer(client, command)[0] == "5", command
    assert (sorted(folder.iterdir()), (folder / "hello.txt").stat()) == before


def test_upload_is_refused_to_a_real_client(ftp: Services) -> None:
    with session(ftp) as client, pytest.raises(ftplib.error_perm, match="550"):
        client.storbinary("STOR new", io.BytesIO(b"x"))


def test_only_anonymous_may_log_in(ftp: Services) -> None:
    with ftplib.FTP(timeout=SECONDS) as client:
        client.connect("127.0.0.1", ftp.ports["ftp"])
        assert answer(client, "RETR hello.txt").startswith("530")
        with pytest.raises(ftplib.error_perm, match="530 Log in as anonymous"):
            client.login("root", "secret")


def test_server_never_opens_a_connection(ftp: Services) -> None:
    with session(ftp) as client, socket.create_server(("127.0.0.1", 0)) as listener:
        high, low = divmod(listener.getsockname()[1], 256)
        assert answer(client, f"PORT 127,0,0,1,{high},{low}").startswith("500")
        assert answer(client, f"EPRT |1|127.0.0.1|{high * 256 + low}|").startswith("500")


def test_data_connections_are_offered_where_the_client_came_from(ftp: Services) -> None:
    with session(ftp) as client:
        place = re.search(r"\((.*)\)", client.sendcmd("PASV"))
        assert place is not None
        *address, high, low = place[1].split(",")
    assert address == ["127", "0", "0", "1"]
    assert int(high) * 256 + int(low) in range(61000, 61200)


def test_ipv6_uses_the_extended_command(running: runs.Start, folder: Path) -> None:
    webdemo = running("-b", f"ftp://[::1]:0?directory={folder}")
    port = int(webdemo.url.rpartition(":")[2])
    with session(Services(webdemo, {"ftp": port}), "::1") as client:
        assert fetch(client, "hello.txt") == b"Hello\n"
        assert answer(client, "PASV").startswith("522")


def test_folder_is_that_of_the_site_unless_told(serve: Serve, folder: Path) -> None:
    with session(serve("ftp", arguments=("--directory", str(folder)))) as client:
        assert "hello.txt" in client.nlst()
    with session(serve("ftp")) as client:
        assert set(client.nlst()) == {path.name for path in assets.STATIC.iterdir()}


def test_folder_that_is_missing_is_told_at_start(running: runs.Start) -> None:
    webdemo = running("-b", "ftp://127.0.0.1:0?directory=nowhere", wait=False)
    assert webdemo.wait() == 1
    assert "cannot be served" in webdemo.log()
    assert "?directory=DIR" in webdemo.log()


def test_connections_beyond_the_bound_are_told_so(serve: Serve, folder: Path) -> None:
    services = serve(f"ftp?directory={folder}&max_connections=4")
    with contextlib.ExitStack() as stack:
        greetings = []
        for _ in range(8):
            sock = socket.create_connection(("127.0.0.1", services.ports["ftp"]), timeout=SECONDS)
            stack.enter_context(sock)
            greetings.append(sock.recv(100)[:3])
    assert greetings[0] == b"220"
    assert greetings[-1] in (b"421", b"")


def test_killed_server_comes_back_and_the_client_resumes(own_ftp: Services, folder: Path) -> None:
    (folder / "large.bin").write_bytes(LARGE)
    with session(own_ftp) as client:
        data, _ = client.ntransfercmd("RETR large.bin")
        with data:
            got = data.recv(100_000)
            os.kill(own_ftp.pid("ftp"), signal.SIGKILL)
            own_ftp.webdemo.wait_for(r"is up again")
    with session(own_ftp) as client:
        assert got + fetch(client, "large.bin", rest=len(got)) == LARGE


@pytest.mark.parametrize("how", ["stop", "restart"])
def test_file_being_sent_is_finished(own_ftp: Services, folder: Path, how: str) -> None:
    (folder / "large.bin").write_bytes(LARGE)
    port = own_ftp.ports["ftp"]
    with session(own_ftp) as client, session(own_ftp) as idle:
        data, _ = client.ntransfercmd("RETR large.bin")
        with data:
            got = bytearray(data.recv(100_000))
            if how == "stop":
                own_ftp.webdemo.signal(signal.SIGTERM)
                own_ftp.webdemo.wait_for(r"^Stopping")
            else:
                command = [
                    sys.executable,
                    "-m",
                    "webdemo",
                    "restart",
                    str(port),
                    "--pid",
                    str(own_ftp.webdemo.pid),
                ]
                subprocess.run(command, check=True, timeout=60)
                with session(own_ftp) as later:
                    assert fetch(later, "hello.txt") == b"Hello\n"
            assert idle.getline().startswith("421")
            time.sleep(1)
            while part := data.recv(1 << 20):
                got += part
        assert got == LARGE
        assert client.getresp().startswith("226")
        assert client.getline().startswith("421")
    if how == "stop":
        assert own_ftp.webdemo.wait() == 0


def test_file_that_is_replaced_while_it_is_sent_is_sent_whole(own_ftp: Services, folder: Path) -> None:
    (folder / "large.bin").write_bytes(LARGE)
    with session(own_ftp) as client:
        data, _ = client.ntransfercmd("RETR large.bin")
        with data:
            got = bytearray(data.recv(100_000))
            (folder / "new.bin").write_bytes(b"new")
            (folder / "new.bin").replace(folder / "large.bin")
            while part := data.recv(1 << 20):
                got += part
        client.voidresp()
        assert got == LARGE
        assert fetch(client, "large.bin") == b"new"


def test_client_that_waits_for_its_refusal_does_not_hold_up_a_stop(own_ftp: Services) -> None:
    with socket.create_connection(("127.0.0.1", own_ftp.ports["ftp"]), timeout=SECONDS) as sock:
        for command in (b"USER root\r\n", b"PASS wrong\r\n"):
            sock.recv(1000)
            sock.sendall(command)
        assert own_ftp.webdemo.terminate() == 0
    assert "Traceback" not in own_ftp.webdemo.log()


def in_system_call_without_end() -> bool:
    """Whether the main thread waits in epoll_wait without a timeout."""
    _, *arguments = Path(f"/proc/self/task/{os.getpid()}/syscall").read_text().split()
    return len(arguments) > 3 and int(arguments[3], 16) & 0xFFFFFFFF == 0xFFFFFFFF


@pytest.mark.skipif(not Path("/proc/self/syscall").exists(), reason="system calls are not visible")
def test_a_signal_that_does_not_interrupt_the_main_threads_wait_is_not_lost(folder: Path) -> None:
    """Like one that comes just before the wait begins."""
    serve_folder = pytest.importorskip("webdemo.services.ftp_session").serve_folder

    def signal_self() -> None:
        while not in_system_call_without_end():
            time.sleep(0.01)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    stopping, thread = Stopping(), threading.Thread(target=signal_self)
    previous = signal.signal(signal.SIGUSR1, lambda *_: stopping.set())
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serve_folder(
                Job(
                    app=lambda environ, start_response: [],
                    sockets=[listener],
                    options=Options(),
                    workers=1,
                    certificate=None,
                    ready=thread.start,
                    stopping=stopping,
                    grace_seconds=1,
                ),
                folder,
            )
    finally:
        signal.signal(signal.SIGUSR1, previous)
    thread.join()
    stopping.close()


HOSTILE = ["a\r\n226 forged", "b\nc", "d\x1b[31mred", "e\x9b31m", "f\u202egnp.exe", "g\u2028h", "i\x7f"]


@pytest.mark.attack(
    "Mail and FTP",
    "Files have names with line breaks, escape sequences or bidirectional characters",
    "Each is one line of every listing and answer, with a question mark for each such character",
)
def test_hostile_name_is_one_harmless_line(own_ftp: Services, folder: Path) -> None:
    for name in HOSTILE:
        (folder / "inner" / name).touch()
    (folder / "inner" / "way\x1b[2J\nout").mkdir()
    shown = [re.sub("[\r\n\x1b\x9b\x7f\u202e\u2028]", "\ufffd", name) for name in HOSTILE]
    expected = sorted([*shown, "data.bin", "way\ufffd[2J\ufffdout"])
    with session(own_ftp) as client:
        client.encoding = "utf-8"
        client.file = client.sock.makefile("r", encoding="utf-8")  # type: ignore[union-attr]
        for command, pattern in (
            ("NLST", "(.*)"),
            ("LIST", r".{10}(?: +\S+){7} (.*)"),
            ("MLSD", r"\S+; (.*)"),
        ):
            data = io.BytesIO()
            client.retrbinary(f"{command} inner", data.write)
            lines = data.getvalue().decode().split("\r\n")
            assert lines.pop() == ""
            names = [found[1] for line in lines if (found := re.fullmatch(pattern, line))]
            assert sorted(names) == expected, command
        # The reply to a client that knows the name is one line as well.
        client.sock.sendall(b"CWD inner/way\x1b[2J\nout\r\n")  # type: ignore[union-attr]
        assert client.getresp() == '250 "/inner/way\ufffd[2J\ufffdout" is the current directory.'
        assert client.sendcmd("PWD").startswith('257 "/inner/way\ufffd[2J\ufffdout"')
