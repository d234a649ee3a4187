"""The files that other systems need to run a site: systemd, HAProxy, nginx, containers, Kubernetes. Pure.

The rule: each format is a function from a `Site` to files; nothing is decided twice, so that the files of
several formats are right together. One stop time feeds every time-out, and the drain delay is longer than a
balancer needs to notice that a host is not ready.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from webdemo.deploy import container, haproxy, kubernetes, nginx, systemd
from webdemo.deploy.site import Site

FORMATS: Mapping[str, Callable[[Site], dict[str, str]]] = {
    "systemd": systemd.files,
    "haproxy": haproxy.files,
    "nginx": nginx.files,
    "container": container.files,
    "kubernetes": kubernetes.files,
}
"""The files of each format: their texts by name."""
