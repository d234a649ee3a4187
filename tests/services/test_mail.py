"""The mail catcher with real clients: what it accepts, what it refuses, and how it stops."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests import running as runs
from tests.services.conftest import Serve, Services
from webdemo.services.spool import Spool

pytestmark = pytest.mark.process

SECONDS = 60
SENDER, RECIPIENT = "you@example.org", "me@example.org"


@contextlib.contextmanager
def session(port: int) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", port, timeout=SECONDS) as client:
        client.ehlo()
        yield client


def send(port: int, content: str = "Hello.") -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Hello", SENDER, RECIPIENT
    message.set_content(content)
    with session(port) as client:
        client.send_message(message)


def only_message(spool: Path) -> bytes:
    [caught] = Spool(spool).messages()
    content = Spool(spool).read(caught.id)
    assert content is not None
    return content


def test_message_of_smtplib_is_kept_with_its_envelope(services: Services, shared_spool: Path) -> None:
    with session(services.ports["smtp"]) as client:
        client.sendmail(SENDER, [RECIPIENT, "bcc@example.org"], "Subject: Hi\r\n\r\n.dot\r\n..\r\nend\r\n")
    head, body = only_message(shared_spool).split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    assert lines[:3] == [
        f"Return-Path: <{SENDER}>",
        f"X-Envelope-To: <{RECIPIENT}>",
        "X-Envelope-To: <bcc@example.org>",
    ]
    assert lines[3].startswith("Received: from ")
    assert lines[4] == "Subject: Hi"
    assert body == b".dot\r\n..\r\nend\r\n"
    services.webdemo.wait_for(
        rf"127\.0\.0\.1 mail from {SENDER} to {RECIPIENT}, bcc@example\.org, [0-9]+ bytes"
    )


def test_message_of_curl_is_kept(services: Services, shared_spool: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    command = [curl, "--silent", "--show-error", "--crlf", "--upload-file", "-", "--mail-from", SENDER]
    command += ["--mail-rcpt", RECIPIENT, f"smtp://127.0.0.1:{services.ports['smtp']}"]
    subprocess.run(command, input=b"Subject: Curl\n\nHi\n", check=True, timeout=SECONDS)
    assert only_message(shared_spool).endswith(b"Subject: Curl\r\n\r\nHi\r\n")


def test_url_has_its_scheme_and_no_app_is_imported(serve: Serve) -> None:
    services = serve("smtp", app="raise RuntimeError('imported')")
    assert services.webdemo.urls == [f"smtp://127.0.0.1:{services.ports['smtp']}"]


def test_null_sender_and_utf8_addresses_are_taken(services: Services, shared_spool: Path) -> None:
    with session(services.ports["smtp"]) as client:
        client.sendmail("", [RECIPIENT], "Subject: bounce\r\n\r\n")
        client.sendmail("jürgen@example.org", ["grüße@example.org"], "\r\n", mail_options=["SMTPUTF8"])
    newest, oldest = (Spool(shared_spool).read(caught.id) or b"" for caught in Spool(shared_spool).messages())
    assert oldest.startswith(b"Return-Path: <>\r\n")
    assert newest.startswith(
        "Return-Path: <jürgen@example.org>\r\nX-Envelope-To: <grüße@example.org>".encode()
    )


def test_envelope_cannot_begin_a_header(services: Services, shared_spool: Path) -> None:
    with socket.create_connection(("127.0.0.1", services.ports["smtp"]), timeout=SECONDS) as sock:
        begin_message(sock, helo="me\rInjected: yes", sender='"a\rInjected: yes"@example.org')
        sock.sendall(b"Subject: x\r\n\r\n.\r\n")
        assert reply(sock).startswith(b"250")
    assert b"\rInjected" not in only_message(shared_spool)


def test_message_that_is_too_large_is_refused_before_and_while_it_is_sent(serve: Serve, spool: Path) -> None:
    services = serve("smtp?max_message_bytes=10000")
    with session(services.ports["smtp"]) as client:
        assert client.esmtp_features["size"] == "10000"
        assert client.mail(SENDER, ["size=10001"])[0] == 552
        assert client.mail(SENDER)[0] == 250
        assert client.rcpt(RECIPIENT)[0] == 250
        assert client.data(b"x" * 70 + b"\r\n" * 5000)[0] == 552
        client.sendmail(SENDER, RECIPIENT, "Subject: small\r\n\r\n")
    assert b"small" in only_message(spool)


def test_more_than_100_recipients_are_refused(services: Services) -> None:
    with session(services.ports["smtp"]) as client:
        client.mail(SENDER)
        codes = [client.rcpt(f"{number}@example.org")[0] for number in range(101)]
    assert codes == [250] * 100 + [452]


def test_number_of_messages_is_bounded(serve: Serve, spool: Path) -> None:
    services = serve("smtp?max_messages=3")
    for number in range(5):
        send(services.ports["smtp"], str(number))
    assert len(Spool(spool).messages()) == 3


def test_full_disk_is_told_with_452_and_is_no_end(serve: Serve, spool: Path) -> None:
    services = serve("smtp")
    # A file size limit stands in for a full disk: the same call fails.
    unlimited = resource.prlimit(services.pid("smtp"), resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    with session(services.ports["smtp"]) as client:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail(SENDER, RECIPIENT, "x" * 70 + "\r\n" * 5000)
        assert refused.value.smtp_code == 452
        assert list(spool.iterdir()) == []
        resource.prlimit(services.pid("smtp"), resource.RLIMIT_FSIZE, unlimited)
        client.sendmail(SENDER, RECIPIENT, "x" * 70 + "\r\n" * 5000)
    only_message(spool)


def test_connections_beyond_the_bound_wait(serve: Serve) -> None:
    port = serve("smtp?max_connections=2").ports["smtp"]
    first = [socket.create_connection(("127.0.0.1", port), timeout=SECONDS) for _ in range(2)]
    assert all(sock.recv(100).startswith(b"220") for sock in first)
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as third:
        third.settimeout(0.3)
        with pytest.raises(TimeoutError):
            third.recv(100)
        for sock in first:
            sock.close()
        third.settimeout(SECONDS)
        assert third.recv(100).startswith(b"220")


def test_browser_that_speaks_http_to_it_is_sent_away(serve: Serve, spool: Path) -> None:
    port = serve("smtp").ports["smtp"]
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as sock:
        headers = "".join(f"X-{number}: y\r\n" for number in range(8))
        sock.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := sock.recv(4096):
                answer += data
    assert b"Too many unrecognized commands" in answer
    assert Spool(spool).messages() == []


def test_killed_server_comes_back_with_what_it_has_kept(serve: Serve, spool: Path) -> None:
    services = serve("smtp")
    port = services.ports["smtp"]
    send(port, "before")
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as half:
        begin_message(half)
        half.sendall(b"Subject: lost\r\n\r\nThis is not the e")
        os.kill(services.pid("smtp"), signal.SIGKILL)
        services.webdemo.wait_for(r"is up again")
    send(port, "after")
    contents = [Spool(spool).read(caught.id) or b"" for caught in Spool(spool).messages()]
    assert [b"after" in contents[0], b"before" in contents[1], len(contents)] == [True, True, 2]
    assert all(path.suffix == ".eml" for path in spool.iterdir())


def begin_message(sock: socket.socket, helo: str = "test", sender: str = SENDER) -> None:
    """Send the commands up to the reply 354, which asks for the message."""
    commands = [f"EHLO {helo}", f"MAIL FROM:<{sender}>", f"RCPT TO:<{RECIPIENT}>", "DATA"]
    reply(sock)
    for command in commands:
        sock.sendall(f"{command}\r\n".encode())
        answer = reply(sock)
    assert answer.startswith(b"354")


def reply(sock: socket.socket) -> bytes:
    """Read one complete reply (RFC 5321 section 4.2.1)."""
    text = b""
    while not (text.endswith(b"\r\n") and text.rstrip(b"\r\n").split(b"\n")[-1][3:4] == b" "):
        data = sock.recv(1)
        if not data:
            break
        text += data
    return text


@pytest.mark.parametrize("how", ["stop", "restart"])
def test_message_being_received_is_finished(serve: Serve, spool: Path, how: str) -> None:
    services = serve("smtp")
    port = services.ports["smtp"]
    with (
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as slow,
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as idle,
    ):
        reply(idle)
        begin_message(slow)
        slow.sendall(b"Subject: slow\r\n\r\n")
        if how == "stop":
            services.webdemo.signal(signal.SIGTERM)
            services.webdemo.wait_for(r"^Stopping")
        else:
            command = [
                sys.executable,
                "-m",
                "webdemo",
                "restart",
                str(port),
                "--pid",
                str(services.webdemo.pid),
            ]
            subprocess.run(command, check=True, timeout=60)
            send(port, "to the new one")
        assert reply(idle).startswith(b"421")
        for _ in range(5):
            time.sleep(0.2)
            slow.sendall(b"line\r\n")
        slow.sendall(b".\r\n")
        assert reply(slow).startswith(b"250 ")
        assert reply(slow).startswith(b"421 ")
    if how == "stop":
        assert services.webdemo.wait() == 0
    contents = [Spool(spool).read(caught.id) or b"" for caught in Spool(spool).messages()]
    assert contents[0].endswith(b"Subject: slow\r\n\r\n" + b"line\r\n" * 5)


def test_message_that_takes_longer_than_the_grace_time_is_cut_off(serve: Serve, spool: Path) -> None:
    services = serve("smtp", arguments=("--grace", "1"))
    with socket.create_connection(("127.0.0.1", services.ports["smtp"]), timeout=SECONDS) as slow:
        begin_message(slow)
        slow.sendall(b"half")
        services.webdemo.signal(signal.SIGTERM)
        assert services.webdemo.wait() == 1
    assert Spool(spool).messages() == []


def test_folder_that_cannot_be_made_is_told_at_start(running: runs.Start, spool: Path) -> None:
    spool.write_text("")
    webdemo = running("-b", f"smtp://127.0.0.1:0?spool={spool}", wait=False)
    assert webdemo.wait() == 1
    assert f"The folder for mail, {spool}, cannot be created" in webdemo.log()
    assert "?spool=DIR" in webdemo.log()
