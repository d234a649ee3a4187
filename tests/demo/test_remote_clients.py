"""What clients on other machines see of a run, on real servers: nothing about its machine."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests import raw_http
from tests import running as runs
from tests.servers.kinds import KINDS, bind
from webdemo.net.ports import ephemeral_range
from webdemo.servers import registry

pytestmark = pytest.mark.process  # one run for all tests of this module

INSTALLED = [kind for kind, (server, _) in KINDS.items() if registry.find(server).version() is not None]

TELLING_PAGES = ("/", "/learn/port", "/ports", "/trace", "/servers", "/mail", "/inspect", "/metrics")
# {other} is the port of another server of the run.
ALL_PAGES = """
    / /learn /learn/port /learn/url /learn/ranges /learn/one-server /learn/many-servers
    /learn/questions /learn/questions?q1=a&q2=a&q3=b&q4=b&q5=a
    /ports /ports?q=1-65535 /ports/{other} /ports/99999 /trace /trace?url=http://127.0.0.1:{other}/
    /compare /servers /servers/live /mail /mail/1 /mail/1/source /mail/1/parts/0 /hello/you
    /inspect /inspect?q=1 /files/ /files/webdemo.css /robots.txt /nowhere /error /% /static/nowhere
    /metrics /livez /readyz
"""

NUMBER = re.compile(r"\b[0-9]+\b")
# Numbers that the pages contain anyway: a process id may be equal to one by chance.
ROOT = Path(__file__).parents[2]
SITE_NUMBERS = {
    number
    for source in [
        *ROOT.glob("templates/**/*.html"),
        *ROOT.glob("webdemo/demo/*.py"),
        *ROOT.glob("webdemo/net/*.py"),
    ]
    for number in NUMBER.findall(source.read_text())
}


class RemoteClient(NamedTuple):
    """How the request of a client elsewhere differs from one of a client on this machine."""

    fields: tuple[tuple[str, str], ...] = ()
    host: str = "localhost:{port}"
    protocol: str = "HTTP/1.1"
    target: str = "{path}"
    via_unix: bool = False


REMOTE_CLIENTS = {
    "through a proxy": RemoteClient((("X-Forwarded-For", "203.0.113.9"),), "www.example.com"),
    "through a proxy that writes a loopback Host": RemoteClient((("X-Forwarded-For", "203.0.113.9"),)),
    "through one that adds only Via": RemoteClient((("Via", "1.1 proxy"),), "127.0.0.1:{port}"),
    "through a content network": RemoteClient((("CF-Connecting-IP", "203.0.113.9"),)),
    "through nginx without settings": RemoteClient(
        (("Connection", "close"),), "127.0.0.1:{port}", "HTTP/1.0"
    ),
    "by a public name": RemoteClient(host="www.example.com"),
    "by a public name with the port": RemoteClient(host="www.example.com:{port}"),
    "by a name that begins like a loopback one": RemoteClient(host="127.0.0.1.evil.example:{port}"),
    "by an IPv4-mapped address": RemoteClient(host="[::ffff:127.0.0.1]:{port}"),
    "by a name with a dot at its end": RemoteClient(host="localhost.:{port}"),
    "with a target of another host": RemoteClient(target="http://www.example.com{path}"),
    "with a Host of another than the target": RemoteClient(
        host="www.example.com", target="http://localhost{path}"
    ),
    "on a Unix socket": RemoteClient(host="localhost", via_unix=True),
}


class Run(NamedTuple):
    run: runs.Running
    urls: dict[str, str]
    unix: str
    secrets: dict[str, str]
    mail_port: int


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Every kind of server with the demo site, a mail catcher and a Unix socket: much to hide."""
    folder: Path = tmp_path_factory.mktemp("remote")
    unix = str(folder / "a-socket-file")
    run = runs.start(
        folder,
        *(part for kind in INSTALLED for part in ("-b", bind(kind))),
        *("-b", f"smtp://127.0.0.1:0?spool={folder}/secret-spool"),
        *("-b", f"waitress+unix://{unix}?channel_timeout=4711"),
        *("--metrics", "--health", "--trace-hosts", "intranet.example"),
        environment={"HTTP_PASSWORD": "out-of-the-environment"},
    )
    try:
        urls = dict(zip(INSTALLED, run.urls, strict=False))
        mail = next(url for url in run.urls if url.startswith("smtp:"))
        low, high = ephemeral_range() or (0, 0)
        secrets = {
            "the spool folder": "secret-spool",
            "a socket file": "a-socket-file",
            "a trace host": "intranet.example",
            "the current folder": str(folder),
            "the home folder": str(Path.home()) + "/",
            "a variable": "out-of-the-environment",
            "an option": "channel_timeout",
            "the kernel's ports": f"{low}–{high}",
            "an object's address": " at 0x",
        }
        yield Run(run, urls, unix, secrets, urlsplit(mail).port or 0)
    finally:
        run.clean_up()


