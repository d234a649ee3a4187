"""nginx in front of one host or several, for /etc/nginx/conf.d/."""

from __future__ import annotations

from webdemo.deploy.quoting import nginx
from webdemo.deploy.site import Backend, Site


def files(site: Site) -> dict[str, str]:
    servers = "".join(
        f"    server {_address(host, backend)} max_fails=1 fail_timeout=2s;\n"
        for host in site.hosts or ("127.0.0.1",)
        for backend in site.backends
    )
    return {
        f"{site.name}.conf": f"""\
# {site.trust}
# nginx makes no health checks: a refused connection tells it that a host is gone, and it tries the next one.
# Leave 5 s between two hosts of a roll, because a host that refused is left out for 2 s.
upstream {site.name} {{
    zone {site.name} 64k;
    least_conn;
{servers}    # No keepalive: a host that stops could close a connection while a POST is being sent on it.
}}

server {{
    listen 8080;
    server_name _;

    # Health and metrics are not for the public.
    location ~ ^/(livez|readyz|metrics)$ {{ return 404; }}

    location / {{
        proxy_pass {site.scheme}://{site.name};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        # What a client writes into these is not passed on.
        proxy_set_header Forwarded "";
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Request-ID $request_id;
        proxy_connect_timeout 2s;
        # A POST that was sent is not sent again; nginx leaves it out of this unless told otherwise.
        proxy_next_upstream error timeout http_503;
        proxy_next_upstream_tries 3;
    }}
}}
"""
    }


def _address(host: str, backend: Backend) -> str:
    if backend.path is not None:
        return nginx(f"unix:{backend.path}")
    return f"[{host}]:{backend.port}" if ":" in host else f"{host}:{backend.port}"
