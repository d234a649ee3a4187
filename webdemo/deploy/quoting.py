"""Values quoted as each format reads them: what goes in is what webdemo gets, whatever it holds."""

from __future__ import annotations

import json
import re

from webdemo.errors import UsageError

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./\[\]-]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def printable(text: str) -> str:
    """The text; raises UsageError if it holds what most formats cannot."""
    if _CONTROL.search(text):
        raise UsageError(
            f"{text!a} cannot be exported: it holds a control character.", remedy="Choose a plain name."
        )
    return text


def systemd_argument(text: str) -> str:
    """For ExecStart= (systemd.service(5)): $ and % begin variables and specifiers."""
    return systemd_assignment(text).replace("$", "$$")


def systemd_assignment(text: str) -> str:
    """For Environment= (systemd.exec(5)), where $ has no meaning."""
    text = systemd_specifiers(text)
    if _PLAIN.match(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def systemd_specifiers(text: str) -> str:
    """For WorkingDirectory= and ListenStream=, which are not unquoted."""
    return printable(text).replace("%", "%%")


def yaml(text: str) -> str:
    """A double-quoted scalar, which is a JSON string, of printable text."""
    return json.dumps(printable(text), ensure_ascii=False)


def compose(text: str) -> str:
    """A scalar for a compose file, which replaces variables."""
    return yaml(text.replace("$", "$$"))


def kubernetes(text: str) -> str:
    """A scalar for `args`, in which $(NAME) is a variable, and $$ an escaped $."""
    return yaml(text.replace("$", "$$"))


def dockerfile(text: str) -> str:
    """A value for ENV."""
    return '"' + re.sub(r'([\\"$])', r"\\\1", printable(text)) + '"'


def haproxy(text: str) -> str:
    """A word; strong quotes keep everything but themselves (section 2.2 of HAProxy's manual)."""
    return "'" + printable(text).replace("'", "'\\''") + "'"


def nginx(text: str) -> str:
    """A parameter where no variables are replaced."""
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
