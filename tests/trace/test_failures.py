"""Every kind of failure says why a URL is not answered, and what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.peers import (
    answering,
    deaf,
    greeting,
    hang,
    hang_up,
    make_certificate,
    needs_ipv6,
    speaking,
)
from tests.free_ports import free_port
from tests.net.programs import NOBODY, needs_root
from tests.trace.conftest import Names
from webdemo.trace import Failure, Trace, trace


def failure_of(found: Trace, step: str) -> Failure:
    """The failure of the trace, which must have ended at this step."""
    last = found.hops[-1].steps[-1]
    assert last.name == step
    assert last.failure is not None
    assert found.failure == last.failure
    assert found.exit_code == last.failure.exit_code
    assert "\n" not in last.failure.problem + last.failure.remedy
    return last.failure


def trace_with_time_enough(url: str, step: str, kind: str) -> tuple[Failure, Trace, str]:
    """The trace of a server that answers nothing that is understood, and the time, as a text, that it had.

    That is short, but if it was over before this step or this explanation, the trace is made with more.
    """
    for seconds in (0.5, 4.0, 30.0):
        found = trace(url, timeout_seconds=seconds)
        last = found.hops[-1].steps[-1]
        ended = last.name, last.failure and last.failure.kind
        if ended == (step, kind) or ended[1] != "timed out":
            break
    failure = failure_of(found, step)
    assert failure.kind == kind
    return failure, found, f"{seconds:g} s"


# -- no connection ---------------------------------------------------------------------------------


def test_refused_port_of_this_machine_says_that_nothing_listens() -> None:
    port = free_port()
    failure = failure_of(trace(f"http://127.0.0.1:{port}/"), "connect")
    assert (failure.kind, failure.exit_code) == ("refused", 69)
    assert failure.problem.startswith(f"Nothing listens on 127.0.0.1:{port}")
    assert f"webdemo --port {port}" in failure.remedy


def test_refused_port_names_the_address_that_does_listen_on_it() -> None:
    with speaking(hang, host="127.0.0.2") as peer:
        failure = failure_of(trace(f"http://127.0.0.1:{peer.port}/x"), "connect")
    assert failure.problem.startswith(
        f"Nothing listens on 127.0.0.1:{peer.port}, but 127.0.0.2:{peer.port} is "
    )
    assert f"(pid {os.getpid()}, yours" in failure.problem
    assert failure.remedy == f"Use http://127.0.0.2:{peer.port}/x"


@needs_ipv6
def test_refused_ipv6_names_the_ipv4_that_listens() -> None:
    with speaking(hang) as peer:
        failure = failure_of(trace(f"http://[::1]:{peer.port}/"), "connect")
    assert failure.remedy == f"Use http://127.0.0.1:{peer.port}/"


def test_silent_address_times_out() -> None:
    with deaf("127.0.0.3") as port:
        found = trace(f"http://127.0.0.3:{port}/", timeout_seconds=0.6)
    failure = failure_of(found, "connect")
    assert (failure.kind, failure.exit_code) == ("timed out", 69)
    assert failure.problem == f"127.0.0.3:{port} did not answer within 0.6 s."
    assert found.hops[0].duration_ms >= 590


def test_unreachable_network_is_named() -> None:
    # The broadcast address of the loopback network: TCP cannot connect to it, and nothing is sent.
    failure = failure_of(trace("http://127.255.255.255/"), "connect")
    assert (failure.kind, failure.exit_code) == ("unreachable", 69)
    assert failure.problem == "127.255.255.255:80 cannot be reached from here: Network is unreachable."


def test_unknown_name_is_named(names: Names) -> None:
    names(nowhere_test=[])
    failure = failure_of(trace("http://nowhere.test/"), "name")
    assert (failure.kind, failure.exit_code) == ("name unknown", 69)
    assert failure.problem == "The host name nowhere.test has no address."


def test_name_without_the_family_asked_for_is_reported(names: Names) -> None:
    names(four_test=["127.0.0.1"])
    failure = failure_of(trace("http://four.test/", family=6), "name")
    assert failure.problem == "The host name four.test has no IPv6 address."
    assert failure.remedy == "Leave out -6, or check its spelling."


def test_address_of_the_other_family_is_reported() -> None:
    failure = failure_of(trace("http://127.0.0.1/", family=6), "name")
    assert failure.problem == "127.0.0.1 is an IPv4 address, and only IPv6 was asked for."
    assert failure.remedy == "Leave out -6."


# -- Unix sockets ----------------------------------------------------------------------------------


def test_missing_socket_file_is_named(tmp_path: Path) -> None:
    failure = failure_of(trace(f"unix:{tmp_path}/no.sock"), "connect")
    assert (failure.kind, failure.exit_code) == ("missing", 69)
    assert failure.problem == f"There is no {tmp_path}/no.sock."


def test_stale_socket_file_is_distinguished_from_a_missing_one(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/old.sock")
    failure = failure_of(trace(f"unix:{tmp_path}/old.sock"), "connect")
    assert failure.kind == "refused"
    assert failure.problem.startswith(f"Nothing listens on {tmp_path}/old.sock: its server has gone")


@pytest.mark.process
@needs_root
def test_socket_file_of_another_user_is_reported() -> None:
    # In another process, because dropped privileges cannot be regained.
    code = f"""
