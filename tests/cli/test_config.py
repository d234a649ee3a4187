"""Settings come from the file, the environment and the flags, in rising priority."""

from __future__ import annotations

import dataclasses
import itertools
import os
import select
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from webdemo.cli import main, refuse_empty, run
from webdemo.cli.about import config
from webdemo.cli.export import make_site
from webdemo.cli.opening import open_sockets
from webdemo.cli.ports import stop_holder
from webdemo.config.binds import admin_bind, binds_or_default, dashboard_bind, wanted_binds, why_host
from webdemo.config.checks import check, check_folders
from webdemo.config.planning import check_watched, make_plan
from webdemo.config.settings import FIELDS, Settings
from webdemo.config.sources import (
    DEFAULT,
    PREFIX,
    PYPROJECT,
    SETTINGS_FILE,
    Resolved,
    resolve_settings,
    setting_rows,
    settings_note,
)
from webdemo.errors import BindTextError, PortInUse, UsageError
from webdemo.net.bind import Bind
from webdemo.net.listener import close, listen
from webdemo.servers import MOST, Adapter, registry
from webdemo.supervisor.plan import CommonOptions, service_for


def resolve(
    folder: Path, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Resolved:
    return resolve_settings(flags or {}, environment or {}, folder)


def message(excinfo: pytest.ExceptionInfo[UsageError]) -> tuple[str, str]:
    return excinfo.value.problem, excinfo.value.remedy


def test_without_anything_every_setting_has_its_default(tmp_path: Path) -> None:
    resolved = resolve(tmp_path)
    assert resolved.settings == Settings()
    assert set(resolved.sources.values()) == {"default"}
    assert wanted_binds(resolved) == []


def test_a_file_is_overridden_by_the_environment_and_that_by_a_flag(tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text('server = "waitress"\ngrace = 3\napp = "site:app"\n')
    environment = {"WEBDEMO_SERVER": "gunicorn", "WEBDEMO_GRACE": "4"}
    resolved = resolve(tmp_path, {"server": "wsgiref"}, environment)
    assert (resolved.settings.server, resolved.sources["server"]) == ("wsgiref", "flag")
    assert (resolved.settings.grace, resolved.sources["grace"]) == (4.0, "WEBDEMO_GRACE")
    assert (resolved.settings.app, resolved.sources["app"]) == ("site:app", "webdemo.toml")


def test_pyproject_is_read_where_there_is_no_file_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.webdemo]\nbind = [":1", "waitress://:2"]\n')
    resolved = resolve(tmp_path)
    assert resolved.settings.bind == (":1", "waitress://:2")
    assert resolved.sources["bind"] == "pyproject.toml"


def test_a_pyproject_of_something_else_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "site"\n')
    assert resolve(tmp_path).settings == Settings()


def test_a_list_may_be_given_as_its_only_item_and_a_port_as_a_number(tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text("port = 8001\n")
    assert wanted_binds(resolve(tmp_path)) == [Bind(port=8001)]


def test_keys_may_be_written_with_hyphens(tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text("access-log = false\n")
    assert resolve(tmp_path).settings.access_log is False


def test_where_to_listen_is_answered_whole_by_the_one_who_speaks_last(tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text('bind = ["waitress://:8001"]\n')
    assert wanted_binds(resolve(tmp_path, {"port": ("8005",)})) == [Bind(port=8005)]
    assert wanted_binds(resolve(tmp_path, environment={"WEBDEMO_PORT": "8006"})) == [Bind(port=8006)]


def test_ports_may_be_ranges_and_lists(tmp_path: Path) -> None:
    resolved = resolve(tmp_path, {"port": ("8000-8001", "8005")})
    assert [bind.port for bind in wanted_binds(resolved)] == [8000, 8001, 8005]


def test_a_port_in_the_environment_opens_every_address_and_says_so(tmp_path: Path) -> None:
    resolved = resolve(tmp_path, environment={"PORT": "5000"})
    assert wanted_binds(resolved) == [Bind(host="*", port=5000)]
    assert why_host(resolved) == (
        "Listening on every address, because PORT is in the environment; --host 127.0.0.1 changes that."
    )


def test_a_port_in_the_environment_opens_binds_that_name_no_host(tmp_path: Path) -> None:
    resolved = resolve(tmp_path, {"bind": ("gunicorn://:5000", "gunicorn://[::1]:5001")}, {"PORT": "5000"})
    assert [bind.host for bind in wanted_binds(resolved)] == ["*", "::1"]


def test_a_host_given_wins_over_the_port_in_the_environment(tmp_path: Path) -> None:
    resolved = resolve(tmp_path, {"host": "127.0.0.1"}, {"PORT": "5000"})
    assert wanted_binds(resolved) == [Bind(host="127.0.0.1", port=5000)]
    assert why_host(resolved) is None


def test_platforms_name_workers_and_proxies_in_their_way(tmp_path: Path) -> None:
    environment = {"WEB_CONCURRENCY": "3", "FORWARDED_ALLOW_IPS": "10.0.0.0/8, 127.0.0.1"}
    settings = resolve(tmp_path, environment=environment).settings
    assert settings.workers == 3
    assert settings.trusted_proxies == ("10.0.0.0/8", "127.0.0.1")


def test_our_own_name_wins_over_the_platforms(tmp_path: Path) -> None:
    environment = {"WEB_CONCURRENCY": "3", "WEBDEMO_WORKERS": "2"}
    assert resolve(tmp_path, environment=environment).settings.workers == 2


def test_workers_in_the_environment_reach_every_service(tmp_path: Path) -> None:
    resolved = resolve(
        tmp_path, {"bind": ("waitress://:1", "gunicorn://:2?workers=5")}, {"WEB_CONCURRENCY": "3"}
    )
    plan = make_plan(resolved, wanted_binds(resolved))
    assert [service.workers for service in plan.services] == [3, 5]


def test_binds_with_the_same_server_and_options_share_a_service(tmp_path: Path) -> None:
    resolved = resolve(
        tmp_path, {"bind": ("waitress://:1", "waitress://:2", "waitress://:3?threads=8", ":4")}
    )
    plan = make_plan(resolved, wanted_binds(resolved))
    assert [(s.server, len(s.binds)) for s in plan.services] == [
        ("waitress", 2),
        ("waitress", 1),
        ("werkzeug", 1),
    ]


def test_a_port_in_a_file_is_a_number_or_a_string(tmp_path: Path) -> None:
    for value in ("9180", '"9180"'):
        (tmp_path / "webdemo.toml").write_text(f"port = {value}\nadmin = {value}\ndashboard = {value}\n")
        settings = resolve(tmp_path).settings
        assert (settings.port, settings.admin, settings.dashboard) == (("9180",), "9180", "9180")


REFUSED_FILES = {
    'serer = "waitress"': ("webdemo.toml has a setting that is not known: serer.", "Did you mean server?"),
    "grace = true": ("grace in webdemo.toml cannot be True.", "It is a number."),
    'directory = ""': ("directory in webdemo.toml is empty.", "Give it a value, or leave it out."),
    'static = [" "]': ("static in webdemo.toml is empty.", "Give it a value, or leave it out."),
    'dashboard = ""': ("dashboard in webdemo.toml is empty.", "Give it a value, or leave it out."),
    "grace = -1": ("grace in webdemo.toml cannot be '-1'.", "It is a number from 0 to 1,000,000."),
    'access-log = "no"': ("access-log in webdemo.toml cannot be 'no'.", "It is true or false."),
    "admin = true": ("admin in webdemo.toml cannot be True.", "It is a port, or a string."),
    "app = 3": ("app in webdemo.toml cannot be 3.", "It is a string."),
    "bind = [1.5]": ("bind in webdemo.toml cannot be [1.5].", "It is a list of strings."),
    'log-format = "xml"': ("log-format in webdemo.toml cannot be 'xml'.", "Choose text or json."),
    "[grace]\nx = 1": ("grace in webdemo.toml cannot be {'x': 1}.", "It is a number."),
    "[[grace]]": ("grace in webdemo.toml cannot be [{}].", "It is a number."),
    "[[bind]]\nport = 1": ("bind in webdemo.toml cannot be [{'port': 1}].", "It is a list of strings."),
    '[[static]]\n"" = ""': ("static in webdemo.toml cannot be [{'': ''}].", "It is a list of strings."),
    "[port]": ("port in webdemo.toml cannot be {}.", "It is a list of strings."),
    "[admin]": ("admin in webdemo.toml cannot be {}.", "It is a port, or a string."),
    "[debug]": ("debug in webdemo.toml cannot be {}.", "It is true or false."),
    "[[app]]": ("app in webdemo.toml cannot be [{}].", "It is a string."),
    "app = 12:30:00": ("app in webdemo.toml cannot be datetime.time(12, 30).", "It is a string."),
    "PORT = 1": ("webdemo.toml has a setting that is not known: PORT.", "Did you mean port?"),
    "drain-delay = 3\ndrain_delay = 9": (
        "drain-delay and drain_delay in webdemo.toml are the same setting.",
        "Leave one of them out.",
    ),
    "metrics_networks = 'unix'\n'metrics-networks' = 'unix'": (
        "metrics_networks and metrics-networks in webdemo.toml are the same setting.",
        "Leave one of them out.",
    ),
}


@pytest.mark.parametrize("text", REFUSED_FILES)
def test_a_file_that_makes_no_sense_is_refused_with_the_reason(text: str, tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text(text)
    with pytest.raises(UsageError) as excinfo:
        resolve(tmp_path)
    assert message(excinfo) == REFUSED_FILES[text]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[[tool.webdemo]]\nport = 1", "tool.webdemo"),
        ("[tool]\nwebdemo = []", "tool.webdemo"),
        ("[tool]\nwebdemo = 8000", "tool.webdemo"),
        ('[tool]\nwebdemo = ""', "tool.webdemo"),
        ('tool = "webdemo"', "tool"),
        ("[[tool]]\n[tool.webdemo]", "tool"),
    ],
)
def test_a_pyproject_whose_table_is_none_is_refused(text: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError) as excinfo:
        resolve(tmp_path)
    assert message(excinfo) == (
        f"{key} in pyproject.toml is not a table.",
        "Write [tool.webdemo] once, and the settings below it.",
    )


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000])
def test_a_number_that_is_too_long_to_be_printed_is_refused(number: str, tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text(f"port = {number}\n")
    with pytest.raises(UsageError, match=r"^webdemo\.toml cannot be read: Exceeds the limit"):
        resolve(tmp_path)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text("server = \n")
    with pytest.raises(UsageError, match=r"^webdemo\.toml cannot be read: .*line 1") as excinfo:
        resolve(tmp_path)
    assert excinfo.value.remedy == "Fix the TOML syntax, or the file's permissions."


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("WEBDEMO_SERVR", "WEBDEMO_SERVER"),
        ("WEBDEMO_Port", "WEBDEMO_PORT"),
        ("WEBDEMO_port", "WEBDEMO_PORT"),
        ("WEBDEMO_DRAIN-DELAY", "WEBDEMO_DRAIN_DELAY"),
        ("WEBDEMO_SECRETKEY", "WEBDEMO_SECRET_KEY"),
    ],
)
def test_an_unknown_variable_of_ours_is_refused(variable: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as excinfo:
        resolve(tmp_path, environment={variable: "9"})
    problem, remedy = message(excinfo)
    assert problem == f"The environment has a setting that is not known: {variable}."
    assert remedy == f"Did you mean {meant}?"


def test_a_variable_of_the_wrong_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as excinfo:
        resolve(tmp_path, environment={"WEB_CONCURRENCY": "many"})
    assert message(excinfo) == (
        "WEB_CONCURRENCY cannot be 'many'.",
        "It is a whole number from 0 to 1,000,000.",
    )


def test_server_with_options_is_refused_with_the_bind_that_has_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as excinfo:
        wanted_binds(resolve(tmp_path, {"server": "waitress?threads=8", "port": ("1",)}))
    assert message(excinfo) == (
        "'waitress?threads=8' is a server with options, not its name.",
        "Give the options in a bind: -b 'waitress://:8000?threads=8'",
    )


def test_port_that_is_refused_names_the_variable_it_came_from(tmp_path: Path) -> None:
    # Kubernetes sets it in every pod if a service is called webdemo.
    with pytest.raises(UsageError) as excinfo:
        wanted_binds(resolve(tmp_path, environment={"WEBDEMO_PORT": "tcp://10.1.2.3:80"}))
    assert message(excinfo)[0] == "WEBDEMO_PORT: “tcp://10.1.2.3:80” is not a port number."


def test_host_may_have_the_brackets_of_its_url(tmp_path: Path) -> None:
    resolved = resolve(tmp_path, {"host": "[::1]", "port": ("1",)})
    assert wanted_binds(resolved) == [Bind(host="::1", port=1)]


def test_two_folders_at_one_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as excinfo:
        make_plan(resolve(tmp_path, {"static": ("/s=.", "/s/=..")}), [])
    assert message(excinfo)[0].endswith("are both to be served below /s/.")


def test_what_is_to_be_watched_has_to_exist(tmp_path: Path) -> None:
    settings = {"reload_path": ("nowhere",)}
    check_watched(make_plan(resolve(tmp_path, settings), []))
    with pytest.raises(UsageError) as excinfo:
        check_watched(make_plan(resolve(tmp_path, settings | {"reload": True}), []))
    assert message(excinfo)[0] == "There is no nowhere, which --reload-path names."


def test_an_app_and_a_folder_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as excinfo:
        resolve(tmp_path, {"app": "site:app", "directory": "dist"})
    assert message(excinfo) == ("--app and --directory exclude each other.", "Leave one of them out.")


@pytest.mark.attack(
    "Serving a folder",
    "A served folder, or a folder above it, contains a webdemo.toml or a pyproject.toml",
    "It is not read; the start says so",
)
@pytest.mark.parametrize("name", [SETTINGS_FILE, PYPROJECT])
@pytest.mark.parametrize(
    "given",
    [
        ({"directory": "."}, {}),
        ({"directory": "inner"}, {}),
        ({}, {"WEBDEMO_DIRECTORY": "."}),
        ({"directory": "."}, {"WEBDEMO_APP": "site:app"}),
    ],
)
def test_no_file_is_read_when_a_folder_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, given: tuple[dict[str, str], dict[str, str]]
) -> None:
    table = "[tool.webdemo]\n" if name == PYPROJECT else ""
    (tmp_path / name).write_text(
        f'{table}host = "*"\nserver = "gunicorn"\ntrusted-proxies = "*"\nnot = "TOML'
    )
    resolved = resolve(tmp_path, *given)
    expected = {"directory"} | {"app" for _ in given[1].keys() & {"WEBDEMO_APP"}}
    assert {name for name, source in resolved.sources.items() if source != DEFAULT} == expected
    monkeypatch.chdir(tmp_path)
    told = "webdemo.toml is not read, because --directory serves a folder and runs no project."
    assert settings_note(resolved) == (told if name == SETTINGS_FILE else None)


