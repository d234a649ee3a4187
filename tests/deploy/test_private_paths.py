"""What the exported proxies keep to themselves: health and metrics, however their paths are written."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import sys
from pathlib import Path

import pytest

from tests import running as runs
from tests.deploy.test_proxies_in_front import SECONDS, Address, run_proxy
from webdemo import deploy
from webdemo.cli.export import make_site
from webdemo.config.sources import resolve_settings
from webdemo.deploy.site import Backend, Site

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
CADDY = Path(sys.executable).with_name("caddy")
APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"app"]
"""
# Waitress and Werkzeug take several slashes at the beginning for one; every server decodes.
PRIVATE = ("/%s", "/%s#x", "//%s", "///%s", "/%%2F%s", "/%s?x=%%2F", "http://{host}/%s", "http://{host}//%s")


def _private_paths() -> list[str]:
    names = ("livez", "readyz", "metrics")
    encoded = (f"%{ord(name[0]):02x}{name[1:]}" for name in names)
    every = ("".join(f"%{ord(letter):02X}" for letter in name) for name in names)
    return [form % name for name in (*names, *encoded, *every) for form in PRIVATE]


def _haproxy(site: Site, address: Address, folder: Path) -> list[str]:
    [text] = deploy.FORMATS["haproxy"](site).values()
    text = text.replace("/run/haproxy", str(folder)).replace("bind :8080", f"bind {address}")
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


def _nginx(site: Site, address: Address, folder: Path) -> list[str]:
    [text] = deploy.FORMATS["nginx"](site).values()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; {paths} {text.replace('listen 8080', f'listen {address}')} }}\n"
    )
    return ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]


def _caddy(site: Site, address: Address, folder: Path) -> list[str]:
    text = (ROOT / "examples/deploy/Caddyfile").read_text()
    (folder / "Caddyfile").write_text(text.replace("admin localhost:2019", "admin off"))
    where = {"HOME": folder, "UPSTREAMS": f"127.0.0.1:{site.first_port}", "SITE": f"http://{address}"}
    run = (str(CADDY), "run", "--config", str(folder / "Caddyfile"))
    return ["env", *(f"{name}={value}" for name, value in where.items()), *run]


def _get(address: Address, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path.format(host=address))
        response = connection.getresponse()
        return response.status, response.read()


@pytest.mark.attack(
    "What remote clients see",
    "`/%72eadyz` or `//metrics` through the exported HAProxy or nginx, or the example for Caddy",
    "404, however the path is written",
)
def test_health_and_metrics_are_not_for_the_public_however_the_path_is_written(
    running: runs.Start, tmp_path: Path
) -> None:
    run = running("-b", "waitress://127.0.0.1:0", "--health", "--metrics", app=APP)
    port = int(run.url.rstrip("/").rpartition(":")[2])
    site = make_site(resolve_settings({"app": "shop:app"}, {}, tmp_path), "haproxy", ())
    site = site._replace(backends=(Backend(port),), admin_port=None)
    tried = 0
    for make in (_haproxy, _nginx, _caddy):
        name = make.__name__[1:]
        if not (shutil.which(name) or (make is _caddy and CADDY.exists())):
            continue
        tried += 1
        address, folder = Address(), tmp_path / name
        folder.mkdir()
        with run_proxy(make(site, address, folder), address, folder / "log"):
            assert _get(address, "/") == (200, b"app"), name
            for path in ("/status", "/livez/more", "/xmetrics", "/metrics2"):
                assert _get(address, path) == (200, b"app"), f"{name} {path} is the app's"
            for path in _private_paths():
                status, body = _get(address, path)
                assert status in (400, 404) or body == b"app", f"{name} {path} {body!r}"
    if not tried:
        pytest.skip("no proxy is installed")
