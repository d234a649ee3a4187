"""TLS as clients see it, from every server that has it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import running as runs
from tests.servers.kinds import KINDS
from webdemo.servers import registry
from webdemo.supervisor.self_signed import SelfSigned, fingerprint, self_signed

APP = """
import json

def app(environ, start_response):
    body = json.dumps([environ["wsgi.url_scheme"], environ["webdemo.server"]["name"]]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
ABLE = [
    name
    for name in dict(KINDS.values())
    if registry.find(name).tls and registry.find(name).version() is not None
]


def made_file(folder: Path) -> tuple[SelfSigned, Path]:
    """A certificate, and a file that holds it and its key."""
    made = self_signed()
    file = folder / "made.pem"
    file.touch(mode=0o600)
    file.write_text(made.certificate.pem)
    return made, file


def curl(*arguments: str) -> Any:
    command = ["curl", "--silent", "--show-error", "--max-time", "30", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_server_with_tls_serves_the_given_certificate_to_curl(
    running: runs.Start, tmp_path: Path
) -> None:
    made, file = made_file(tmp_path)
    binds = [
        part for name in ABLE for part in ("-b", f"{name}+https://127.0.0.1:0?certificate={file}&key={file}")
    ]
    run = running(*binds, app=APP)
    run.wait_for(f"SHA-256 {made.fingerprint}")
    for row in run.rows():
        port = urlsplit(row.urls[0]).port
        for host in ("127.0.0.1", "localhost"):
            url = f"https://{host}:{port}/"
            assert curl("--ipv4", "--cacert", str(file), url) == ["https", row.server]
    assert run.terminate() == 0


@pytest.mark.attack(
    "Files and races",
    "A cleaner empties the temporary folder, and then a server process dies",
    "Its successor has the same certificate, which is in no folder, and which no kill leaves behind",
)
def test_the_certificate_made_at_start_is_one_for_all_and_lies_in_no_folder(
    running: runs.Start, tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    binds = [part for name in ABLE for part in ("-b", f"{name}+https://:0")]
    run = running(*binds, app=APP, environment={"TMPDIR": str(folder)})
    [printed] = run.wait_for(r"SHA-256 [0-9A-F:]+$")
    rows = run.rows()
    for killed in (False, True):
        for row in rows:
            if killed:
                os.kill(row.pids[0], signal.SIGKILL)
                run.wait_for(rf"{row.server} .*up again")
            for url in row.urls:
                place = urlsplit(url)
                pem = ssl.get_server_certificate((str(place.hostname), place.port or 0), timeout=60)
                assert fingerprint(ssl.PEM_cert_to_DER_cert(pem)) == printed.removeprefix("SHA-256 ")
                chain = tmp_path / "seen.pem"
                chain.write_text(pem)
                assert curl("--cacert", str(chain), url) == ["https", row.server]
    holds = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    assert not [data for data in holds if b"-----BEGIN" in data]
    assert run.terminate() == 0


def test_a_certificate_that_cannot_be_served_stops_the_start_with_its_remedy(running: runs.Start) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder, "site.pem")
        chain.write_text("hello")
        run = running("-b", f"werkzeug+https://:0?certificate={chain}&key={chain}", app=APP, wait=False)
        assert run.wait() == 2
        assert run.log().splitlines()[-2:] == [
            f"The certificate {chain} is no PEM file.",
            "A PEM file has a line -----BEGIN CERTIFICATE-----.",
        ]


def test_a_host_that_the_certificate_does_not_name_is_told_at_start(
    running: runs.Start, tmp_path: Path
) -> None:
    _, file = made_file(tmp_path)
    run = running("-b", f"werkzeug+https://127.0.0.2:0?certificate={file}&key={file}", app=APP)
    run.wait_for(r"It does not name 127\.0\.0\.2: clients will warn there\.")


def test_a_client_that_speaks_no_tls_or_says_nothing_does_not_keep_the_others_out(
    running: runs.Start,
) -> None:
    run = running(*(part for name in ABLE for part in ("-b", f"{name}+https://127.0.0.1:0")), app=APP)
    with contextlib.ExitStack() as stack:
        for row in run.rows():
            place = urlsplit(row.urls[0])
            # Cheroot does one handshake after the other, each up to ten seconds.
            silent = [b""] if row.server != "cheroot" else []
            for words in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", *silent):
                client = socket.create_connection((place.hostname, place.port), timeout=60)
                stack.enter_context(client)
                client.sendall(words)
        for row in run.rows():
            assert curl("--insecure", row.urls[0]) == ["https", row.server]