def test_which_file_set_what_is_told(tmp_path: Path) -> None:
    assert settings_note(resolve(tmp_path)) is None
    (tmp_path / "webdemo.toml").write_text('directory = "dist"\ntrusted-proxies = "*"\nport = 8001\n')
    resolved = resolve(tmp_path, {"port": ("8005",)})
    assert settings_note(resolved) == "Settings from webdemo.toml: directory, trusted-proxies."
    resolved = resolve(tmp_path, {"app": "site:app"}, {"WEBDEMO_DIRECTORY": "dist"})
    assert settings_note(resolved) == "Settings from webdemo.toml: port, trusted-proxies."


@pytest.mark.attack(
    "Serving a folder",
    "A setting names code: gunicorn://:8000?worker_class=evil.Worker",
    "It is refused: only Gunicorn's own kinds of worker can be named",
)
@pytest.mark.parametrize("kind", ["evil.Worker", "egg:evil#worker", "nonsense"])
def test_a_kind_of_worker_is_one_of_gunicorns_own(tmp_path: Path, kind: str) -> None:
    resolved = resolve(tmp_path, {"bind": (f"gunicorn://:1?worker_class={kind}",)})
    with pytest.raises(UsageError) as excinfo:
        make_plan(resolved, wanted_binds(resolved))
    assert message(excinfo)[0] == f"Gunicorn has no kind of worker called {kind!r}."


