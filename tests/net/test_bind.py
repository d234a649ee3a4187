"""Bind texts: each form, each refusal word for word, and that nothing else is possible for any text."""

from __future__ import annotations

import ipaddress
import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webdemo.errors import BindTextError, UsageError
from webdemo.net.bind import LONGEST_SOCKET_PATH, Bind, parse_ports
from webdemo.text import terminal_line

FORMS = {
    "8000": Bind(port=8000),
    ":8000": Bind(port=8000),
    ":0": Bind(port=0),
    ":65535": Bind(port=65535),
    "localhost:8000": Bind(host="localhost", port=8000),
    "127.0.0.1:8000": Bind(host="127.0.0.1", port=8000),
    "*:8004": Bind(host="*", port=8004),
    "[::1]:8003": Bind(host="::1", port=8003),
    "waitress://:8001?threads=8": Bind(server="waitress", port=8001, options=(("threads", "8"),)),
    "gunicorn://0.0.0.0:8002?workers=4&threads=2": Bind(
        server="gunicorn", host="0.0.0.0", port=8002, options=(("workers", "4"), ("threads", "2"))
    ),
    "gunicorn+unix:///run/site.sock": Bind(server="gunicorn", path="/run/site.sock"),
    "unix:///run/site.sock?mode=660": Bind(path="/run/site.sock", options=(("mode", "660"),)),
    "unix:///run/my%20site.sock": Bind(path="/run/my site.sock"),
    "werkzeug+https://:8443?certificate=/a+b/c.pem": Bind(
        server="werkzeug", port=8443, tls=True, options=(("certificate", "/a+b/c.pem"),)
    ),
    "https://:8443": Bind(port=8443, tls=True),
    "http://127.0.0.1:8000/": Bind(host="127.0.0.1", port=8000),
    "paste.egg-2://:1": Bind(server="paste.egg-2", port=1),
    "fd://3": Bind(fd=3),
    "waitress+fd://3": Bind(server="waitress", fd=3),
    "waitress://8001": Bind(server="waitress", port=8001),
}

