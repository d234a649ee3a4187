"""HAProxy in front of one host or several."""

from __future__ import annotations

from webdemo.deploy.quoting import haproxy
from webdemo.deploy.site import CHECK_FALLS, CHECK_SECONDS, NOTICE_SECONDS, Backend, Site


def files(site: Site) -> dict[str, str]:
    servers = "".join(f"    {line}\n" for line in _servers(site))
    return {
        "haproxy.cfg": f"""\
# {site.trust}
global
    log stdout format raw local0
    maxconn 4096
    # To drain a host by hand, send it: set server {site.name}/host1 state drain
    stats socket /run/haproxy/admin.sock mode 660 level admin

defaults
    mode http
    log global
    option httplog
    option dontlognull
    timeout connect 3s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
    timeout http-keep-alive 10s
    timeout queue 10s

frontend {site.name}
    bind :8080
    # What a client writes into these is not passed on.
    http-request del-header Forwarded
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Request-ID %[uuid()] unless {{ req.hdr(x-request-id) -m found }}
    # Health and metrics are not for the public. Servers decode a path, and some take // for /.
    http-request return status 404 if {{ path,url_dec -m reg ^/+(livez|readyz|metrics)$ }}
    default_backend {site.name}

backend {site.name}
    balance leastconn
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost
    http-check expect status 200
    timeout check {CHECK_SECONDS}s
    # A host that stops is taken out in {NOTICE_SECONDS} s; it serves for {site.drain_delay_seconds:g} s.
    default-server check inter {CHECK_SECONDS}s fall {CHECK_FALLS} rise 2 {_check_port(site)}maxconn 1000
    default-server init-addr last,libc,none
    # A refused connection is tried on another host; what was sent may be sent again only if it is safe.
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response response-timeout 503
    http-request disable-l7-retry unless METH_GET or {{ method HEAD OPTIONS }}
{servers}"""
    }


def _check_port(site: Site) -> str:
    """The admin address answers however busy the app is."""
    return f"port {site.admin_port} " if site.admin_port is not None else ""


def _servers(site: Site) -> list[str]:
    lines = []
    for number, host in enumerate(site.hosts or ("127.0.0.1",), 1):
        for backend in site.backends:
            name = f"host{number}" if len(site.backends) == 1 else f"host{number}-{_short(backend)}"
            tls = " ssl verify none check-ssl" if backend.tls and site.admin_port is None else ""
            tls = tls or (" ssl verify none" if backend.tls else "")
            lines.append(f"server {name} {_address(host, backend)}{tls}")
    return lines


def _short(backend: Backend) -> str:
    return str(backend.port) if backend.port is not None else "unix"


def _address(host: str, backend: Backend) -> str:
    if backend.path is not None:
        return haproxy(f"unix@{backend.path}")
    return f"[{host}]:{backend.port}" if ":" in host else f"{host}:{backend.port}"