def test_an_app_on_the_command_line_stands_in_for_the_folder_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text('directory = "dist"\n')
    assert resolve(tmp_path, {"app": "site:app"}).settings.directory == ""


CPUS = os.sched_getaffinity(0)
REFUSED_BINDS: dict[tuple[str, ...], tuple[str, str]] = {
    ("wairtess://:1",): ("There is no server called 'wairtess'.", "Did you mean waitress?"),
    ("waitress://:1?threds=8",): ("The server waitress has no option 'threds'.", "Did you mean threads?"),
    ("waitress://:1?worker_class=sync",): (
        "The server waitress has no option 'worker_class'.",
        "These have it: gunicorn.",
    ),
    ("waitress://:1?threads=many",): (
        "waitress's option threads cannot be 'many'.",
        "It is a whole number from 1 to 10,000.",
    ),
    **{
        (f"{server}?{name}=0",): (
            f"{server.split(':')[0]}'s option {name} cannot be '0'.",
            f"It is a whole number from 1 to {'10,000' if name == 'threads' else '1,000,000'}.",
        )
        for server, name in (
            ("waitress://:1", "threads"),
            ("waitress://:1", "connection_limit"),
            ("gunicorn://:1", "threads"),
            ("gunicorn://:1", "connections"),
            ("cheroot://:1", "threads"),
            ("granian://127.0.0.1:1", "threads"),
            ("werkzeug://:1", "connections"),
            ("gunicorn://:1", "keepalive"),
            ("hypercorn://:1", "keepalive"),
            ("waitress://:1", "channel_timeout"),
        )
    },
    **{
        (f"werkzeug://:1?body_timeout={seconds}",): (
            f"werkzeug's option body_timeout cannot be '{seconds}'.",
            "It is a number from 0.1 to 1,000,000.",
        )
        for seconds in ("0", "nan", "inf", "1e300", "1e7")
    },
    ("waitress://:1?cpus=0-99999999999999999999",): (
        f"There is no processor {next(n for n in itertools.count() if n not in CPUS)} here.",
        f"Choose among {','.join(map(str, sorted(CPUS)))}.",
    ),
    ("waitress+https://:1",): (
        "The server waitress has no TLS.",
        "These have: cheroot, gevent, gunicorn, hypercorn, werkzeug.",
    ),
    ("paste.waitress+unix:///tmp/x.sock",): (
        "The server paste.waitress has no Unix sockets.",
        "These have: cheroot, gevent, gunicorn, hypercorn, waitress, werkzeug, wsgiref.",
    ),
    ("werkzeug+https://:1?certificate=a.pem",): (
        "A certificate and its key go together.",
        "Give both: ?certificate=FILE&key=FILE",
    ),
    ("werkzeug://:1?certificate=a.pem&key=b.pem",): (
        "A certificate needs TLS, which werkzeug://:1?certificate=a.pem&key=b.pem does not ask for.",
        "Write werkzeug+https:// in front of the address.",
    ),
    ("waitress://:1?certificate=a.pem&key=b.pem",): (
        "The server waitress has no TLS.",
        "These have: cheroot, gevent, gunicorn, hypercorn, werkzeug.",
    ),
    ("waitress://:1?workers=0",): ("workers cannot be 0.", "Choose from 1 to 512: ?workers=2"),
    ("waitress://:1?cpus=x",): ("cpus cannot be 'x'.", "Write numbers and ranges, or each: ?cpus=0,2-3"),
    ("paste.waitress://*:1",): (
        "The server paste.waitress serves one address, and paste.waitress://*:1 may be several.",
        "Name one: paste.waitress://127.0.0.1:1",
    ),
}


