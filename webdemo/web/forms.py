"""Multipart forms (RFC 7578), parsed by the library `multipart`.

A malformed body is an empty form, as it is to Werkzeug's parser.
"""

from __future__ import annotations

from typing import IO, Any

from multipart import ParserLimitReached, PushMultipartParser
from werkzeug.datastructures import FileStorage, Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

_BLOCK_BYTES = 64 * 1024
_CHARSETS = ("ascii", "us-ascii", "utf-8", "iso-8859-1")


class FormParser(FormDataParser):
    """Werkzeug's parser of forms, with a faster one for multipart."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> Any:
        if mimetype != "multipart/form-data":
            return super().parse(stream, mimetype, content_length, options)
        try:
            fields, files = self._parse_parts(stream, content_length, (options or {}).get("boundary", ""))
        except ParserLimitReached:
            raise RequestEntityTooLarge from None
        except ValueError:  # malformed; the rest is read nevertheless, to tell whether the client is there
            while stream.read(_BLOCK_BYTES):
                pass
            fields, files = [], []
        return stream, self.cls(fields), self.cls(files)

    def _parse_parts(
        self, stream: IO[bytes], content_length: int | None, boundary: str
    ) -> tuple[list[tuple[str, str]], list[tuple[str, FileStorage]]]:
        """The fields and files. Raises ValueError for a malformed body."""
        fields, files = [], []
        part: Any = None
        file: IO[bytes] | None = None
        text: list[bytes] = []
        limit = self.max_form_memory_size
        parser = PushMultipartParser(
            boundary.encode("ascii"),
            max_segment_count=float("inf") if self.max_form_parts is None else self.max_form_parts,
        )
        while block := stream.read(_BLOCK_BYTES):
            for event in parser.parse(block):
                if type(event) is bytes:
                    if file is not None:
                        file.write(event)
                        continue
                    text.append(event)
                    if limit is not None and part.bytes_received > limit:
                        raise RequestEntityTooLarge(f"The field {part.name!r} is over {limit:,} bytes.")
                elif event is not None:
                    part, text = event, []
                    if part.filename is None and "filename*" in part["Content-Disposition"]:  # older clients
                        part.filename = parse_options_header(part["Content-Disposition"])[1].get("filename")
                    file = None if part.filename is None else self._open(part, content_length)
                elif file is not None:
                    file.seek(0)
                    headers = Headers()
                    for name, value in part.headerlist:
                        headers.add(name, value)
                    files.append((part.name, FileStorage(file, part.filename, part.name, headers=headers)))
                else:
                    charset = part.charset if part.charset in _CHARSETS else "utf-8"
                    fields.append((part.name, b"".join(text).decode(charset, "replace")))
        parser.close()  # raises MultipartError if the end is missing
        return fields, files

    def _open(self, part: Any, content_length: int | None) -> IO[bytes]:
        return self.stream_factory(
            total_content_length=content_length,
            filename=part.filename,
            content_type=part.content_type,
            content_length=None,
        )
