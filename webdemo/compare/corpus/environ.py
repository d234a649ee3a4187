"""The environ: what PEP 3333 demands, and what servers add that apps come to rely on."""

from __future__ import annotations

from webdemo.client.wire import Response
from webdemo.compare.corpus.case import (
    RIGHT,
    Environ,
    Judge,
    Judgement,
    app_gets,
    app_reads,
    case,
    differs,
    of_page,
    of_response,
    rated,
    request,
    wrong,
)

_PEP = "PEP 3333, environ Variables"
_REQUIRED = (
    "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT",
    "SERVER_PROTOCOL", "wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.errors", "wsgi.multithread",
    "wsgi.multiprocess", "wsgi.run_once",
)  # fmt: skip
_NEVER_EMPTY = ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT")


@of_response
def _required(response: Response) -> Judgement:
    seen = response.json
    if "environ" not in seen:
        return wrong(f"responds with {response.status}")
    environ = seen["environ"]
    if not seen["is_dict"]:
        return wrong("gives the app an environ that is not a dict")
    missing = [key for key in _REQUIRED if key not in environ]
    if missing == ["SCRIPT_NAME"]:
        return differs("leaves SCRIPT_NAME out, which is empty")
    if missing:
        return wrong(f"leaves out {', '.join(missing)}")
    if empty := [key for key in _NEVER_EMPTY if environ[key] == ""]:
        return wrong(f"gives {', '.join(empty)} as an empty string")
    if seen["not_native"]:
        return wrong(f"gives {', '.join(seen['not_native'])} in a type other than str")
    if environ["wsgi.version"] != [1, 0]:
        return wrong(f"gives wsgi.version as {environ['wsgi.version']}")
    return RIGHT


def _has(key: str) -> Judge:
    """Judge whether the app gets an optional key."""
    return of_page("environ")(lambda environ: RIGHT if key in environ else differs(f"gives the app no {key}"))


@of_page("environ")
def _raw_target(environ: Environ) -> Judgement:
    found = [key for key in ("RAW_URI", "REQUEST_URI") if key in environ]
    return differs(f"gives the app {' and '.join(found)}") if found else RIGHT


@of_page("environ")
def _content_keys(environ: Environ) -> Judgement:
    if environ.get("CONTENT_TYPE") != "text/x-probe" or environ.get("CONTENT_LENGTH") != "5":
        return wrong("does not give the app both")
    doubled = [key for key in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH") if key in environ]
    return differs(f"gives the app {' and '.join(doubled)} as well") if doubled else RIGHT


@of_page("environ")
def _no_guess(environ: Environ) -> Judgement:
    if value := environ.get("CONTENT_TYPE"):
        return wrong(f"gives the app CONTENT_TYPE as {value!r}")
    if value := environ.get("CONTENT_LENGTH"):
        return differs(f"gives the app CONTENT_LENGTH as {value!r}")
    return RIGHT


@of_page("environ")
def _server_name(environ: Environ) -> Judgement:
    name = environ.get("SERVER_NAME")
    if not name:
        return wrong("gives the app no SERVER_NAME")
    return rated(name, ("127.0.0.1", "localhost"), (), "differs", f"gives the app SERVER_NAME as {name!r}")


@of_page("environ")
def _nothing_of_the_process(environ: Environ) -> Judgement:
    shown = [key for key in ("PATH", "HOME") if key in environ]
    if shown:
        return differs(f"exposes the process's environment to the app: {', '.join(shown)}")
    return RIGHT


@of_page("parts")
def _lines(parts: list[str]) -> Judgement:
    if "".join(parts) != "one\ntwo\nthree\nfour" or parts[:2] != ["one\n", "tw"]:
        return wrong(f"lets the app read {parts}")
    return RIGHT


CASES = (
    case(
        "environ-required",
        "the required variables",
        "PEP 3333, environ Variables (must)",
        "All are present, as native strings, in a dict; only empty ones may be left out.",
        "Frameworks fail with KeyError.",
        _required,
        request("/x?a=1"),
    ),
    case(
        "environ-protocol",
        "SERVER_PROTOCOL",
        _PEP,
        "It is the version of the request.",
        "Apps that stream, or choose 303 over 302 by it, behave differently.",
        app_gets("SERVER_PROTOCOL", "HTTP/1.1", otherwise="differs"),
    ),
    case(
        "environ-server-name",
        "SERVER_NAME",
        _PEP,
        "It is never empty, and is the host if there is no Host.",
        "If Host is missing, apps build broken URLs.",
        _server_name,
    ),
    case(
        "environ-remote-port",
        "REMOTE_PORT",
        _PEP,
        "PEP 3333 does not define it; most servers set it.",
        "Logs and audits that need REMOTE_PORT have gaps.",
        _has("REMOTE_PORT"),
    ),
    case(
        "environ-raw-target",
        "the target as it was sent",
        _PEP,
        "PEP 3333 defines no variable for it.",
        "Apps that need the undecoded path (signatures, names with slashes) find it under two names, or not.",
        _raw_target,
    ),
    case(
        "environ-file-wrapper",
        "wsgi.file_wrapper",
        "PEP 3333, Optional Platform-Specific File Handling (may)",
        "It is optional.",
        "Without it the app copies files piece by piece.",
        _has("wsgi.file_wrapper"),
    ),
    case(
        "environ-process",
        "the process's own environment variables",
        "PEP 3333, environ Variables (may)",
        "A server may add them; they can contain the secrets of the deployment.",
        "Debug pages that show the environ leak secrets.",
        _nothing_of_the_process,
    ),
    case(
        "environ-no-content",
        "CONTENT_TYPE and CONTENT_LENGTH of a request without a body",
        _PEP,
        "They hold what was sent: empty or absent here. A default type is invented.",
        "An app takes a request without a body for a form.",
        _no_guess,
    ),
    case(
        "environ-content",
        "CONTENT_TYPE and CONTENT_LENGTH of a request with a body",
        _PEP,
        "They are present, without an HTTP_ prefix.",
        "Apps that look at all HTTP_ variables see them twice, or miss them.",
        _content_keys,
        request("/x", "Content-Type: text/x-probe", "Content-Length: 5", method="POST", body=b"hello"),
    ),
    case(
        "input-methods",
        "readline, read, readlines and iteration of wsgi.input",
        "PEP 3333, Input and Error Streams (must)",
        "All exist, and each continues where the last one ended.",
        "Parsers of forms and uploads fail.",
        _lines,
        request("/probe/read-lines", "Content-Length: 18", method="POST", body=b"one\ntwo\nthree\nfour"),
    ),
    case(
        "input-past-end",
        "a read beyond CONTENT_LENGTH",
        "PEP 3333, Input and Error Streams (should)",
        "The read ends with the body, as at the end of a file.",
        "WebDAV servers and upload parsers that read to the end hang.",
        app_reads("hello", otherwise="differs"),
        request("/probe/read-past-end", "Content-Length: 5", method="POST", body=b"hello", close=False),
    ),
    case(
        "input-without-length",
        "a read of the body of a request without one",
        "PEP 3333, Input and Error Streams (should)",
        "It is empty, and the read returns.",
        "An app that reads the body of every request hangs.",
        app_reads("", otherwise="differs"),
        request("/probe/read", method="POST", close=False),
    ),
)