@pytest.mark.parametrize("binds", REFUSED_BINDS)
def test_a_bind_that_its_server_cannot_serve_is_refused(binds: tuple[str, ...], tmp_path: Path) -> None:
    resolved = resolve(tmp_path, {"bind": binds})
    with pytest.raises(UsageError) as excinfo:
        make_plan(resolved, wanted_binds(resolved))
    assert message(excinfo) == REFUSED_BINDS[binds]


NUMBERS = [
    (adapter, option)
    for adapter in registry.installed()
    for kind in (adapter.options, CommonOptions)
    for option in dataclasses.fields(kind)
    if option.type in ("int", "float")
]


@pytest.mark.parametrize(("adapter", "option"), NUMBERS, ids=lambda one: one.name)
def test_every_number_of_a_server_has_a_range(adapter: Adapter, option: dataclasses.Field[Any]) -> None:
    for number in ("-1", str(10**30), "9" * 5000):
        bind = Bind.parse(f"{adapter.name}://127.0.0.1:1?{option.name}={number}")
        with pytest.raises(UsageError) as excinfo:
            service_for(bind, default_server="werkzeug")
        problem, remedy = message(excinfo)
        assert len(problem) < 200
        assert " from " in remedy or "Choose" in remedy
        assert " to " in remedy


