"""Requests over loopback, by wrk: apps on servers, webdemo's run layer, static files compared with nginx.

The server is pinned to one processor and wrk to another, so that the server is what is measured. The main
figure is the server's CPU time per request; requests per second say the same less precisely.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bench import commands, content, load
from bench.contestants import BARE, OWN, installed
from bench.effort import Effort
from bench.instructions import let_rest
from bench.processes import Running, ask, free_ports, split_cpus
from bench.rounds import Sample, interleave
from bench.tables import Part, Table, column_or_dash, megabytes, ratio

SERVERS = ("waitress", "gunicorn", "werkzeug")
PEERS = (BARE, OWN, "falcon", "bottle", "flask")
_SMALL_BYTES = 4096
_FILE_BYTES = (10_000_000, 100_000_000)


def measure(effort: Effort) -> Part:
    """Measure apps on servers, the run layer's share, and static files."""
    part = Part("wire")
    if not load.is_there():
        part.notes.append("Nothing is measured over the wire: there is no wrk here. Debian: apt install wrk")
        return part
    if split_cpus() is None:
        part.notes.append("Nothing is measured over the wire: server and load need a processor each.")
        return part
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _apps(part, effort, folder)
        _run_layer(part, effort, folder)
        _small_file(part, effort, folder)
        _large_files(part, effort, folder)
    return part


# -- apps and servers -----------------------------------------------------------------------------


def _apps(part: Part, effort: Effort, folder: Path) -> None:
    contestants, missing = installed(PEERS)
    part.notes += missing
    names = [contestant.name for contestant in contestants]
    found = _cpu_of_requests(
        part,
        effort,
        folder,
        {
            f"{server} {name}": (server, partial(commands.own, server, name))
            for server in SERVERS
            for name in names
        },
        "/",
    )
    rows = []
    for server in SERVERS:
        bare = found[f"{server} {BARE}"]
        ratios = []
        for name in names[1:]:
            sample = found.get(f"{server} {name}")
            ratios.append(None if sample is None else sample.ratio_to(bare).median)
            if ratios[-1] is not None:
                part.figures[f"wire.{server}.{name}"] = ratios[-1]
        rows.append([server, f"{bare.median * 1e6:.0f}", *column_or_dash(ratios)])
    part.tables.append(
        Table(
            "CPU time of a hello over the wire, server included, as a multiple of the bare app's on the same "
            f"server, each by its own command (medians of {effort.wire_rounds} interleaved rounds)",
            ["server", "bare, µs", *names[1:]],
            rows,
        )
    )


def _run_layer(part: Part, effort: Effort, folder: Path) -> None:
    def by_webdemo(server: str, option: str, port: int) -> list[str]:
        return commands.webdemo(BARE, f"{server}://127.0.0.1:{port}", options=(option,))

    ways: dict[str, tuple[str, Callable[[int], list[str]]]] = {}
    for server in SERVERS:
        ways[f"{server} own"] = (server, partial(commands.own, server, BARE))
        ways[f"{server} off"] = (server, partial(by_webdemo, server, "--no-access-log"))
        ways[f"{server} on"] = (server, partial(by_webdemo, server, "--access-log"))
    found = _cpu_of_requests(part, effort, folder, ways, "/")
    rows = []
    for server in SERVERS:
        own = found[f"{server} own"]
        off, on = (found[f"{server} {how}"].ratio_to(own).median for how in ("off", "on"))
        part.figures |= {f"wire.layer.{server}.off": off, f"wire.layer.{server}.on": on}
        rows.append([server, f"{own.median * 1e6:.0f}", ratio(off), ratio(on)])
    part.tables.append(
        Table(
            "The run layer: CPU time of the bare app's hello as webdemo runs it, all of webdemo's processes "
            "included, as a multiple of the server's own command",
            ["server", "own, µs", "access log off", "access log on"],
            rows,
        )
    )


def _cpu_of_requests(
    part: Part,
    effort: Effort,
    folder: Path,
    ways: Mapping[str, tuple[str, Callable[[int], list[str]]]],
    path: str,
) -> dict[str, Sample]:
    """CPU seconds per request, for each way to serve it: a name, and its command for a port."""
    cpus = split_cpus()
    assert cpus is not None
    measures: dict[str, Callable[[], float]] = {}
    right = None
    with contextlib.ExitStack() as stack:
        for name, (server, command) in ways.items():
            [port] = free_ports(1)
            try:
                running = stack.enter_context(
                    Running([command(port)], [port], folder / f"{name}.log", cpus[0])
                )
            except RuntimeError as exc:
                part.notes.append(f"{name} is left out: {exc}")
                continue
            found = ask(port, path)
            right = right or found
            difference = found.differs_from(right)
            if difference:
                part.notes.append(f"{name} is left out: {difference}.")
                continue
            measures[name] = partial(_cpu_of_one, running, port, path, effort, server == "werkzeug")
        return interleave(effort.wire_rounds, measures)


