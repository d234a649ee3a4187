"""What a path can reach: files below the root and nothing else, without an exception or a delay."""

from __future__ import annotations

import errno
import os
import socket
import string
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.web.static_files.calling import call, call_unchecked, environ
from webdemo import assets
from webdemo.errors import UsageError
from webdemo.web.static.app import StaticFiles


@pytest.fixture
def secret(folder: Path) -> str:
    """A file next to the root that must never be sent."""
    (folder.parent / "secret.txt").write_text("secret")
    (folder.parent / "site-too").mkdir()
    (folder.parent / "site-too" / "secret.txt").write_text("secret")
    return "secret"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/../../secret.txt",
        "/sub/%2e%2e/ten.txt",
        "/./ten.txt",
        "//ten.txt",
        "/sub//index.html",
        "/..\\secret.txt",
        "/%5c..%5csecret.txt",
        "/../site-too/secret.txt",
        "/etc/passwd",
        "//etc/passwd",
        "/ten.txt/",
        "/ten.txt/x",
        "/ten.txt%00",
        "/ten.txt%00.css",
        "/%ff%fe",
        "/" + "n" * 300,
        "/" + "n/" * 3000,
        "/" + "%ff" * 300,
        "/none",
        "/empty/",
        "/empty",
        "/ten.txt%0a",
    ],
)
def test_a_path_that_leads_to_no_file_gives_404(folder: Path, secret: str, path: str) -> None:
    for app in (StaticFiles(folder), StaticFiles(folder, listing=True)):
        answer = call_unchecked(app, environ(path))
        if not path.startswith("/empty"):
            assert answer.status == 404
        assert secret.encode() not in answer.body


@pytest.mark.parametrize("path", ["ten.txt", "*", "/\u0416", "http://x/"])
def test_a_path_that_no_server_should_give_is_404(app: StaticFiles, path: str) -> None:
    assert call_unchecked(app, environ("/") | {"PATH_INFO": path}).status == 404


def test_a_dotfile_gives_404_except_below_well_known(folder: Path) -> None:
    for name in (".env", ".git/config", "sub/.htaccess", ".well-known/acme", "sub/.well-known/acme"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (folder / ".well-known" / ".hidden").write_text("x")
    app = StaticFiles(folder, listing=True)
    for target in ("/.env", "/.git/config", "/.git/", "/.git", "/sub/.htaccess", "/sub/.well-known/acme"):
        assert call(app, target).status == 404
    assert call(app, "/.well-known/.hidden").status == 404
    assert call(app, "/.well-known/acme").body == b"x"


def test_a_symlink_that_leaves_the_root_gives_404(folder: Path, secret: str) -> None:
    (folder / "file").symlink_to(folder.parent / "secret.txt")
    (folder / "relative").symlink_to("../secret.txt")
    (folder / "folder").symlink_to(folder.parent / "site-too")
    (folder / "sub" / "up").symlink_to("../..")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    app = StaticFiles(folder, listing=True)
    for path in (
        "/file",
        "/relative",
        "/folder",
        "/folder/",
        "/folder/secret.txt",
        "/sub/up/secret.txt",
        "/sub/up/site-too/secret.txt",
        "/loop",
        "/dangling",
    ):
        assert call(app, path).status == 404, path


def test_a_symlink_within_the_root_is_served(folder: Path) -> None:
    (folder / "link.css").symlink_to("app.css")
    (folder / "other").symlink_to(folder / "sub")
    (folder / "out-and-in").symlink_to(f"../{folder.name}/ten.txt")
    app = StaticFiles(folder)
    assert call(app, "/link.css").body == (folder / "app.css").read_bytes()
    assert call(app, "/other/index.html").body == b"<h1>sub</h1>"
    assert call(app, "/other/").body == b"<h1>sub</h1>"
    assert call(app, "/out-and-in").body == b"0123456789"


def test_a_root_that_is_a_symlink_is_followed_when_it_moves(tmp_path: Path) -> None:
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "version").write_text(release)
    current = tmp_path / "current"
    current.symlink_to("1")
    app = StaticFiles(current)
    assert call(app, "/version").body == b"1"
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").replace(current)
    assert call(app, "/version").body == b"2"


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that were resolved."""
    paths: list[bytes] = []
    original = os.path.realpath

    def resolve_and_note(path: bytes, **options: Any) -> bytes:
        paths.append(path)
        return original(path, **options)

    monkeypatch.setattr(os.path, "realpath", resolve_and_note)
    return paths


@pytest.mark.attack(
    "Files and races",
    "Many requests for a symlink that leads out of the folder",
    "404 after the first look; only what has just been replaced is looked at again",
)
def test_a_symlink_that_leaves_the_root_is_resolved_once(folder: Path, resolved: list[bytes]) -> None:
    (folder / "out").symlink_to("/etc/passwd")
    assert call(StaticFiles(folder), "/out").status == 404
    assert [path.endswith(b"/out") for path in resolved].count(True) == 1


def test_an_absolute_symlink_into_a_root_that_moves_meanwhile_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = tmp_path / "current"
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "file").write_text(release)
        (tmp_path / release / "version").symlink_to(current / "file")
    current.symlink_to("1")
    (tmp_path / "next").symlink_to("2")
    app = StaticFiles(current)
    original = os.path.realpath

    def resolve_and_move(path: bytes, **options: Any) -> bytes:
        resolved = original(path, **options)
        if (tmp_path / "next").is_symlink():
            (tmp_path / "next").replace(current)
        return resolved

    monkeypatch.setattr(os.path, "realpath", resolve_and_move)
    assert call(app, "/version").body == b"2"


def test_a_folder_of_a_config_map_is_served(tmp_path: Path) -> None:
    """Kubernetes mounts files as symlinks into a hidden folder that is itself a symlink."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "app.css").write_text("x")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "app.css").symlink_to("..data/app.css")
    app = StaticFiles(tmp_path)
    assert call(app, "/app.css").status == 200
    assert call_unchecked(app, environ("/..data/app.css")).status == 404


