"""`webdemo assets publish`: the fingerprinted files of a release, for the hosts that serve another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from webdemo.config.planning import make_mounts, make_target, release_name
from webdemo.config.settings import Settings
from webdemo.config.sources import read_settings
from webdemo.errors import UsageError
from webdemo.web.static.app import StaticFiles
from webdemo.web.static.archive import publish as publish_release
from webdemo.worker.app_import import load

_MB = 1_000_000


@click.group(no_args_is_help=False)
def assets() -> None:
    """Publish a release's assets for hosts that serve another one."""


@assets.command()
@click.option(
    "--keep",
    default=5,
    show_default=True,
    type=click.IntRange(2),
    metavar="N",
    help="How many releases to keep.",
)
@click.option(
    "--max-size",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    metavar="MB",
    help="How large the archive may become; old releases are removed for it.",
)
@click.pass_obj
def publish(flags: dict[str, Any], keep: int, max_size: int) -> None:
    """Add this release's fingerprinted files to the archive.

    Run it before any host switches to the release. The files are those of the --static folders and of the
    app's own StaticFiles, for which the app is loaded: webdemo --app shop:app --assets-archive
    /srv/shop/assets assets publish
    """
    settings = read_settings(flags).settings
    if not settings.assets_archive:
        raise UsageError("There is no archive to publish to.", remedy="Give its folder: --assets-archive DIR")
    release = release_name(settings)
    if not release:
        raise UsageError("This release has no name.", remedy="Give it one: --release 5f1c0a9")
    sites = _sites(settings)
    if not sites:
        raise UsageError(
            "The app has no static files that webdemo serves.",
            remedy="Give the folder: --static /static/=DIR",
        )
    done = publish_release(Path(settings.assets_archive), release, sites, keep=keep, max_bytes=max_size * _MB)
    click.echo(
        f"Release {release} is in {settings.assets_archive}. "
        f"Files: {done.files}. Added: {done.added_bytes:,} bytes."
    )
    for name in done.removed:
        click.echo(f"Removed: release {name}.")


def _sites(settings: Settings) -> dict[str, StaticFiles]:
    """What serves static files, by prefix as in PATH_INFO; imports the app."""
    from webdemo.web.app import App

    immutable = settings.immutable or None
    if settings.directory:
        found = {"/": StaticFiles(settings.directory, immutable=immutable)}
    else:
        app = load(make_target(settings)).app
        found = app.static_apps() if isinstance(app, App) else {}
    for mount in sorted(make_mounts(settings), key=lambda mount: len(mount.prefix)):  # the longest wins
        prefix = mount.prefix.encode().decode("latin-1")
        found[prefix] = StaticFiles(mount.folder, immutable=immutable)
    return found
