"""Servers for a client: scripted ones, and certificates for them.

Every wait has a deadline, and nothing outlives its `with` block.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from webdemo.client.endpoint import Endpoint

SECONDS = 60.0
Talk = Callable[[socket.socket], None]
NOW = datetime.datetime.now(datetime.UTC)


class Peer:
    """A listening socket; `talk` handles each connection, in its own thread."""

    def __init__(self, talk: Talk, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        self._talk = talk
        self._listener = listener
        self._context = context
        self._threads = [threading.Thread(target=self._accept)]
        self.endpoint = Endpoint.of_listener(listener, tls=context is not None)
        self.port = self.endpoint.port or 0
        self.connections = 0

    def start(self) -> None:
        self._threads[0].start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(SECONDS)
        self._listener.close()
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(SECONDS)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self._context is not None:
                secured = self._context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
                connection = stack.enter_context(secured)
                try:
                    secured.do_handshake()
                except ssl.SSLError:  # the alert must arrive before a reset overtakes it
                    connection.shutdown(socket.SHUT_WR)
                    hang(connection)
                    return
            self._talk(connection)


@contextlib.contextmanager
def speaking(
    talk: Talk,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    path: Path | None = None,
    context: ssl.SSLContext | None = None,
) -> Iterator[Peer]:
    """A server on TCP, or on a Unix socket at `path`."""
    if path is not None:
        listener = socket.create_server(str(path), family=socket.AF_UNIX)
    else:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    peer = Peer(talk, listener, context)
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and (data := connection.recv(4096)):
        head += data
    return head


def answering(*answers: bytes) -> Talk:
    """An HTTP server that sends the same response to every request, and closes."""

    def talk(connection: socket.socket) -> None:
        if read_head(connection):
            for answer in answers:
                connection.sendall(answer)

    return talk


def redirecting(location: Callable[[str], str | bytes | None]) -> Talk:
    """An HTTP server that redirects each path to `location(path)`, or answers 200 if that is None."""

    def talk(connection: socket.socket) -> None:
        head = read_head(connection)
        if not head.startswith(b"GET "):  # a check of the certificate, or whether this is TLS
            return
        there = location(head.split(b" ")[1].decode())
        if there is None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return
        line = there if isinstance(there, bytes) else there.encode()
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % line)

    return talk


def greeting(text: bytes) -> Talk:
    """A server that speaks first."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(text)
        hang(connection)

    return talk


def hang(connection: socket.socket) -> None:
    """A server that reads everything and never answers, until the client disconnects."""
    while connection.recv(65536):
        pass


def hang_up(connection: socket.socket) -> None:
    """A server that closes as soon as it has received something."""
    connection.recv(65536)


OK = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@contextlib.contextmanager
def deaf(host: str, port: int = 0) -> Iterator[int]:
    """An address that does not answer connection attempts, because its accept queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            assert filler.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
        yield int(listener.getsockname()[1])


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@dataclass(frozen=True)
class Made:
    """A certificate with its key, in files."""

    chain: Path
    key: Path
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        context.set_alpn_protocols(["http/1.1"])
        return context


def make_certificate(
    folder: Path,
    *names: str,
    subject: str = "test server",
    issuer: str | None = None,
    begins_days: int = -1,
    ends_days: int = 2,
) -> Made:
    """A certificate for names and addresses; self-signed, or signed by an unknown issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    signing = key if issuer is None else ec.generate_private_key(ec.SECP256R1())

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    alternatives: list[Any] = []
    for one in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(one)))
        except ValueError:
            alternatives.append(x509.DNSName(one))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer or subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + datetime.timedelta(days=begins_days))
        .not_valid_after(NOW + datetime.timedelta(days=ends_days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(signing, hashes.SHA256())
    )
    made = Made(folder / "certificate.pem", folder / "key.pem", certificate)
    made.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made