import os, sys
from webdemo.trace import trace
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
print(trace("unix:" + sys.argv[1]).failure.problem)
"""
    path = f"/tmp/webdemo-trace-{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        try:
            listener.listen()
            Path(path).chmod(0o600)
            said = subprocess.run(
                [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=False
            )
        finally:
            Path(path).unlink()
    assert said.stdout == f"This user may not connect to {path}.\n", said.stderr


# -- another protocol ------------------------------------------------------------------------------


def test_tls_to_a_plain_port_says_to_use_http() -> None:
    with speaking(answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")) as peer:
        failure = failure_of(trace(f"https://127.0.0.1:{peer.port}/a", timeout_seconds=4), "tls")
    assert (failure.kind, failure.exit_code) == ("speaks http", 1)
    assert failure.problem == f"Port {peer.port} speaks plain HTTP, not TLS."
    assert failure.remedy == f"Use http: http://127.0.0.1:{peer.port}/a"


def test_tls_to_a_port_that_says_nothing_times_out_with_a_guess() -> None:
    with speaking(hang) as peer:
        failure, _, _ = trace_with_time_enough(f"https://127.0.0.1:{peer.port}/", "tls", "timed out")
    assert failure.remedy == f"It may not speak TLS: try http://127.0.0.1:{peer.port}/"


def test_tls_to_a_port_that_hangs_up_is_reported() -> None:
    with speaking(hang_up) as peer:
        failure = failure_of(trace(f"https://127.0.0.1:{peer.port}/"), "tls")
    assert failure.kind == "tls failed"
    assert failure.problem.startswith("The TLS handshake failed: ")


def test_tls_to_a_mail_server_is_recognised() -> None:
    with speaking(greeting(b"220 mail.test ESMTP\r\n")) as peer:
        failure = failure_of(trace(f"https://127.0.0.1:{peer.port}/"), "tls")
    assert failure.kind == "speaks smtp"
    assert failure.remedy == f"Use smtp://127.0.0.1:{peer.port}"


def test_plain_http_to_a_tls_port_says_to_use_https(tmp_path: Path) -> None:
    context = make_certificate(tmp_path, "127.0.0.1").context()
    with speaking(hang_up, context=context) as peer:
        failure = failure_of(trace(f"http://127.0.0.1:{peer.port}/a"), "first byte")
    assert failure.kind == "speaks tls"
    assert failure.problem == f"Port {peer.port} speaks TLS, not plain HTTP."
    assert failure.remedy == f"Use https: https://127.0.0.1:{peer.port}/a"


def test_tls_alert_in_answer_to_plain_http_is_recognised() -> None:
    with speaking(answering(b"\x15\x03\x01\x00\x02\x02\x46")) as peer:
        failure = failure_of(trace(f"http://127.0.0.1:{peer.port}/"), "first byte")
    assert failure.kind == "speaks tls"


@pytest.mark.parametrize(
    ("scheme", "step", "kind"), [("https", "tls", "tls failed"), ("smtp", "greeting", "speaks tls")]
)
def test_server_that_answers_everything_with_a_tls_alert_is_explained(
    scheme: str, step: str, kind: str
) -> None:
    def alert(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake failure

    with speaking(alert) as peer:
        trace_with_time_enough(f"{scheme}://127.0.0.1:{peer.port}", step, kind)


@pytest.mark.parametrize(
    ("banner", "kind", "words"),
    [
        (b"220 mail.test ESMTP\r\n", "speaks smtp", "is a mail server (SMTP), and does not speak HTTP."),
        (b"220 pyftpdlib FTP ready\r\n", "speaks ftp", "is an FTP server, and does not speak HTTP."),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "speaks ssh", "is an SSH server, and does not speak HTTP."),
        (b"\x1b[31mhello\r\nthere", "not understood", r"does not speak HTTP: it sent “\x1b[31mhello”"),
        (b"HTTP/1.1 what\r\n\r\n", "not understood", "does not speak HTTP: it sent “HTTP/1.1 what”"),
    ],
)
def test_what_is_not_http_is_recognised(banner: bytes, kind: str, words: str) -> None:
    with speaking(greeting(banner)) as peer:
        failure = failure_of(trace(f"http://127.0.0.1:{peer.port}/"), "first byte")
    assert failure.kind == kind
    assert failure.problem == f"127.0.0.1:{peer.port} {words}"


def test_mail_url_to_a_web_server_says_to_use_http() -> None:
    with speaking(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as peer:
        failure, _, _ = trace_with_time_enough(f"smtp://127.0.0.1:{peer.port}", "greeting", "speaks http")
    assert failure.remedy == f"Use http: http://127.0.0.1:{peer.port}/"


# -- connected, but no response --------------------------------------------------------------------


def test_connection_closed_without_an_answer_is_reported() -> None:
    with speaking(hang_up) as peer:
        failure = failure_of(trace(f"http://127.0.0.1:{peer.port}/"), "first byte")
    assert failure.kind == "closed"
    assert (
        failure.problem == f"127.0.0.1:{peer.port} accepted the connection and closed it without a response."
    )


def test_connection_closed_within_the_head_is_reported() -> None:
    with speaking(answering(b"HTTP/1.1 200 OK\r\nContent-")) as peer:
        failure = failure_of(trace(f"http://127.0.0.1:{peer.port}/"), "first byte")
    assert failure.kind == "not understood"


def test_server_that_never_answers_times_out_and_its_process_is_named() -> None:
    with speaking(hang) as peer:
        failure, found, given = trace_with_time_enough(
            f"http://127.0.0.1:{peer.port}/", "first byte", "timed out"
        )
    assert failure.problem == (
        f"127.0.0.1:{peer.port} accepted the connection, but did not answer within {given}."
    )
    assert found.hops[0].answered_by is not None
    assert found.hops[0].answered_by.pid == os.getpid()


def test_body_that_ends_early_is_reported() -> None:
    with speaking(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")) as peer:
        failure = failure_of(trace(f"http://127.0.0.1:{peer.port}/"), "transfer")
    assert failure.kind == "cut"
    assert failure.problem == "The connection ended in the middle of the body, after 3 bytes."


def test_body_without_an_end_stops_at_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nabc")
        hang(connection)

    with speaking(drip) as peer:
        failure, _, given = trace_with_time_enough(f"http://127.0.0.1:{peer.port}/", "transfer", "timed out")
    assert failure.problem == f"The body was not complete after {given}; 3 bytes had arrived."


def test_endless_head_is_bounded() -> None:
    def flood(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            connection.sendall(b"X-%d: %s\r\n" % (number, bytes([120]) * 1000))

    with speaking(flood) as peer:
        failure = failure_of(trace(f"http://127.0.0.1:{peer.port}/"), "first byte")
    assert failure.kind == "not understood"