@pytest.mark.timeout(20)
def test_fifos_devices_and_sockets_give_404_without_a_wait(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(folder / "socket"))
        app = StaticFiles(folder)
        assert call(app, "/fifo").status == 404
        assert call(app, "/socket").status == 404
    assert call(StaticFiles("/dev"), "/zero").status == 404
    assert call(StaticFiles("/dev"), "/tty").status == 404


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can access, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Act as a user who is subject to file modes (not root)."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        if not assets.STATIC.is_dir():
            pytest.skip("other users may not look into the folder of this checkout")
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_gives_403(public_folder: Path) -> None:
    (public_folder / "small.txt").write_text("x")
    (public_folder / "large.bin").write_bytes(bytes(10**6))
    (public_folder / "sub").mkdir()
    for file in public_folder.iterdir():
        file.chmod(0)
    with ordinary_user():
        app = StaticFiles(public_folder, listing=True)
        for target in ("/small.txt", "/large.bin", "/sub/index.html", "/sub/"):
            assert call(app, target).status == 403, target
        listing = call(app, "/").body
    assert b"empty" in listing
    assert b"small.txt" not in listing


def test_an_index_that_may_not_be_read_gives_403_and_no_listing(public_folder: Path) -> None:
    (public_folder / "sub").mkdir()
    for folder in (public_folder, public_folder / "sub"):
        (folder / "index.html").write_text("x")
        (folder / "index.html").chmod(0)
    with ordinary_user():
        for app in (StaticFiles(public_folder, listing=True), StaticFiles(public_folder, spa=True)):
            assert [call(app, target).status for target in ("/", "/sub", "/sub/")] == [403, 308, 403]
        assert call(app, "/route").status == 403, "of a single-page app"


def test_a_folder_that_may_not_be_read_is_refused_when_the_app_is_made(public_folder: Path) -> None:
    (public_folder / "closed").mkdir(0)
    with ordinary_user(), pytest.raises(UsageError, match="may not be read"):
        StaticFiles(public_folder / "closed")


