"""A Dockerfile and a compose file that run read-only, as a user without privileges."""

from __future__ import annotations

import json

from webdemo.deploy import quoting
from webdemo.deploy.site import Site

# The certificate is for the site's name, which is not checked here.
CHECK = """\
import ssl, urllib.request as u; c = ssl.create_default_context(); c.check_hostname = False; \
c.verify_mode = ssl.CERT_NONE; u.urlopen('{url}/livez', timeout=2, context=c)"""


def files(site: Site) -> dict[str, str]:
    return {"Dockerfile": _dockerfile(site), ".dockerignore": _IGNORED, "compose.yaml": _compose(site)}


_IGNORED = """\
.git
.venv
**/__pycache__
**/*.pyc
.env
deploy
"""


def _dockerfile(site: Site) -> str:
    copied = f"COPY {' '.join(site.package_files)} ./\n" if site.package_files else ""
    check = json.dumps(["python", "-c", CHECK.format(url=site.health_url)])
    command = json.dumps(["python", "-m", "webdemo", *map(quoting.printable, site.arguments)])
    return f"""\
FROM python:3.13-slim AS build
WORKDIR /srv/app
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
{copied}RUN python -m venv /venv && /venv/bin/pip install {site.packages}
COPY . .
RUN /venv/bin/python -m compileall -q .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /srv/app app
COPY --from=build /venv /venv
COPY --from=build /srv/app /srv/app
WORKDIR /srv/app
# Which release /readyz and the metrics name: docker build --build-arg RELEASE=...
ARG RELEASE={quoting.dockerfile(site.release)}
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PORT={site.first_port} XDG_RUNTIME_DIR=/tmp
ENV WEBDEMO_RELEASE=$RELEASE
USER 10001
EXPOSE {site.first_port}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD {check}
CMD {command}
"""


def _compose(site: Site) -> str:
    return f"""\
# For one machine; for several: webdemo export kubernetes, or systemd and haproxy.
# {site.trust}
services:
  web:
    build: ..
    image: {quoting.compose(site.name)}
    init: false # webdemo reaps what is left to it
    read_only: true
    tmpfs: [/tmp]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    ports: ["127.0.0.1:{site.first_port}:{site.first_port}"]
    # {site.why_stop_seconds}
    stop_grace_period: {site.stop_seconds}s
    restart: unless-stopped
"""
