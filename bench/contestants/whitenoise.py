"""WhiteNoise as in production: it scans the files once, at start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.exceptions import NotFound
from whitenoise import WhiteNoise

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

DISTRIBUTION = "whitenoise"


def files(folder: Path) -> WSGIApplication:
    app: WSGIApplication = WhiteNoise(NotFound(), root=str(folder), prefix="/static")
    return app
