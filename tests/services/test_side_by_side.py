"""HTTP, SMTP and FTP under one supervisor, each on its own port."""

from __future__ import annotations

import ftplib
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import running as runs
from tests.services.conftest import Serve, Services, shared
from tests.services.test_mail import send

pytestmark = pytest.mark.process

SECONDS = 60


def webdemo(services: Services, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webdemo", *words, "--pid", str(services.webdemo.pid)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def all_answer(services: Services) -> None:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{services.ports['waitress']}/hello", timeout=SECONDS
    ) as answer:
        assert answer.status == 200
    with smtplib.SMTP("127.0.0.1", services.ports["smtp"], timeout=SECONDS) as mail:
        assert mail.noop()[0] == 250
    with ftplib.FTP(timeout=SECONDS) as files:
        files.connect("127.0.0.1", services.ports["ftp"])
        assert files.login().startswith("230")


THREE = ("waitress", "smtp", "ftp")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """One run for all tests that leave every port as it was."""
    with shared(tmp_path_factory.mktemp("three"), *THREE) as started:
        yield started


def test_each_has_its_own_port_process_and_url(services: Services) -> None:
    rows = services.webdemo.rows()
    assert [row.urls[0].partition(":")[0] for row in rows] == ["http", "smtp", "ftp"]
    assert len({row.pids for row in rows}) == 3
    all_answer(services)


def test_one_that_is_killed_comes_back_and_the_others_do_not_notice(serve: Serve) -> None:
    services = serve(*THREE)
    for server in ("smtp", "ftp"):
        os.kill(services.pid(server), signal.SIGKILL)
        services.webdemo.wait_for(rf"^{server} {services.ports[server]} is up again")
        all_answer(services)
    assert services.webdemo.terminate() == 0


def test_restart_stop_and_start_work_on_each(services: Services) -> None:
    for server in ("smtp", "ftp"):
        port = str(services.ports[server])
        for words in (("restart", port), ("stop", port)):
            done = webdemo(services, *words)
            assert done.returncode == 0, done.stderr
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), timeout=SECONDS)
        assert webdemo(services, "start", port).returncode == 0
        all_answer(services)


def test_reload_leaves_no_port_unanswered(services: Services) -> None:
    assert webdemo(services, "reload").returncode == 0
    all_answer(services)


def test_swap_between_protocols_is_refused_with_the_reason(services: Services) -> None:
    for port, server, says in (
        (services.ports["smtp"], "waitress", "speaks smtp, and the server waitress speaks http"),
        (services.ports["waitress"], "ftp", "speaks http, and the server ftp speaks ftp"),
        (services.ports["ftp"], "smtp", "speaks ftp, and the server smtp speaks smtp"),
    ):
        refused = webdemo(services, "swap", str(port), server)
        assert refused.returncode == 2
        assert says in refused.stderr
        assert f"-b {server}://" in refused.stderr
    all_answer(services)


def test_swap_within_a_protocol_changes_the_options(serve: Serve, spool: Path) -> None:
    services = serve("smtp")
    done = webdemo(
        services, "swap", str(services.ports["smtp"]), f"smtp?max_message_bytes=12345&spool={spool}"
    )
    assert done.returncode == 0, done.stderr
    with smtplib.SMTP("127.0.0.1", services.ports["smtp"], timeout=SECONDS) as mail:
        mail.ehlo()
        assert mail.esmtp_features["size"] == "12345"


@pytest.mark.parametrize("server", ["smtp", "ftp"])
def test_a_platforms_port_does_not_open_mail_and_files_to_other_machines(
    running: runs.Start, server: str, tmp_path: Path
) -> None:
    environment = {"PORT": "0", "XDG_RUNTIME_DIR": str(tmp_path)}
    webdemo = running("-b", "waitress://:0", "-b", f"{server}://:0", environment=environment)
    http, other = webdemo.rows()
    assert len(http.urls) >= 1
    listening = {
        c.laddr.ip for p in webdemo.servers() if p.pid in other.pids for c in p.net_connections("tcp")
    }
    assert listening <= {"127.0.0.1", "::1"}
    assert listening


@pytest.mark.parametrize(
    ("bind", "says"),
    [
        ("smtp+https://:2525", "The server smtp has no TLS."),
        ("ftp+unix:///tmp/ftp.sock", "The server ftp has no Unix sockets."),
        ("smtp://:2525?threads=4", "The server smtp has no option 'threads'."),
    ],
)
def test_what_they_cannot_do_is_refused_without_naming_http_servers(
    running: runs.Start, bind: str, says: str
) -> None:
    refused = running("-b", bind, wait=False)
    assert refused.wait() == 2
    assert says in refused.log()
    assert "waitress" not in refused.log()


def test_health_is_answered_by_http_alone(serve: Serve) -> None:
    services = serve(*THREE, arguments=("--health",))
    with urllib.request.urlopen(
        f"http://127.0.0.1:{services.ports['waitress']}/readyz", timeout=SECONDS
    ) as answer:
        assert answer.status == 200
    all_answer(services)


def test_access_log_can_be_silenced(serve: Serve) -> None:
    services = serve("smtp", arguments=("--no-access-log",))
    send(services.ports["smtp"])
    assert services.webdemo.terminate() == 0
    assert "mail from" not in services.webdemo.log()


def test_no_client_is_lost_while_mail_and_files_are_restarted(services: Services) -> None:
    stop, failures, answered = threading.Event(), list[Exception](), [0, 0]

    def keep_asking(kind: int) -> None:
        while not stop.is_set():
            try:
                if kind == 0:
                    send(services.ports["smtp"])
                else:
                    with ftplib.FTP(timeout=SECONDS) as files:
                        files.connect("127.0.0.1", services.ports["ftp"])
                        files.login()
                        files.nlst()
                answered[kind] += 1
            except (OSError, EOFError, ftplib.Error, smtplib.SMTPException) as exc:
                if "421" not in str(exc):  # the reply after too long an idle time, on a busy machine
                    failures.append(exc)

    threads = [threading.Thread(target=keep_asking, args=(kind,)) for kind in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            for server in ("smtp", "ftp"):
                assert webdemo(services, "restart", str(services.ports[server])).returncode == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert failures == []
    assert min(answered) > 3
