"""A socket unit and a hardened service."""

from __future__ import annotations

from webdemo.deploy.quoting import systemd_argument, systemd_assignment, systemd_specifiers
from webdemo.deploy.site import Site

_HARDENING = """\
NoNewPrivileges=true
PrivateTmp=true
PrivateDevices=true
ProtectSystem=strict
ProtectHome=read-only
ProtectProc=invisible
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
ProtectClock=true
ProtectHostname=true
# AF_NETLINK lists network interfaces.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
CapabilityBoundingSet=
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""


def files(site: Site) -> dict[str, str]:
    return {f"{site.name}.socket": _socket(site), f"{site.name}.service": _service(site)}


def _socket(site: Site) -> str:
    mode = "" if site.socket_mode is None else f"SocketMode={site.socket_mode:04o}\nSocketUser={site.name}\n"
    listen = "".join(f"ListenStream={systemd_specifiers(place)}\n" for place in site.listen)
    return f"""\
# systemd listens, so that a restart refuses no connection: clients wait in the queue until the app is there.
[Unit]
Description=Sockets of {site.name}

[Socket]
{listen}BindIPv6Only=ipv6-only
Backlog=2048
NoDelay=true
{mode}
[Install]
WantedBy=sockets.target
"""


def _service(site: Site) -> str:
    python = systemd_argument(site.python)
    arguments = " ".join(map(systemd_argument, site.arguments))
    return f"""\
[Unit]
Description={site.name}, served by webdemo
Requires={site.name}.socket
After=network.target {site.name}.socket
# Go on trying: a database that is late must not leave the site down.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
User={site.name}
Group={site.name}
WorkingDirectory={systemd_specifiers(site.folder)}
# A reload enters the folder by this path, also when a symlink in it leads to a new release.
Environment={systemd_assignment(f"PWD={site.folder}")}
ExecStart={python} -m webdemo {arguments}
# Fails, and changes nothing, if the new release cannot be loaded.
ExecReload={python} -m webdemo reload --pid $MAINPID
# For secrets such as WEBDEMO_SECRET_KEY; readable by root alone.
EnvironmentFile=-/etc/{site.name}/env
Environment=PYTHONUNBUFFERED=1
Restart=always
RestartSec=1
TimeoutStartSec={site.start_seconds * 2:g}
# Only the main process gets SIGTERM; it drains its servers.
KillMode=mixed
# {site.why_stop_seconds}
TimeoutStopSec={site.stop_seconds}
WatchdogSec=30
LimitNOFILE=65536

# The control socket: sudo -u {site.name} XDG_RUNTIME_DIR=/run/{site.name} {site.python} -m webdemo ps
RuntimeDirectory={site.name}
RuntimeDirectoryMode=0700
Environment=XDG_RUNTIME_DIR=/run/{site.name}
# The only folder that the app can write to, besides its own /tmp: /var/lib/{site.name}
StateDirectory={site.name}

{_HARDENING}
[Install]
WantedBy=multi-user.target
Also={site.name}.socket
"""
