"""Gives the app a chunked request body as it would get one of known length. Runs in the server processes.

PEP 3333 has no way to say how long such a body is, so many apps and frameworks take it for empty. Waitress
receives it whole before it calls the app, and sets CONTENT_LENGTH; here every server does.
"""

from __future__ import annotations

from collections.abc import Iterable
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING

from webdemo.middleware.plain_response import respond
from webdemo.text import format_size

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LARGEST = 1 << 30  # as in Waitress
_LARGEST_IN_MEMORY = 1 << 19
_PIECE = 1 << 16


class _Body(SpooledTemporaryFile[bytes]):
    """In memory, or on disk beyond a size; deleted with the environ that holds it."""

    def __del__(self) -> None:
        self.close()


def buffered(app: WSGIApplication, largest: int = LARGEST) -> WSGIApplication:
    """WSGI middleware for requests with a chunked body: the app gets it with its CONTENT_LENGTH.

    A larger body is answered with 413. The error of a body that is malformed, or cut off, is raised on.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        source = environ["wsgi.input"]
        body, length = _Body(_LARGEST_IN_MEMORY), 0
        while piece := source.read(_PIECE):
            length += len(piece)
            if length > largest:
                text = f"The body is too large: a chunked one may have {format_size(largest)}.\n"
                return respond(environ, start_response, "413 Content Too Large", text.encode())
            body.write(piece)
        body.seek(0)
        del environ["HTTP_TRANSFER_ENCODING"]
        environ.update({"CONTENT_LENGTH": str(length), "wsgi.input": body, "wsgi.input_terminated": True})
        return app(environ, start_response)

    return answer
