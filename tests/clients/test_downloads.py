"""curl, wget and pip against a served folder."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.serving import Served
from webdemo.web.static.compress import compress

pytestmark = pytest.mark.process

SECONDS = 60

Serve = Callable[[Path], Served]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a client, which must succeed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, env=os.environ | environment, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "large.bin").write_bytes(os.urandom(3_000_000))
    return folder


@pytest.mark.parametrize(
    "command", [["curl", "--fail", "-sS", "-C", "-", "-o"], ["wget", "-c", "-O"]], ids=["curl", "wget"]
)
def test_a_broken_download_is_resumed(serve: Serve, folder: Path, tmp_path: Path, command: list[str]) -> None:
    content = (folder / "large.bin").read_bytes()
    half = tmp_path / "half"
    half.write_bytes(content[:1_000_000])
    done = run(*command, str(half), f"{serve(folder).url}/large.bin")
    assert half.read_bytes() == content
    if command[0] == "wget":
        assert "206 Partial Content" in done.stderr


def test_curl_unpacks_what_it_asked_for_and_only_that(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    text = b"A text that repeats itself. " * 500
    (folder / "page.html").write_bytes(text)
    (folder / "file.tar.gz").write_bytes(gzip.compress(text))
    list(compress(folder))
    url = serve(folder).url
    target = str(tmp_path / "got")
    run("curl", "--fail", "-sS", "--compressed", "-D", f"{target}.head", "-o", target, f"{url}/page.html")
    assert Path(target).read_bytes() == text
    assert "content-encoding:" in Path(f"{target}.head").read_text().lower()
    run("curl", "--fail", "-sS", "--compressed", "-o", target, f"{url}/file.tar.gz")
    assert Path(target).read_bytes() == (folder / "file.tar.gz").read_bytes()


def test_wget_mirrors_a_listing(serve: Serve, folder: Path, tmp_path: Path) -> None:
    (folder / "sub dir").mkdir()
    (folder / "sub dir" / "a#b?.txt").write_text("x")
    copy = tmp_path / "copy"
    run(
        "wget",
        "-q",
        "-r",
        "-np",
        "-nH",
        "--reject-regex",
        r"\?|\.webdemo",
        "-P",
        str(copy),
        serve(folder).url,
    )
    assert (copy / "large.bin").read_bytes() == (folder / "large.bin").read_bytes()
    assert [path.read_text() for path in copy.rglob("a#b*.txt")] == ["x"]


def make_wheel(folder: Path) -> Path:
    """A minimal wheel with one module."""
    info = "servedpackage-1.0.dist-info"
    files = {
        "servedpackage.py": b"greeting = 'hello'\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: servedpackage\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = []
    for name, content in files.items():
        digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        records.append(f"{name},sha256={digest},{len(content)}\n")
    files[f"{info}/RECORD"] = "".join([*records, f"{info}/RECORD,,\n"]).encode()
    wheel = folder / "servedpackage-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


@pytest.mark.parametrize("index", ["a listing", "index.html"])
def test_pip_installs_from_a_served_index(serve: Serve, folder: Path, tmp_path: Path, index: str) -> None:
    project = folder / "simple" / "servedpackage"
    project.mkdir(parents=True)
    wheel = make_wheel(project)
    if index == "index.html":
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        (project / "index.html").write_text(
            f'<!doctype html><a href="{wheel.name}#sha256={digest}">{wheel.name}</a>'
        )
    target = tmp_path / "installed"
    run(
        *(sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir", "--no-deps"),
        *("--disable-pip-version-check", "--target", str(target)),
        *("--index-url", f"{serve(folder).url}/simple/", "servedpackage"),
        PIP_CONFIG_FILE=os.devnull,
        NO_PROXY="127.0.0.1",
    )
    assert (target / "servedpackage.py").read_text() == "greeting = 'hello'\n"