def take_all_descriptors(taken: list[int]) -> None:
    with suppress(OSError):
        while True:
            taken.append(os.open("/", os.O_RDONLY))


def test_no_descriptor_left_gives_503(folder: Path) -> None:
    import resource

    app = StaticFiles(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    try:
        take_all_descriptors(taken)
        answers = [call(app, path) for path in ("/ten.txt", "/large.bin")]
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [answer.status for answer in answers] == [503, 503]
    assert call(app, "/ten.txt").status == 200


@pytest.mark.attack(
    "Files and races",
    "So many connections that a folder's index cannot be opened, and the folder would be listed instead",
    "503; only a folder without an index is listed",
)
def test_a_folder_whose_index_cannot_be_opened_now_gives_503_and_no_listing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.open

    def open_all_but_the_index(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if path == b"index.html":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return original(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", open_all_but_the_index)
    assert call(StaticFiles(folder, listing=True), "/").status == 503
    assert call(StaticFiles(folder, listing=True), "/empty/").status == 200
    assert call(StaticFiles(folder, spa=True), "/route").status == 503


@pytest.mark.parametrize(
    "name",
    [b"a b?c#d%.txt", b"back\\slash", b"\xff\xfe", "grüße".encode(), b'"<&>\n', b"n" * 255, b"a;b,c:d"],
)
def test_any_name_that_the_system_has_can_be_asked_for(folder: Path, name: bytes) -> None:
    (folder / os.fsdecode(name)).write_bytes(b"here")
    assert call(StaticFiles(folder), "/" + quote(name)).body == b"here"


@pytest.mark.parametrize(
    ("script_name", "path", "location"),
    [
        ("", "/sub", "/sub/"),
        ("", "/sub?a=1&b=%20", "/sub/?a=1&b=%20"),
        ("/files", "/sub?x", "/files/sub/?x"),
        ("/files", "", "/files/"),
        ("/files", "?q=1", "/files/?q=1"),
        ("/", "/sub", "/sub/"),
        ("//evil.example", "/sub", "/evil.example/sub/"),
        ("/a b", "/sub", "/a%20b/sub/"),
    ],
)
def test_a_folder_without_its_slash_is_redirected(
    app: StaticFiles, script_name: str, path: str, location: str
) -> None:
    made = environ(path, script_name=script_name)
    answer = call_unchecked(app, made)
    assert (answer.status, answer["Location"]) == (308, location)


def test_a_redirect_cannot_become_another_host_or_header(folder: Path) -> None:
    for name in ("\\evil.example", "evil\r\nX: y", "@evil.example"):
        (folder / name).mkdir()
        (folder / name / "index.html").touch()
    app = StaticFiles(folder)
    for name in ("%5cevil.example", "evil%0d%0aX:%20y", "@evil.example"):
        location = call(app, f"/{name}")["Location"]
        assert location.startswith("/")
        assert location[1] not in "/\\"
        assert location.isascii()
        assert location.isprintable()
    made = environ("/sub") | {"QUERY_STRING": "a\r\nX: y\u00ff "}
    assert call_unchecked(app, made)["Location"] == "/sub/?a%0D%0AX:%20y%FF%20"


def test_an_empty_path_at_the_root_is_the_root(app: StaticFiles) -> None:
    assert call_unchecked(app, environ("")).body == b"<h1>home</h1>"
    made = environ("")
    del made["PATH_INFO"], made["SCRIPT_NAME"]
    assert call_unchecked(app, made).body == b"<h1>home</h1>"


def test_the_index_can_be_another_or_none(folder: Path) -> None:
    assert call(StaticFiles(folder, index="ten.txt"), "/").body == b"0123456789"
    assert call(StaticFiles(folder, index=None), "/").status == 404
    assert call(StaticFiles(folder, index=None), "/sub").status == 404


def test_the_folders_own_404_page_is_sent(app: StaticFiles, folder: Path) -> None:
    (folder / "404.html").write_text("lost")
    answer = call(app, "/none", if_none_match="*", range="bytes=0-0")
    assert (answer.status, answer.body, answer["Content-Type"]) == (404, b"lost", "text/html; charset=utf-8")
    assert call(app, "/none", "HEAD").headers == answer.headers


def test_own_headers_are_sent_with_files(folder: Path) -> None:
    app = StaticFiles(folder, headers={"Access-Control-Allow-Origin": "*"}, max_age=60)
    answer = call(app, "/ten.txt")
    assert answer["Access-Control-Allow-Origin"] == "*"
    assert answer["Cache-Control"] == "public, max-age=60"
    assert call(app, "/ten.txt", if_none_match=answer["ETag"])["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nb"}, {"X\n": "a"}, {"": "a"}, {"X": "\u0416"}, {"X": "\0"}, {"etag": '"a"'}]
)
def test_a_header_that_may_not_be_sent_is_refused(folder: Path, headers: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"^The header "):
        StaticFiles(folder, headers=headers)


def test_a_missing_folder_is_named_when_the_app_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The folder .*/none does not exist"):
        StaticFiles(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file, not a folder"):
        StaticFiles(tmp_path / "file")


def test_a_folder_that_goes_away_gives_404(folder: Path) -> None:
    app = StaticFiles(folder, listing=True)
    folder.rename(folder.parent / "away")
    for path in ("/ten.txt", "/", "/sub"):
        assert call(app, path).status == 404


PIECES = st.sampled_from(
    [
        "/",
        "..",
        ".",
        "sub",
        "up",
        "out",
        "secret.txt",
        "ten.txt",
        "index.html",
        "\0",
        "\\",
        "%2e",
        "\xff",
        "é",
    ]
)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> list[StaticFiles]:
    """Apps for a folder; everything outside it contains the word secret."""
    root = tmp_path_factory.mktemp("watched") / "site"
    (root / "sub").mkdir(parents=True)
    (root / "ten.txt").write_text("0123456789")
    (root / "sub" / "index.html").write_text("inside")
    (root.parent / "secret.txt").write_text("secret")
    (root / "out").symlink_to("..")
    (root / "sub" / "up").symlink_to("../../secret.txt")
    return [StaticFiles(root), StaticFiles(root, listing=True)]


@given(
    path=st.one_of(
        st.lists(PIECES, max_size=12).map("".join),
        st.lists(PIECES, max_size=6).map("/".join),
        st.text(),
        st.text(string.printable).map(lambda text: "/" + text),
    ),
    method=st.sampled_from(["GET", "HEAD", "OPTIONS", "POST"]),
    query=st.text(st.characters(max_codepoint=255)),
)
@example(path="/../secret.txt", method="GET", query="")
@example(path="/out/secret.txt", method="GET", query="")
@example(path="/.webdemo/../secret.txt", method="GET", query="")
def test_no_path_raises_or_leaves_the_root(
    watched: list[StaticFiles], path: str, method: str, query: str
) -> None:
    for app in watched:
        made = environ("/", method) | {"PATH_INFO": path, "QUERY_STRING": query}
        answer = call_unchecked(app, made)
        assert answer.status in (200, 204, 308, 404, 405)
        assert b"secret" not in answer.body or b"secret.txt" in path.encode()
        assert answer.body != b"secret"


def test_file_whose_name_begins_with_two_dots_is_served_and_such_a_folder_is_not(folder: Path) -> None:
    (folder / "..two-dots.txt").write_text("two")
    (folder / "sub" / "...txt").write_text("three")
    (folder / "..data").mkdir()
    (folder / "..data" / "x").write_text("x")
    app = StaticFiles(folder, listing=True, index=None)
    assert call(app, "/..two-dots.txt").body == b"two"
    assert call(app, "/sub/...txt").body == b"three"
    for target in ("/..data", "/..data/", "/..data/x", "/sub/..", "/.."):
        assert call(app, target).status == 404
    page = call(app, "/").body
    assert b"..two-dots.txt" in page
    assert b"..data" not in page