def test_no_time_of_a_server_overflows_a_wait_of_the_system() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, select.epoll() as poll:
        poll.register(ours, select.EPOLLIN)
        theirs.send(b"!")
        assert poll.poll(MOST)


def test_a_bind_without_meaning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BindTextError):
        wanted_binds(resolve(tmp_path, {"bind": ("::1:80",)}))


def test_every_setting_is_shown_with_its_source(tmp_path: Path) -> None:
    rows = setting_rows(resolve(tmp_path, {"port": ("8001",)}, {"HOST": "::1"}))
    assert [row[0] for row in rows] == [name.replace("_", "-") for name in FIELDS]
    assert ("port", "8001", "flag") in rows
    assert ("host", "::1", "HOST") in rows
    assert ("grace", "8", "default") in rows


def test_options_of_folders_reach_each_folder_and_need_one(tmp_path: Path) -> None:
    flags = {"spa": True, "immutable": "assets/*"}
    for served in ({"directory": str(tmp_path)}, {"static": (f"/app/={tmp_path}",)}):
        plan = make_plan(resolve(tmp_path, flags | served, {"WEBDEMO_CORS": "1"}), [Bind(port=8000)])
        mounted = [mount.options for mount in plan.features.static]
        options = plan.target.folder_options if plan.target.directory else mounted[0]
        assert options == (True, True, "assets/*")
    with pytest.raises(UsageError, match="--spa is for folders") as excinfo:
        make_plan(resolve(tmp_path, flags), [Bind(port=8000)])
    assert "--directory" in message(excinfo)[1]


