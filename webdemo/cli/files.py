"""`webdemo compress`: precompressed siblings of a folder's files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import click

from webdemo.web.static.compress import Summary, codings
from webdemo.web.static.compress import compress as compress_folder


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def compress(directory: Path) -> None:
    """Create .br, .zst and .gz siblings of the files in DIRECTORY.

    They are then served in place of the files. Files that do not shrink, are compressed already or have
    fresh siblings are left alone.
    """
    _, missing = codings()
    summary = Summary()
    events = compress_folder(directory)
    first = next(events, None)  # raises for an unusable folder before the progress bar appears
    if first is not None:
        with click.progressbar(chain([first], events), length=first.total, label="Compressing") as progress:
            for event in progress:
                summary.add(event)
    click.echo(f"Files: {listed(summary.files)}. Created: {listed(summary.siblings)}.")
    if summary.size:
        share = 100 * summary.saved / summary.size
        click.echo(
            f"In the smallest encoding, a client downloads {summary.served:,} bytes "
            f"instead of {summary.size:,}: {share:.0f} % saved."
        )
    if missing:
        click.echo(f"Not created: {', '.join(missing)}. To enable them: pip install 'webdemo[compress]'")


def listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
