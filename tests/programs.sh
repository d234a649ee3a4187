#!/bin/sh
# Installs the programs that the tests drive and that are missing: a browser, clients, proxies.
set -eu

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need chromium chromium
need curl curl
need wget wget
need nginx nginx-light
need haproxy haproxy
need ffmpeg ffmpeg
need ip iproute2
need systemd-analyze systemd
need docker-compose docker-compose
need systemd-nspawn systemd-container
need socat socat

[ -z "$missing" ] && exit 0

if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null 2>&1; then sudo=sudo; else sudo=missing; fi
    if [ "$sudo" != missing ]; then
        echo "Installing for the tests:$missing"
        $sudo apt-get update -qq
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
        exit 0
    fi
fi
echo "The tests that drive these programs are skipped, because they are not installed:$missing" >&2