REFUSED_STARTS: dict[tuple[tuple[str, Any], ...], tuple[str, str]] = {
    (("grace", 0.0),): ("grace cannot be 0 s.", "Choose from 0.1 to 3600 seconds."),
    (("bind", (":8751",)), ("admin", ":8751")): (
        ":8751 and --admin ask for the same port.",
        "Leave one of them out, or give it another port.",
    ),
    (("bind", (":8751",)), ("dashboard", "8751")): (
        ":8751 and --dashboard ask for the same port.",
        "Leave one of them out, or give it another port.",
    ),
    (("admin", "8751"), ("dashboard", "8751")): (
        "--admin and --dashboard ask for the same port.",
        "Leave one of them out, or give it another port.",
    ),
    (("bind", ("unix:///run/a.sock",)), ("admin", "unix:///run/../run/a.sock")): (
        "unix:///run/a.sock and --admin ask for the same socket.",
        "Leave one of them out, or change it.",
    ),
    (("admin", "8000"),): (
        "The default port 8000 and --admin ask for the same port.",
        "Leave one of them out, or give it another port.",
    ),
    (("in_process", True), ("admin", "9180")): (
        "--admin needs the supervisor, and one server is to run in this process.",
        "Leave one of them out: --admin or --in-process",
    ),
    (("in_process", True), ("workers", 2)): (
        "One server, without workers, can run in this process.",
        "Leave out the others.",
    ),
    (("release", "5f1c0a9\nready"),): (
        "The release's name has a line break or a character that cannot be printed: 5f1c0a9\\nready",
        "Give it a name of one line: --release 5f1c0a9",
    ),
    (("directory", "/nowhere"),): (
        "--directory: The folder /nowhere does not exist.",
        "Make it, or name one that exists.",
    ),
    (("app_dir", "/nowhere"),): (
        "--app-dir: The folder /nowhere does not exist.",
        "Make it, or name one that exists.",
    ),
    (("assets_archive", "/dev/null"),): (
        "--assets-archive: /dev/null is a file, not a folder.",
        "Name the folder that holds it.",
    ),
    (("bind", ("gunicorn+https://:1?certificate=/a&key=/b",)),): (
        "There is no certificate /a.",
        "Check the path; without certificate= and key= one is made at start, self-signed.",
    ),
}


