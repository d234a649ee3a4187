"""The demo site: its routes and their data. Runs in server processes.

Pages are in templates/, assets in static/.
"""

from __future__ import annotations

from webdemo.demo.site import make_app

__all__ = ["app", "make_app"]

app = make_app()
