"""Processes that an app starts, and its signal handlers, are the app's own, on every server."""

from __future__ import annotations

import pytest

from tests import running as runs
from tests.raw_http import get
from tests.servers.kinds import bind

FORKING = """
import json, multiprocessing, os, signal, stat, subprocess, sys, time

fork = multiprocessing.get_context("fork")
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGQUIT, signal.SIGUSR1]
signal.signal(signal.SIGUSR1, signal.SIG_IGN)

def report(queue):
    usual = (signal.SIG_DFL, signal.default_int_handler)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    queue.put([[signal.getsignal(number) in usual for number in SIGNALS], sorted(blocked)])

def listening():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass
    inodes = {line.split()[9] for line in open("/proc/net/tcp").readlines()[1:] if line.split()[3] == "0A"}
    return [target for target in found if target.strip("socket:[]") in inodes]

class Leave(Exception):
    pass

def leave(way):
    child = os.fork()
    if child == 0:
        raise Leave(way)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def answer(path):
    if path == "/terminate":
        child = fork.Process(target=time.sleep, args=(600,))
        child.start()
        child.terminate()
        child.join(30)
        return child.exitcode
    if path == "/pool":
        with fork.Pool(2) as pool:
            return pool.map(abs, [-1, -2, -3])
    if path == "/signals":
        queue = fork.SimpleQueue()
        child = fork.Process(target=report, args=(queue,))
        child.start()
        found = queue.get()
        child.join()
        return found
    if path == "/listening":
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, json.dumps(listening()).encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        return json.loads(os.read(read, 100000))
    if path == "/exit":
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(600)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if path == "/leaving":
        ways = [lambda: sys.exit(7), lambda: sys.exit("why"), lambda: 1 / 0, lambda: "a result"]
        return [leave(way) for way in ways]
    if path == "/program":
        code = "import signal; print([n for n in (1, 2, 15) if signal.getsignal(n) == signal.SIG_IGN])"
        return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout)
    return os.getpid()

def app(environ, start_response):
    try:
        body = json.dumps(answer(environ["PATH_INFO"])).encode()
    except Leave as leaving:
        body = leaving.args[0]().encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
"""


@pytest.mark.parametrize("sharing", ["--share", "--no-share"])
def test_processes_that_the_app_forks_inherit_nothing_of_ours(
    kind: str, sharing: str, running: runs.Start
) -> None:
    webdemo = running("-b", bind(kind), sharing, app=FORKING)
    server = get(webdemo.url).json

    def asked(path: str) -> object:
        return get(webdemo.url, path).json

    assert asked("/terminate") == -15
    if kind != "gevent":  # whose patches Pool does not survive, under its own command either
        assert asked("/pool") == [1, 2, 3]
    assert asked("/signals") == [[True] * 5 + [False], []]  # it ignores the last itself
    assert asked("/listening") == []
    assert asked("/exit") == -15
    assert asked("/leaving") == [7, 1, 1, 0]
    assert asked("/program") == []
    assert asked("/") == server  # the same process, with its listening sockets
    assert webdemo.terminate() == 0


HANDLING = {
    "at import": "signal.signal(signal.SIGTERM, ignore)",
    "at import, ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    "in a factory": "",
}


@pytest.mark.parametrize("sharing", ["--share", "--no-share"])
@pytest.mark.parametrize("when", HANDLING)
def test_an_apps_own_sigterm_handler_does_not_stop_the_drain(
    kind: str, when: str, sharing: str, running: runs.Start
) -> None:
    source = f"""
import signal, sys
def ignore(number, frame):
    print("handled by the app", flush=True)
{HANDLING[when]}
def make():
    signal.signal(signal.SIGTERM, ignore)
    signal.signal(signal.SIGINT, ignore)
    return app
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""
    webdemo = running(
        *(
            "-b",
            bind(kind),
            sharing,
            "--grace",
            "60",
            "--app",
            "served:make()" if when == "in a factory" else "served:app",
        ),
        app=source,
    )
    assert get(webdemo.url).body == b"ok"
    assert webdemo.terminate(50) == 0
    assert "handled by the app" not in webdemo.log()


def test_gevents_own_signal_handler_does_not_stop_the_drain(running: runs.Start) -> None:
    app = """
import gevent, signal
gevent.signal_handler(signal.SIGTERM, print, "handled by the app")
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"ok"]
"""
    webdemo = running("-b", "gevent://127.0.0.1:0", "--grace", "60", app=app)
    assert get(webdemo.url).body == b"ok"
    assert webdemo.terminate(50) == 0