@pytest.mark.parametrize("flags", REFUSED_STARTS, ids=lambda flags: " ".join(name for name, _ in flags))
def test_config_refuses_what_a_start_refuses(
    flags: tuple[tuple[str, Any], ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    platforms = {f.metadata["variable"] for f in FIELDS.values()}
    for variable in [name for name in os.environ if name in platforms or name.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    expected = REFUSED_STARTS[flags]
    with pytest.raises(UsageError) as excinfo:
        run(dict.fromkeys(FIELDS) | dict(flags))
    assert message(excinfo) == expected
    with pytest.raises(UsageError) as excinfo:
        config.main(obj=dict(flags), args=[], standalone_mode=False)
    assert message(excinfo) == expected


@pytest.mark.parametrize(
    ("option", "bind", "advice"),
    [
        ("--admin", Bind(host="127.0.0.1", port=0), "--admin {free}"),
        ("--admin", Bind(host="::1", port=0), "--admin [::1]:{free}"),
        ("--dashboard", Bind(server="waitress", port=0), "--dashboard {free}"),
    ],
)
@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_port_in_use_names_the_option_that_asked_for_it(
    option: str, bind: Bind, advice: str, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr("click.prompt", lambda _, *, default, **__: default)  # to give up
    sockets = listen(bind)
    try:
        taken = replace(bind, port=sockets[0].getsockname()[1])
        with pytest.raises(PortInUse) as excinfo:
            open_sockets([taken], host=None, option=option)
    finally:
        close(sockets)
    assert excinfo.value.remedy.endswith(": " + advice.format(free=excinfo.value.free))


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["--directory", ""], "The argument after --directory"),
        (["--app="], "--app"),
        (["-b", " "], "The argument after -b"),
        (["export", "systemd", "--to", ""], "The argument after --to"),
        (["servers", ""], "The argument after servers"),
        ([""], "The argument after webdemo"),
    ],
)
def test_an_empty_argument_is_refused_by_every_command(args: list[str], what: str) -> None:
    with pytest.raises(UsageError) as excinfo:
        refuse_empty(args)
    assert message(excinfo) == (f"{what} is empty.", "Give it a value, or leave it out.")


def test_arguments_with_a_value_are_not_empty() -> None:
    refuse_empty(["-p", "0", "--static", "/static/=x", "trace", "http://[::1]/?a=", "--json"])


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert resolve(tmp_path, environment={"WEBDEMO_APP": "", "WEBDEMO_PORT": " "}).settings == Settings()


NO_HOSTS = {
    "/x": "“/x” is not the name of a host.",
    "10.0.0.0/8": "“10.0.0.0/8” is not the name of a host.",
    "example.com:80": "“example.com:80” is not an IPv6 address.",
    "http://example.com": "“http://example.com” is not an IPv6 address.",
    "1.2.3": "“1.2.3” is not an IPv4 address.",
    "*": "“*” is not one host.",
}


@pytest.mark.parametrize("text", NO_HOSTS)
def test_a_host_to_trace_that_is_none_is_refused_by_its_source(text: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.mkdir()
    (file / "webdemo.toml").write_text(f'trace-hosts = ["{text}"]\n')
    for what, resolved in {
        "--trace-hosts": resolve(tmp_path, {"trace_hosts": ("localhost", text)}),
        "WEBDEMO_TRACE_HOSTS": resolve(tmp_path, environment={"WEBDEMO_TRACE_HOSTS": text}),
        "trace-hosts in webdemo.toml": resolve(file),
    }.items():
        with pytest.raises(UsageError) as excinfo:
            make_plan(resolved, [Bind(port=8000)])
        assert message(excinfo) == (
            f"{what}: {NO_HOSTS[text]}",
            "Give a name or an address, without a port: example.com or ::1",
        )


def test_hosts_to_trace_are_names_and_addresses(tmp_path: Path) -> None:
    given = ("example.com", "[2001:db8::1]", "10.0.0.1", "my_host")
    plan = make_plan(resolve(tmp_path, {"trace_hosts": given}), [Bind(port=8000)])
    assert plan.features.trace_hosts == ("example.com", "2001:db8::1", "10.0.0.1", "my_host")


def test_a_host_that_is_none_is_refused_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as excinfo:
        binds_or_default(resolve(tmp_path, environment={"HOST": "127.0.0.1:8000"}))
    assert message(excinfo)[0] == "HOST: “127.0.0.1:8000” is not an IPv6 address."


@pytest.mark.parametrize("name", ["app_dir", "assets_archive"])
def test_a_folder_of_another_machine_or_user_can_be_exported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    closed = tmp_path / "closed"
    closed.mkdir()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    for folder in (closed, tmp_path / "missing"):
        assert str(folder) in str(make_site(resolve(tmp_path, {name: str(folder)}), "systemd", ()))
    with pytest.raises(UsageError, match="may not be read by this user"):
        check_folders(resolve(tmp_path, {name: str(closed)}))


def test_the_list_of_commands_cuts_no_description_off() -> None:
    listed = CliRunner().invoke(main, ["--help"], terminal_width=80).output.partition("Commands:")[2]
    assert "compress" in listed
    assert "..." not in listed


def test_workers_out_of_their_range_name_the_option(tmp_path: Path) -> None:
    resolved = resolve(tmp_path, {"workers": -1})
    with pytest.raises(UsageError) as excinfo:
        make_plan(resolved, [Bind(port=8000)])
    assert message(excinfo) == ("workers cannot be -1.", "Choose from 1 to 512: --workers 2")


@pytest.mark.parametrize("args", [["trace", "--max-time", "nan", "1"], ["compare", "--duration", "nan"]])
def test_a_time_of_a_command_is_a_number(args: list[str]) -> None:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert "'nan' is not a time." in result.output


def test_a_port_to_stop_is_one_that_exists() -> None:
    with pytest.raises(BindTextError, match="Port 70000 does not exist"):
        stop_holder(("70000",), yes=True)


@pytest.mark.parametrize(
    ("name", "read"),
    [("bind", wanted_binds), ("port", wanted_binds), ("admin", admin_bind), ("dashboard", dashboard_bind)],
)
def test_an_address_that_is_refused_names_its_option_variable_or_key_in_the_file(
    name: str, read: Callable[[Resolved], object], tmp_path: Path
) -> None:
    variable = f"WEBDEMO_{name.upper()}"
    (tmp_path / "webdemo.toml").write_text(f"{name} = 99999\n")
    is_list = name in ("bind", "port")
    flags: dict[str, Any] = {name: ("99999",) if is_list else "99999"}
    given: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
        f"--{name}": (flags, {}),
        variable: ({}, {variable: "99999"}),
        f"{name} in webdemo.toml": ({}, {}),
    }
    for what, (options, environment) in given.items():
        with pytest.raises(BindTextError) as excinfo:
            read(resolve(tmp_path, options, environment))
        assert message(excinfo)[0] == f"{what}: Port 99999 does not exist: the highest is 65535."


@pytest.mark.parametrize(
    ("name", "text", "read", "problem"),
    [
        ("dashboard", "8001-8002", dashboard_bind, "The dashboard has one port, not 8001-8002."),
        ("admin", "waitress://:9180", admin_bind, "waitress://:9180 is no admin address."),
    ],
)
def test_an_address_of_the_wrong_kind_is_named_as_it_was_given(
    name: str, text: str, read: Callable[[Resolved], object], problem: str, tmp_path: Path
) -> None:
    variable = f"WEBDEMO_{name.upper()}"
    given = {f"--{name}": resolve(tmp_path, {name: text}), variable: resolve(tmp_path, {}, {variable: text})}
    for what, resolved in given.items():
        with pytest.raises(UsageError) as excinfo:
            read(resolved)
        assert message(excinfo)[0] == f"{what}: {problem}"


def test_a_port_that_is_asked_for_twice_is_named_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "webdemo.toml").write_text("admin = 8001\n")
    with pytest.raises(UsageError) as excinfo:
        check(resolve(tmp_path, environment={"WEBDEMO_DASHBOARD": "8001"}))
    assert message(excinfo)[0] == "admin in webdemo.toml and WEBDEMO_DASHBOARD ask for the same port."