REFUSALS = {
    "": ("The port is missing in “”.", "Write :8000."),
    "localhost": ("The port is missing in “localhost”.", "Write localhost:8000."),
    "localhost:": ("The port is missing in “localhost:”.", "Write localhost:8000."),
    "waitress://localhost": (
        "The port is missing in “waitress://localhost”.",
        "Write waitress://localhost:8000.",
    ),
    "[::1]": ("The port is missing in “[::1]”.", "Write [::1]:8000."),
    "::1:80": (
        "“::1:80” has an IPv6 address without brackets. It could also mean the host ::1:80.",
        "Write [::1]:80.",
    ),
    "::1": ("“::1” is an IPv6 address without brackets and port.", "Write [::1]:8000."),
    "fe80::1%eth0:80": (
        "A zone such as “fe80::1%eth0” cannot be part of a URL.",
        "Use an address without %.",
    ),
    "[fe80::1%eth0]:80": (
        "A zone such as “fe80::1%eth0” cannot be part of a URL.",
        "Use an address without %.",
    ),
    "fe80::1%eth0": ("A zone such as “fe80::1%eth0” cannot be part of a URL.", "Use an address without %."),
    "waitress://:8001,werkzeug://:8002": (
        "A bind is one address: “waitress://:8001,werkzeug://:8002”.",
        "Give each its own -b; in WEBDEMO_BIND, separate them by spaces.",
    ),
    "a:b:80": ("“a:b:80” has more than one colon.", "Write HOST:PORT, an IPv6 address in brackets."),
    "[::1]80": ("The brackets of “[::1]80” do not close before the port.", "Write [::1]:8000."),
    "[127.0.0.1]:80": ("Brackets are for IPv6 addresses, not for “127.0.0.1”.", "Write 127.0.0.1:8000."),
    "[x]:80": ("“x” is not an IPv6 address.", "Write [::1]:8000."),
    "[x:y]:80": ("“x:y” is not an IPv6 address.", "Write [::1]:8000."),
    "[::ffff:127.0.0.1]:80": ("::ffff:127.0.0.1 is an IPv4-mapped IPv6 address.", "Write 127.0.0.1:8000."),
    "256.1.1.1:80": (
        "“256.1.1.1” is not an IPv4 address.",
        "Write four numbers from 0 to 255: 127.0.0.1:8000.",
    ),
    "127.1:80": ("“127.1” is not an IPv4 address.", "Write four numbers from 0 to 255: 127.0.0.1:8000."),
    "a..b:80": ("“a..b” is not the name of a host.", "Write localhost:8000."),
    "é:80": (
        "The host “é” is not ASCII.",
        "Write its form in ASCII (an international name as xn--...).",
    ),
    ":70000": (
        "Port 70000 does not exist: the highest is 65535.",
        "Choose one from 0 to 65535, such as 8000.",
    ),
    ":65536": (
        "Port 65536 does not exist: the highest is 65535.",
        "Choose one from 0 to 65535, such as 8000.",
    ),
    ":-1": ("A port is not negative: -1.", "Choose one from 0 to 65535, such as 8000."),
    ":x": ("“x” is not a port number.", "Write digits: 8000."),
    "localhost:x": ("“x” is not a port number.", "Write digits 0 to 9: localhost:8000."),
    ":+80": ("“+80” is not a port number.", "Write digits: 8000."),
    ":８０": ("“８０” is not a port number.", "Write digits: 8000."),
    ": 80": (
        "A bind holds no spaces or control characters: “: 80”.",
        "Write :8000 (a space in a path is written %20).",
    ),
    ":80\n": (
        "A bind holds no spaces or control characters: “:80\\n”.",
        "Write :8000 (a space in a path is written %20).",
    ),
    "user@host:80": ("A bind has no user: “user@host:80”.", "Write host:80."),
    "http://host:80/page": (
        "A bind has no path after its port: “http://host:80/page”.",
        "Write http://host:80.",
    ),
    "waitress+tls://:1": (
        "“+tls” is not known.",
        "Write one of waitress+https://, waitress+unix:// and waitress+fd://.",
    ),
    "http+unix:///x": (
        "“http” is not the name of a server.",
        "Write waitress+unix:///run/site.sock or unix:///run/site.sock.",
    ),
    "://:80": ("“” is not the name of a server.", "Write waitress://:8000."),
    ":80?x": ("“x” is not an option.", "Write x=VALUE."),
    ":80?=1": ("“=1” is not an option.", "Write threads=VALUE."),
    ":80?é=1": ("“é” is not the name of an option.", "Write threads=8."),
    ":80?a=": ("The option a has no value.", "Write a=VALUE, or leave it out."),
    ":80?a=%20": ("The option a has no value.", "Write a=VALUE, or leave it out."),
    ":80?a=1&a=2": ("The option a is given twice.", "Write a once."),
    ":80?a=%00": ("The value of a holds control characters.", "Write a=VALUE in plain text."),
    "unix://": ("The path of the Unix socket is missing.", "Write unix:///run/site.sock."),
    "unix://a.sock": (
        "The path “a.sock” of the Unix socket is not absolute.",
        "Write unix:///run/site.sock.",
    ),
    "[::1]:x": ("“x” is not a port number.", "Write digits 0 to 9: [::1]:8000."),
    "unix:/run/a.sock": ("“unix:/run/a.sock” lacks two slashes.", "Write unix:///run/a.sock."),
    "unix:///a%00": ("The path “/a\\x00” holds control characters.", "Write unix:///run/site.sock."),
    "unix:///run/": ("The path “/run/” names a folder, not a socket.", "Write unix:///run/site.sock."),
    "unix:///" + "x" * 107: (
        "The path of the Unix socket is 108 bytes long; the limit is 107.",
        "Choose a shorter one, such as unix:///run/site.sock.",
    ),
    "unix:///x?mode=9": (
        "A mode is three octal digits, not “9”.",
        "Write unix:///run/site.sock?mode=660.",
    ),
    "fd://x": ("“fd://x” names no descriptor.", "Write its number: fd://3."),
    "fd://-1": ("“fd://-1” names no descriptor.", "Write its number: fd://3."),
}


@pytest.mark.parametrize(("text", "bind"), FORMS.items(), ids=FORMS)
def test_each_form_means_what_the_design_says(text: str, bind: Bind) -> None:
    assert Bind.parse(text) == bind
    assert Bind.parse(str(bind)) == bind


@pytest.mark.parametrize(("text", "message"), REFUSALS.items(), ids=map(ascii, REFUSALS))
def test_each_refusal_shows_the_right_form(text: str, message: tuple[str, str]) -> None:
    with pytest.raises(BindTextError) as caught:
        Bind.parse(text)
    assert (caught.value.problem, caught.value.remedy) == message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"port": 1, "path": "/x"},
        {"path": "/x", "tls": True},
        {"fd": 3, "host": "localhost"},
        {"fd": -1},
        {"port": -1},
        {"port": 65536},
        {"port": 1, "server": "unix"},
        {"port": 1, "server": "a b"},
    ],
)
def test_bind_made_by_hand_is_checked_like_a_parsed_one(options: dict[str, object]) -> None:
    with pytest.raises(BindTextError):
        Bind(**options)  # type: ignore[arg-type]  # wrong on purpose


def test_mode_is_the_listeners_own_option_on_a_unix_socket_only() -> None:
    bind = Bind.parse("gunicorn+unix:///x?workers=2&mode=660")
    assert (bind.mode, bind.server_options) == (0o660, (("workers", "2"),))
    assert Bind.parse("unix:///x").mode == 0o600
    assert Bind.parse(":1?mode=9").server_options == (("mode", "9"),)


