"""Runs servers without a suitable command: `python -m bench.serve SERVER MODULE PORT [FOLDER]`.

Serves the module's `pages()`, or its `files(FOLDER)`, as the server's documentation says, without an access
log, like the others.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands import THREADS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def main() -> None:
    server, name, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    module = import_module(name)
    app: WSGIApplication = module.files(Path(sys.argv[4])) if len(sys.argv) > 4 else module.pages()
    if server == "werkzeug":
        from werkzeug.serving import run_simple

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        run_simple("127.0.0.1", port, app, threaded=True)
    elif server == "waitress":
        import waitress

        waitress.serve(app, host="127.0.0.1", port=port, threads=THREADS)
    else:
        raise SystemExit(f"bench.serve knows no server {server}")


if __name__ == "__main__":
    main()
