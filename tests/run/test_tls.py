"""TLS as clients see it, from every server that has it."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests import running as runs
from tests.servers.kinds import KINDS
from webdemo import servers
from webdemo.run.self_signed import fingerprint, self_signed

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
    if servers.find(name).tls and servers.find(name).version() is not None
]


def curl(*arguments: str) -> Any:
    command = ["curl", "--silent", "--show-error", "--max-time", "30", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_server_with_tls_serves_the_given_certificate_to_curl(running: runs.Start) -> None:
    made = self_signed()
    try:
        chain, key = made.certificate.chain, made.certificate.key
        binds = [
            part
            for name in ABLE
            for part in ("-b", f"{name}+https://127.0.0.1:0?certificate={chain}&key={key}")
        ]
        run = running(*binds, app=APP)
        assert f"SHA-256 {made.fingerprint}" in run.log()
        for row in run.rows():
            port = urlsplit(row.urls[0]).port
            for host in ("127.0.0.1", "localhost"):
                url = f"https://{host}:{port}/"
                assert curl("--ipv4", "--cacert", str(chain), url) == ["https", row.server]
        assert run.terminate() == 0
    finally:
        made.close()


def test_the_certificate_made_at_start_is_one_for_all_has_the_printed_fingerprint_and_goes_with_the_run(
    running: runs.Start, tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    binds = [part for name in ABLE for part in ("-b", f"{name}+https://:0")]
    run = running(*binds, app=APP, environment={"TMPDIR": str(folder)})
    [printed] = run.wait_for(r"SHA-256 [0-9A-F:]+$")
    [chain] = folder.glob("*/certificate.pem")
    for row in run.rows():
        for url in row.urls:
            place = urlsplit(url)
            assert curl("--cacert", str(chain), url) == ["https", row.server]
            pem = ssl.get_server_certificate((str(place.hostname), place.port or 0), timeout=60)
            assert fingerprint(ssl.PEM_cert_to_DER_cert(pem)) == printed.removeprefix("SHA-256 ")
    assert run.terminate() == 0
    assert not chain.parent.exists()


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


def test_a_host_that_the_certificate_does_not_name_is_told_at_start(running: runs.Start) -> None:
    made = self_signed()
    try:
        chain, key = made.certificate.chain, made.certificate.key
        run = running("-b", f"werkzeug+https://127.0.0.2:0?certificate={chain}&key={key}", app=APP)
        assert "It does not name 127.0.0.2: clients will warn there." in run.log()
    finally:
        made.close()


def test_a_client_that_speaks_no_tls_or_says_nothing_does_not_keep_the_others_out(
    running: runs.Start,
) -> None:
    run = running(*(part for name in ABLE for part in ("-b", f"{name}+https://127.0.0.1:0")), app=APP)
    with contextlib.ExitStack() as stack:
        for row in run.rows():
            place = urlsplit(row.urls[0])
            # Cheroot waits for each handshake in turn, up to ten seconds.
            silent = [b""] if row.server != "cheroot" else []
            for words in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", *silent):
                client = socket.create_connection((place.hostname, place.port), timeout=60)
                stack.enter_context(client)
                client.sendall(words)
        for row in run.rows():
            assert curl("--insecure", row.urls[0]) == ["https", row.server]