def ask(run: Run, url: str, method: str, path: str, client: RemoteClient, accept: str) -> str:
    """The whole response, its head included."""
    port = urlsplit(url).port
    fields = {"Connection": "close"} | dict(client.fields)
    head = [
        f"{method} {client.target.format(path=path)} {client.protocol}",
        f"Host: {client.host.format(port=port)}",
        *(f"{name}: {value}" for name, value in fields.items()),
        f"Accept: {accept}",
        "Accept-Encoding: identity",
        "Content-Length: 0",
    ]
    with raw_http.Connection(f"unix:{run.unix}" if client.via_unix else url) as connection:
        connection.send("\r\n".join([*head, "", ""]).encode())
        received = b""
        while data := connection.socket.recv(65536):
            received += data
    return received.decode("utf-8", "replace")


def others_ports(run: Run, url: str) -> set[int]:
    return {run.mail_port, *(urlsplit(u).port or 0 for u in run.urls.values())} - {urlsplit(url).port}


def without_own_numbers(answer: str) -> str:
    """The response without its date, its length and its request id, which counts the requests."""
    for request_id in re.findall(r"(?i)\nx-request-id: (\S+)", answer):
        answer = answer.replace(request_id, "")
    return re.sub(r"(?i)\n(date|content-length): .*", "", answer)


def revealed(run: Run, url: str, requests: Iterable[tuple[str, str, str]], client: RemoteClient) -> list[str]:
    """What was revealed that should not be; the requests are method, path and Accept."""
    ports = {port for port in others_ports(run, url) if str(port) not in SITE_NUMBERS}
    other = min(ports)
    pids = {process.pid for process in run.run.processes() if str(process.pid) not in SITE_NUMBERS}
    found = []
    for method, path, accept in requests:
        answer = ask(run, url, method, path.format(other=other), client, accept)
        # /ports shows every port number, and listings contain sizes.
        searched = "" if path.startswith(("/ports", "/files")) else without_own_numbers(answer)
        numbers = set(NUMBER.findall(searched))
        texts = [what for what, text in run.secrets.items() if text in answer]
        texts += [f"process {pid}" for pid in pids if str(pid) in numbers]
        texts += [f"port {port}" for port in ports if str(port) in numbers and "{other}" not in path]
        found += [f"{method} {path} as {accept}: {text}" for text in texts]
    return found


@pytest.mark.attack(
    "What remote clients see",
    "pages are requested, as HTML and JSON, through proxies, by other names, over HTTP/1.0 and a Unix socket",
    "no other port, process, option, path, socket file, spool folder, trace host or variable is revealed",
)
@pytest.mark.parametrize("how", REMOTE_CLIENTS)
@pytest.mark.parametrize("kind", INSTALLED)
def test_remote_clients_learn_nothing_about_the_machine(run: Run, kind: str, how: str) -> None:
    requests = itertools.product(["GET"], TELLING_PAGES, ["text/html", "application/json"])
    assert revealed(run, run.urls[kind], requests, REMOTE_CLIENTS[how]) == []


@pytest.mark.attack(
    "What remote clients see",
    "every page of the demo site is requested with GET, HEAD and POST, error pages included",
    "none reveals anything about the machine",
)
@pytest.mark.parametrize("how", ["through a proxy", "by a public name with the port"])
@pytest.mark.parametrize("kind", ["werkzeug", "waitress", "gunicorn"])
def test_no_page_reveals_the_machine_to_remote_clients(run: Run, kind: str, how: str) -> None:
    requests = [
        *itertools.product(["GET", "HEAD"], ALL_PAGES.split(), ["text/html"]),
        *itertools.product(["GET", "POST"], ALL_PAGES.split(), ["application/json"]),
    ]
    assert revealed(run, run.urls[kind], requests, REMOTE_CLIENTS[how]) == []


@pytest.mark.parametrize("kind", INSTALLED)
def test_local_client_sees_processes_and_other_servers(run: Run, kind: str) -> None:
    url = run.urls[kind]
    shown = raw_http.get(url, "/inspect", headers=[("Accept", "application/json")]).json
    assert shown["answered_by"]["process"] in {process.pid for process in run.run.processes()}
    services = next(entry["value"] for entry in shown["environ"] if entry["key"] == "webdemo.server")
    assert "services" in services
    for path in ("/servers", "/mail", "/ports", "/metrics"):
        answer = raw_http.get(url, path)
        assert answer.status == 200
        assert str(urlsplit(url).port) in answer.text or path == "/mail"


def test_remote_client_sees_the_port_that_its_own_url_names(run: Run) -> None:
    url = run.urls["werkzeug"]
    port = urlsplit(url).port
    direct = ask(run, url, "GET", "/", RemoteClient(host="www.example.com:{port}"), "text/html")
    forwarded = ask(run, url, "GET", "/", RemoteClient(host="www.example.com"), "text/html")
    assert f">{port}<" in direct
    assert str(port) not in forwarded