_texts = st.text(max_size=20)
_hosts = st.one_of(
    st.none(),
    st.just("*"),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6)
    .filter(lambda a: isinstance(a, ipaddress.IPv6Address) and not a.ipv4_mapped)
    .map(str),
    st.from_regex(r"[a-z_]([a-z0-9-]{0,10}[a-z])?(\.[a-z]{1,10}){0,2}", fullmatch=True),
)
_servers = st.none() | st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,10}", fullmatch=True).filter(
    lambda name: name not in ("http", "https", "unix", "fd")
)
_values = st.text(
    st.characters(codec="utf-8", min_codepoint=32).filter(lambda c: c != "\x7f"), max_size=10
).filter(str.strip)
_options = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True).filter(lambda name: name != "mode"),
    _values,
    max_size=3,
).map(lambda options: tuple(options.items()))
# File names may contain any bytes; those that are not UTF-8 become lone surrogates.
_names = st.binary(min_size=1, max_size=40).filter(
    lambda name: min(name) > 31 and 127 not in name and not name.endswith(b"/")
)
_paths = _names.map(lambda name: "/" + name.decode("utf-8", "surrogateescape"))
_binds = st.one_of(
    st.builds(
        Bind, server=_servers, host=_hosts, port=st.integers(0, 65535), tls=st.booleans(), options=_options
    ),
    st.builds(Bind, server=_servers, path=_paths, options=_options),
    st.builds(Bind, server=_servers, fd=st.integers(0, 99999), options=_options),
)


@given(_binds)
def test_every_bind_round_trips_through_its_text(bind: Bind) -> None:
    assert Bind.parse(str(bind)) == bind


@given(
    st.one_of(
        _texts,
        st.text(string.ascii_letters + string.digits + ":/[]@?&=%+*.-", max_size=40),
        st.tuples(st.sampled_from(list(FORMS)), _texts).map("".join),
        st.tuples(_texts, st.sampled_from(list(FORMS))).map("".join),
    )
)
@example(":" + "0" * 5000)
@example(":" + "9" * 5000)
@example("[" * 50)
@example("unix:///%ff%fe")
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        bind = Bind.parse(text)
    except UsageError as refusal:
        shown = refusal.problem + refusal.remedy
    else:
        shown = str(bind)
        assert Bind.parse(shown) == bind
    assert terminal_line(shown) == shown, "one line, and nothing that controls a terminal"


def test_longest_socket_path_is_taken() -> None:
    path = "/" + "x" * (LONGEST_SOCKET_PATH - 1)
    assert Bind.parse(f"unix://{path}").path == path


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("8000", [8000]),
        ("8000-8003", [8000, 8001, 8002, 8003]),
        ("8005,8000", [8005, 8000]),
        ("8000-8001, 9000", [8000, 8001, 9000]),
        ("0", [0]),
        ("0,0", [0, 0]),
        ("1-1000", list(range(1, 1001))),
    ],
)
def test_ports_are_numbers_ranges_and_lists(text: str, ports: list[int]) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("", "“” is not a port number.", "Write digits: 8000."),
        ("8000,", "“” is not a port number.", "Write digits: 8000."),
        ("-1", "A port is not negative: “-1”.", "Write 8000 or 8000-8003."),
        ("8003-8000", "The range 8003-8000 runs backwards.", "Write 8000-8003."),
        (
            "0-3",
            "A range starts at port 1 or above: 0 asks for any free port.",
            "Write 0,0 for two free ports.",
        ),
        ("8000,8000", "Port 8000 is listed twice in “8000,8000”.", "Write each port once."),
        ("1-1001", "“1-1001” asks for more than 1000 ports.", "Write a shorter range."),
        (
            "8000-70000",
            "Port 70000 does not exist: the highest is 65535.",
            "Choose one from 0 to 65535, such as 8000.",
        ),
    ],
)
def test_ports_without_meaning_are_refused(text: str, problem: str, remedy: str) -> None:
    with pytest.raises(BindTextError) as caught:
        parse_ports(text)
    assert (caught.value.problem, caught.value.remedy) == (problem, remedy)


@given(st.text(string.digits + "-,+ ", max_size=20) | _texts)
def test_no_text_of_ports_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        ports = parse_ports(text)
    except UsageError:
        return
    assert 1 <= len(ports) <= 1000
    assert all(0 <= port <= 65535 for port in ports)


def test_binds_of_the_documentation_parse() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ports.md").read_text(encoding="utf-8")
    table = text.partition("| bind | means |")[2].partition("\n\n")[0]
    binds = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(binds) > 15
    for bind in binds:
        assert Bind.parse(str(Bind.parse(bind))) == Bind.parse(bind)