def _cpu_of_one(running: Running, port: int, path: str, effort: Effort, reconnect: bool) -> float:
    cpus = split_cpus()
    assert cpus is not None
    before = running.cpu_seconds()
    found = load.run(port, path, seconds=effort.wire_seconds, cpus=cpus[1], reconnect=reconnect)
    return (running.cpu_seconds() - before) / found.requests


# -- static files ---------------------------------------------------------------------------------


def _served_folder(folder: Path, sizes: tuple[int, ...]) -> Path:
    served = folder / f"files{len(list(folder.iterdir()))}"
    served.mkdir()
    for size in sizes:
        content.write_file(served / f"{size}.png", size)
    let_rest(served)
    return served


def _small_file(part: Part, effort: Effort, folder: Path) -> None:
    served = _served_folder(folder, (_SMALL_BYTES,))
    names = [c.name for c in installed((OWN, "whitenoise"))[0]]
    ways = {
        f"{server} {name}": (server, partial(commands.own, server, name, folder=served))
        for server in SERVERS
        for name in names
    }
    found = _cpu_of_requests(part, effort, folder, ways, f"/static/{_SMALL_BYTES}.png")
    rows = []
    for server in SERVERS:
        mine, theirs = found.get(f"{server} {OWN}"), found.get(f"{server} whitenoise")
        if mine is None or theirs is None:
            continue
        part.figures[f"wire.small.{server}"] = against = mine.ratio_to(theirs).median
        rows.append([server, f"{theirs.median * 1e6:.0f}", f"{mine.median * 1e6:.0f}", ratio(against)])
    part.tables.append(
        Table(
            "CPU time of a static file of 4 KB over the wire, server included; WhiteNoise in its "
            "production configuration, indexed on startup",
            ["server", "WhiteNoise, µs", "webdemo, µs", "webdemo : WhiteNoise"],
            rows,
        )
    )


def _large_files(part: Part, effort: Effort, folder: Path) -> None:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        part.notes.append("Large files are not compared: there is no nginx here. Debian: apt install nginx")
        return
    cpus = split_cpus()
    assert cpus is not None
    served = _served_folder(folder, _FILE_BYTES)
    ways: dict[str, Callable[[int], list[str]]] = {"nginx": partial(_nginx, nginx, served, folder)}
    for server in SERVERS:
        ways[server] = partial(commands.webdemo_folder, served, server)
    rows = []
    for size in _FILE_BYTES:
        measures: dict[str, Callable[[], float]] = {}
        running = {}
        with contextlib.ExitStack() as stack:
            for name, command in ways.items():
                [port] = free_ports(1)
                running[name] = stack.enter_context(
                    Running([command(port)], [port], folder / f"{name}.log", cpus[0])
                )
                measures[name] = partial(_bytes_per_second, port, f"/{size}.png", effort, name == "werkzeug")
            found = interleave(effort.wire_rounds, measures)
            peaks = {name: one.peak_bytes() for name, one in running.items()}
        cells = []
        for name, sample in found.items():
            part.figures[f"wire.memory.{name}.{size}"] = peaks[name]
            if name != "nginx":
                against = sample.ratio_to(found["nginx"]).median
                part.figures[f"wire.large.{name}.{size}"] = against
                cells += [ratio(against), megabytes(peaks[name])]
        rows.append([megabytes(size), f"{found['nginx'].median / 1e9:.2f} GB/s", *cells])
    header = [cell for server in SERVERS for cell in (server, f"{server}'s peak memory")]
    part.tables.append(
        Table(
            "Large files: throughput as webdemo serves a folder, as a fraction of nginx's with sendfile, and "
            "the largest memory of any of its processes",
            ["file", "nginx", *header],
            rows,
        )
    )


def _bytes_per_second(port: int, path: str, effort: Effort, reconnect: bool) -> float:
    cpus = split_cpus()
    assert cpus is not None
    seconds = max(1.0, effort.wire_seconds)
    found = load.run(port, path, seconds=seconds, connections=4, cpus=cpus[1], reconnect=reconnect)
    return found.bytes_per_second


def _nginx(nginx: str, served: Path, folder: Path, port: int) -> list[str]:
    configuration = folder / f"nginx-{port}.conf"
    own = folder / f"nginx-{port}"
    own.mkdir()
    served.chmod(0o755)
    configuration.write_text(
        f"daemon off; master_process off; pid {own}/pid; error_log {own}/log;\n"
        "events {}\n"
        "http {\n"
        "  access_log off; sendfile on; tcp_nopush on; types { image/png png; }\n"
        f"  client_body_temp_path {own}; proxy_temp_path {own}; fastcgi_temp_path {own};\n"
        f"  uwsgi_temp_path {own}; scgi_temp_path {own};\n"
        f"  server {{ listen 127.0.0.1:{port}; root {served}; }}\n"
        "}\n"
    )
    return [nginx, "-c", str(configuration), "-e", f"{own}/log"]
