"""`webdemo export`: every format passes its validator for every shape of app, and quoting changes nothing."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests import running as runs
from webdemo import cli, deploy
from webdemo.cli.export import make_site
from webdemo.config.sources import read_settings
from webdemo.deploy import quoting
from webdemo.deploy.container import CHECK
from webdemo.errors import UsageError

BIN = Path(sys.executable).parent
FORMATS = tuple(deploy.FORMATS)

HOSTILE = """shop:make_app("it's 100% \\\\ $HOME ${X} $(id) %h `id` #{x} {{ y }}", 'ü "q"')"""
SHAPES = {
    "an app": ("--app", "shop:app"),
    "a factory with a hostile argument": ("--app", HOSTILE, "--port", "8000"),
    "a folder with a hostile name": ("--directory", 'a folder\'s %n $HOME "dist"', "--port", "8000"),
    "several servers": (
        "--app",
        "my.shop:app",
        "-b",
        "gunicorn://*:8001?workers=2",
        "-b",
        "waitress://*:8002",
    ),
    "a Unix socket and a port": (
        *("--app", "shop:app", "-b", "gunicorn+unix:///run/a%20%25b$c'd/s.sock?mode=660"),
        *("-b", "gunicorn://*:8003", "--trusted-proxies", "unix"),
    ),
    "TLS alone": (
        *("--app", "shop:app", "-b", "gunicorn+https://*:8443"),
        *("--admin", "unix:///run/a.sock"),
    ),
    "TLS on IPv6": ("--app", "shop:app", "-b", "gunicorn+https://[2001:db8::1]:8443", "--admin", "[::]:9180"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    (tmp_path / 'a folder\'s %n $HOME "dist"').mkdir()
    return tmp_path


def export(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, arguments, standalone_mode=False)


def exported(shape: tuple[str, ...], format_name: str, *more: str) -> dict[str, str]:
    result = export(*shape, "export", format_name, *more)
    assert result.exit_code == 0, result.output
    names = [line.split()[0] for line in result.output.splitlines()]
    return {Path(name).name: Path(name).read_text("utf-8") for name in names}


def arguments_of(shape: tuple[str, ...], format_name: str, hosts: tuple[str, ...] = ()) -> list[str]:
    """What the exported command passes to `python -m webdemo`."""
    flags: dict[str, Any] = {}
    with cli.main.make_context("webdemo", [*shape, "config"]) as context:
        flags = context.params
    return list(make_site(read_settings(flags), format_name, hosts).arguments)


# -- the validators -------------------------------------------------------------------------------


def run(*command: str, folder: Path) -> None:
    if not shutil.which(command[0]):
        if os.environ.get("CI"):
            pytest.fail(f"{command[0]} is not installed")
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def check_systemd(folder: Path) -> None:
    units = sorted(str(path) for path in (folder / "deploy").glob("*.s*"))
    run("systemd-analyze", "verify", "--man=no", *units, folder=folder)


def check_haproxy(folder: Path) -> None:
    run("haproxy", "-c", "-f", "deploy/haproxy.cfg", folder=folder)


def check_nginx(folder: Path) -> None:
    [conf] = (folder / "deploy").glob("*.conf")
    whole = f"pid {folder}/nginx.pid;\nevents {{}}\nhttp {{ access_log off; include {conf.name}; }}\n"
    (folder / "deploy" / "nginx.test").write_text(whole)
    run("nginx", "-t", "-e", "stderr", "-c", str(folder / "deploy" / "nginx.test"), folder=folder)


def check_container(folder: Path) -> None:
    run(str(BIN / "hadolint"), "deploy/Dockerfile", folder=folder)
    run("docker-compose", "-f", "deploy/compose.yaml", "config", "--quiet", folder=folder)


def check_kubernetes(folder: Path) -> None:
    manifests = sorted(map(str, (folder / "deploy").glob("*.yaml")))
    run(str(BIN / "kubernetes-validate"), "--strict", "--quiet", *manifests, folder=folder)


VALIDATORS: dict[str, Callable[[Path], None]] = {
    "systemd": check_systemd,
    "haproxy": check_haproxy,
    "nginx": check_nginx,
    "container": check_container,
    "kubernetes": check_kubernetes,
}


@pytest.mark.process
@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_passes_its_validator_for_every_shape_of_app(format_name: str, project: Path) -> None:
    for shape in SHAPES.values():
        hosts = ("--hosts", "10.90.0.1,10.90.0.2,localhost,2001:db8::3")
        for given in ((), hosts) if format_name in ("systemd", "haproxy", "nginx") else ((),):
            exported(shape, format_name, *given)
            VALIDATORS[format_name](project)
            shutil.rmtree("deploy")


# -- what is in them ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_containers_and_kubernetes_pass_on_each_argument_as_it_was_given(shape: str, project: Path) -> None:
    wanted = ["-m", "webdemo", *arguments_of(SHAPES[shape], "kubernetes")]
    manifest = yaml.safe_load(exported(SHAPES[shape], "kubernetes")["deployment.yaml"])
    [container] = manifest["spec"]["template"]["spec"]["containers"]
    # Kubernetes replaces $(NAME) and makes $$ a $: https://kubernetes.io/docs, "Use environment variables".
    assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", "".join(container["args"]))
    assert [argument.replace("$$", "$") for argument in container["args"]] == wanted
    dockerfile = exported(SHAPES[shape], "container")["Dockerfile"]
    assert json.loads(dockerfile.rpartition("CMD ")[2]) == ["python", *wanted]


@pytest.mark.parametrize("shape", SHAPES)
def test_systemd_gets_each_argument_as_it_was_given(shape: str, project: Path) -> None:
    files = exported(SHAPES[shape], "systemd")
    [service] = [text for name, text in files.items() if name.endswith(".service")]
    [line] = re.findall(r"^ExecStart=(.*)$", service, re.MULTILINE)
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    given = [
        re.sub(r"\\(.)", r"\1", quoted or plain).replace("$$", "$").replace("%%", "%")
        for quoted, plain in words
    ]
    assert given[1:] == ["-m", "webdemo", *arguments_of(SHAPES[shape], "systemd")]
    assert not re.search(r"(?<!%)(%%)*%(?!%)", line), "a specifier would be replaced"


def test_a_control_character_is_refused(project: Path) -> None:
    with pytest.raises(UsageError):
        quoting.printable("a\nb")
    for control in ("\x00", "\x1b", "\x85", "\u2028", "\ud800"):
        with pytest.raises(UsageError):
            quoting.yaml(control)


ON_LINES = """\
app = "shop:app"
trusted-proxies = \"\"\"
10.0.0.1
10.0.0.2, 10.1.0.0/16
\"\"\"
metrics-networks = ["10.2.0.1\\n10.2.0.2"]
"""


@pytest.mark.parametrize("format_name", FORMATS)
def test_addresses_on_several_lines_are_exported_as_words(format_name: str, project: Path) -> None:
    (project / "webdemo.toml").write_text(ON_LINES)
    on_lines = exported((), format_name)
    (project / "webdemo.toml").write_text(
        'app = "shop:app"\ntrusted-proxies = ["10.0.0.1", "10.0.0.2", "10.1.0.0/16"]\n'
        'metrics-networks = ["10.2.0.1", "10.2.0.2"]\n'
    )
    assert exported((), format_name) == on_lines
    (project / "webdemo.toml").unlink()
    given = ("--app", "shop:app", "--trusted-proxies", "10.0.0.1\n10.0.0.2")
    assert "10.0.0.1\n" not in "".join(arguments_of(given, format_name))


@pytest.mark.parametrize("format_name", FORMATS)
def test_no_value_with_a_control_character_gets_into_a_file(format_name: str, project: Path) -> None:
    resolved = read_settings({"app": "shop:app", "bind": ("gunicorn://*:8000",)})
    site = make_site(resolved, format_name, ())._replace(socket_mode=0o600)
    texts = {
        **{name: f"x\n{name}" for name in ("folder", "python", "release")},
        **{name: (f"x\n{name}",) for name in ("arguments", "listen", "trusted_proxies")},
        "backends": (site.backends[0]._replace(path="/run/x\nbackends"),),
    }
    for name, value in texts.items():
        try:
            files = deploy.FORMATS[format_name](site._replace(**{name: value}))  # type: ignore[arg-type]
        except UsageError:
            continue
        assert f"\n{name}" not in "".join(files.values())


@pytest.mark.parametrize(
    ("app", "folder", "user"),
    [
        ("root:app", "x", "web-root"),
        ("app:app", "root", "web-root"),
        ("www_data.wsgi:app", "x", "web-www-data"),
        ("docker:app", "x", "web-docker"),
        ("roots:app", "x", "roots"),
        (f"{'shop_' * 8}:app", "x", "shop-shop-shop-shop-shop-shop-s"),
        ("_9:app", "x", "web-9"),
        ("app:app", "ü", "web"),
    ],
)
def test_a_service_runs_as_a_user_that_is_its_own_and_can_be_made(
    app: str, folder: str, user: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / folder).mkdir()
    monkeypatch.chdir(project / folder)
    service = exported(("--app", app), "systemd")[f"{user}.service"]
    assert f"\nUser={user}\nGroup={user}\n" in service


def test_no_user_of_this_system_with_a_fixed_number_is_an_exported_one(project: Path) -> None:
    fixed = {row.pw_name for row in pwd.getpwall() if row.pw_uid < 100 or row.pw_name == "nobody"}
    for name in filter(str.isalpha, fixed):
        assert f"web-{name}.service" in exported(("--app", f"{name}.x:app"), "systemd")


def test_one_stop_time_and_one_delay_are_right_together(project: Path) -> None:
    shape = ("--app", "shop:app", "--drain-delay", "6.5", "--grace", "20")
    seconds = 6.5 + 1 + 20 + 3
    assert f"\nTimeoutStopSec={round(seconds + 0.5)}\n" in exported(shape, "systemd")["shop.service"]
    assert f"stop_grace_period: {round(seconds + 0.5)}s" in exported(shape, "container")["compose.yaml"]
    manifest = yaml.safe_load(exported(shape, "kubernetes")["deployment.yaml"])
    pod = manifest["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == round(seconds + 0.5)
    probe = pod["containers"][0]["readinessProbe"]
    assert (probe["periodSeconds"] + 1) * probe["failureThreshold"] < 6.5
    haproxy = exported(shape, "haproxy")["haproxy.cfg"]
    inter, fall = map(int, re.findall(r"inter (\d+)s fall (\d+)", haproxy)[0])
    assert (inter + 1) * fall < 6.5
    service = exported(shape, "systemd")["shop.service"]
    assert "--drain-delay 6.5" in service
    assert "--grace 20" in service


def test_a_delay_shorter_than_a_balancer_needs_is_refused(project: Path) -> None:
    result = export("--app", "shop:app", "--drain-delay", "4", "export", "haproxy")
    assert result.exit_code == 2
    assert not Path("deploy").exists()


def test_what_the_settings_file_says_is_left_to_it(project: Path) -> None:
    (project / "webdemo.toml").write_text('app = "shop:app"\ngrace = 30\nserver = "waitress"\n')
    service = exported((), "systemd")["shop.service"]
    assert "--grace" not in service
    assert "--server" not in service
    assert "\nTimeoutStopSec=42\n" in service, "8 + 1 + 30 + 3"


HTTPS = ("--app", "shop:app", "-b", "gunicorn+https://*:8443")


@pytest.mark.parametrize(
    ("more", "probed", "checked", "port"),
    [
        ((), {"port": "admin"}, "http://127.0.0.1:9180", 443),
        (("--admin", "9180"), {"port": "https", "scheme": "HTTPS"}, "http://127.0.0.1:9180", 443),
        (
            ("--admin", "unix:///run/a.sock"),
            {"port": "https", "scheme": "HTTPS"},
            "https://127.0.0.1:8443",
            443,
        ),
        (("--admin", "[::]:9180"), {"port": "admin"}, "http://[::1]:9180", 443),
        (
            ("--admin", "9180", "-b", "gunicorn://*:8000"),
            {"port": "http", "scheme": "HTTP"},
            "http://127.0.0.1:9180",
            80,
        ),
    ],
)
def test_health_is_asked_where_it_is_answered_and_over_tls_where_that_is_spoken(
    more: tuple[str, ...], probed: dict[str, str], checked: str, port: int, project: Path
) -> None:
    files = exported((*HTTPS, *more), "kubernetes")
    pod = yaml.safe_load(files["deployment.yaml"])["spec"]["template"]["spec"]
    [container] = pod["containers"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = dict(container[name]["httpGet"])
        assert asked.pop("path") in ("/livez", "/readyz")
        assert asked == probed
    [service] = yaml.safe_load(files["service.yaml"])["spec"]["ports"]
    assert service["port"] == port
    ports = {row["name"]: row["containerPort"] for row in container["ports"]}
    assert ports[service["targetPort"]] == (8443 if port == 443 else 8000)
    dockerfile = exported((*HTTPS, *more), "container")["Dockerfile"]
    assert f"u.urlopen('{checked}/livez'" in dockerfile


@pytest.mark.process
def test_the_check_of_a_container_asks_an_app_that_speaks_tls_alone(running: runs.Start) -> None:
    run = running("-b", "gunicorn+https://127.0.0.1:0", "--health", app="def app(environ, start): ...")
    check = CHECK.format(url=run.url.rstrip("/"))
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_proxy_speaks_one_way_to_every_backend(project: Path) -> None:
    both = (*HTTPS, "-b", "gunicorn://*:8000")
    nginx = exported(both, "nginx")["shop.conf"]
    assert re.findall(r"^ +server (\S+) max|proxy_pass (\S+);", nginx, re.MULTILINE) == [
        ("127.0.0.1:8000", ""),
        ("", "http://shop"),
    ]
    haproxy = exported(both, "haproxy")["haproxy.cfg"]
    assert re.findall(r"^    server (.*)$", haproxy, re.MULTILINE) == ["host1 127.0.0.1:8000"]
    assert "proxy_pass https://shop;" in exported(HTTPS, "nginx")["shop.conf"]
    assert "127.0.0.1:8443 ssl verify none" in exported(HTTPS, "haproxy")["haproxy.cfg"]


DEVELOPMENT = ("debug", "live-reload", "reload", "in-process", "open", "dashboard-read-only")


@pytest.mark.parametrize("source", ["webdemo.toml", "pyproject.toml", "flags", "environment"])
def test_what_is_for_development_is_off_in_the_folder_of_the_exported_command(
    source: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("PORT=8123\n")
    text = "".join(f"{name} = true\n" for name in DEVELOPMENT) + 'reload-path = "."\n'
    flags: tuple[str, ...] = ()
    if source == "flags":
        flags = (*(f"--{name}" for name in DEVELOPMENT), "--reload-path", ".", "--dashboard")
    elif source == "environment":
        for name in DEVELOPMENT:
            monkeypatch.setenv(f"WEBDEMO_{name.replace('-', '_').upper()}", "1")
    else:
        (project / source).write_text(("[tool.webdemo]\n" if source == "pyproject.toml" else "") + text)
    arguments = arguments_of(("--app", "shop:app", *flags), "systemd")
    assert [f"--no-{name}" in arguments for name in DEVELOPMENT] == [source.endswith(".toml")] * 6
    for name in DEVELOPMENT:  # the service does not have this environment
        monkeypatch.delenv(f"WEBDEMO_{name.replace('-', '_').upper()}", raising=False)
    shown = export(*arguments, "config").output
    on = re.findall(r"^(\S+) +true ", shown, re.MULTILINE)
    assert set(on) & {*DEVELOPMENT, "dashboard"} == set(), shown
    assert re.search(r"^env-file +- ", shown, re.MULTILINE), ".env is for --debug"
    assert "8123" not in shown
    assert re.search(r"^dashboard +- ", shown, re.MULTILINE)


def test_a_dashboard_that_no_option_turns_off_is_refused_with_its_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBDEMO_DASHBOARD", "9000")
    assert "--dashboard" not in arguments_of(("--app", "shop:app"), "systemd")
    monkeypatch.delenv("WEBDEMO_DASHBOARD")
    (project / "webdemo.toml").write_text('app = "shop:app"\ndashboard = true\n')
    result = export("export", "systemd")
    assert result.exit_code == 2
    assert "dashboard in webdemo.toml would be on in production" in result.output
    assert not Path("deploy").exists()


def test_the_path_of_a_release_is_the_symlink_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "releases" / "7").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/7")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    service = exported(("--app", "shop:app"), "systemd")["shop.service"]
    assert f"\nWorkingDirectory={tmp_path}/current\n" in service
    assert f"\nEnvironment=PWD={tmp_path}/current\n" in service, "for a reload; systemd does not set it"


def test_hosts_that_cannot_be_reached_are_refused_with_a_remedy(project: Path) -> None:
    for shape in (("-b", "gunicorn://127.0.0.1:8000"), ("-b", "unix:///run/x.sock")):
        result = export("--app", "shop:app", *shape, "export", "haproxy", "--hosts", "a,b")
        assert result.exit_code == 2
        assert "--host '*'" in result.output


@pytest.mark.parametrize("more", [(), ("-b", "waitress://*:8001")])
def test_systemd_listens_on_no_name(more: tuple[str, ...], project: Path) -> None:
    named = ("--app", "shop:app", "-b", "gunicorn+https://web1.example:8443?workers=2", *more)
    result = CliRunner().invoke(cli.main, [*named, "export", "systemd"])
    assert result.exit_code == 2
    assert "web1.example is a name" in result.output
    assert "-b 'gunicorn+https://*:8443?workers=2'\n" in result.output
    assert not Path("deploy").exists()
    exported(named, "haproxy")


# -- --check and --force --------------------------------------------------------------------------


def test_a_changed_setting_makes_check_exit_1_and_export_updates_it(project: Path) -> None:
    shape = ("--app", "shop:app")
    for format_name in FORMATS:
        exported(shape, format_name)
        assert export(*shape, "export", format_name, "--check").exit_code == 0
        changed = (*shape, "--grace", "31", "--drain-delay", "9", "--port", "8100", "--admin", "9191")
        result = export(*changed, "export", format_name, "--check")
        assert result.exit_code == 1
        assert " differs." in result.output
        assert export(*changed, "export", format_name).exit_code == 0
        assert export(*changed, "export", format_name, "--check").exit_code == 0


def test_a_file_edited_by_hand_is_kept_unless_forced(project: Path) -> None:
    shape = ("--app", "shop:app")
    exported(shape, "systemd")
    unit = Path("deploy/shop.service")
    unit.write_text(unit.read_text().replace("RestartSec=1", "RestartSec=5"))
    result = export(*shape, "--grace", "9", "export", "systemd")
    assert result.exit_code == 2
    assert "Edited by hand" in result.output
    assert "RestartSec=5" in unit.read_text()
    assert "grace" not in Path("deploy/shop.socket").read_text()
    assert export(*shape, "--grace", "9", "export", "systemd", "--force").exit_code == 0
    assert "--grace 9" in unit.read_text()


def test_a_file_that_was_not_exported_is_kept(project: Path) -> None:
    Path("deploy").mkdir()
    Path("deploy/Dockerfile").write_text("FROM scratch\n")
    result = export("--app", "shop:app", "export", "container")
    assert result.exit_code == 2
    assert Path("deploy/Dockerfile").read_text() == "FROM scratch\n"
    assert not Path("deploy/compose.yaml").exists(), "all files are written, or none"


def test_a_dash_prints_the_files(project: Path) -> None:
    result = export("--app", "shop:app", "export", "haproxy", "--to", "-")
    assert result.output.startswith("# -- haproxy.cfg\n# Written by webdemo export; checksum ")
    assert not Path("deploy").exists()


@pytest.mark.process
def test_the_examples_beside_the_exports_pass_their_validators(tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "examples" / "deploy"
    playbook = ("-i", str(examples / "inventory.ini"), str(examples / "roll.yml"), "-e", "release=1")
    run(str(BIN / "ansible-playbook"), "--syntax-check", *playbook, folder=tmp_path)
    caddyfile = str(examples / "Caddyfile")
    where = {"UPSTREAMS": "10.90.0.1:8000 10.90.0.2:8000", "SITE": "http://:8080", "HOME": str(tmp_path)}
    run("env", *(f"{k}={v}" for k, v in where.items()), str(BIN / "caddy"), "validate", "--config", caddyfile,
        folder=tmp_path)  # fmt: skip
    [job] = yaml.safe_load((examples / "prometheus.yml").read_text())["scrape_configs"]
    assert all(target.endswith(":9180") for target in job["static_configs"][0]["targets"])
