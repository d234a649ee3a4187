"""Media types by file name.

The table is part of webdemo, so that a name has the same type on every platform; the system's table is
not used. Only the last suffix counts: `file.tar.gz` is a gzip file, not a tar file with a content coding.
"""

from __future__ import annotations

OCTET_STREAM = "application/octet-stream"

_COMPRESSED = {
    # data
    "parquet": "application/vnd.apache.parquet",
    # images
    "avif": "image/avif",
    "gif": "image/gif",
    "heic": "image/heic",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "jxl": "image/jxl",
    "png": "image/png",
    "apng": "image/apng",
    "webp": "image/webp",
    # audio and video
    "aac": "audio/aac",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "weba": "audio/webm",
    "avi": "video/x-msvideo",
    "m4s": "video/iso.segment",
    "m4v": "video/mp4",
    "mkv": "video/matroska",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "ogv": "video/ogg",
    "ts": "video/mp2t",
    "webm": "video/webm",
    # fonts
    "woff": "font/woff",
    "woff2": "font/woff2",
    # documents
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "epub": "application/epub+zip",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "pdf": "application/pdf",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    # archives and packages
    "br": OCTET_STREAM,
    "7z": "application/x-7z-compressed",
    "apk": "application/vnd.android.package-archive",
    "bz2": "application/x-bzip2",
    "deb": "application/vnd.debian.binary-package",
    "gz": "application/gzip",
    "jar": "application/java-archive",
    "rar": "application/vnd.rar",
    "rpm": "application/x-rpm",
    "tgz": "application/gzip",
    "whl": "application/zip",
    "xz": "application/x-xz",
    "zip": "application/zip",
    "zst": "application/zstd",
}
"""Suffixes of formats that are compressed already."""
_OTHERS = {
    # pages, style sheets, scripts
    "html": "text/html",
    "htm": "text/html",
    "xhtml": "application/xhtml+xml",
    "css": "text/css",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "cjs": "text/javascript",
    "wasm": "application/wasm",
    "webmanifest": "application/manifest+json",
    "map": "application/json",
    # data
    "json": "application/json",
    "jsonld": "application/ld+json",
    "geojson": "application/geo+json",
    "xml": "application/xml",
    "xsl": "application/xml",
    "rss": "application/rss+xml",
    "atom": "application/atom+xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "toml": "application/toml",
    "sql": "application/sql",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "sqlite": "application/vnd.sqlite3",
    # text
    "txt": "text/plain",
    "text": "text/plain",
    "log": "text/plain",
    "md": "text/markdown",
    "rst": "text/x-rst",
    "py": "text/x-python",
    "ics": "text/calendar",
    "vcf": "text/vcard",
    "vtt": "text/vtt",
    "asc": "text/plain",
    "sha256": "text/plain",
    # images
    "bmp": "image/bmp",
    "ico": "image/vnd.microsoft.icon",
    "svg": "image/svg+xml",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    # audio and video
    "mid": "audio/midi",
    "wav": "audio/wav",
    "m3u8": "application/vnd.apple.mpegurl",
    "mpd": "application/dash+xml",
    # fonts
    "otf": "font/otf",
    "ttf": "font/ttf",
    # documents
    "doc": "application/msword",
    "ppt": "application/vnd.ms-powerpoint",
    "rtf": "application/rtf",
    "xls": "application/vnd.ms-excel",
    # archives and packages
    "tar": "application/x-tar",
}
_BY_SUFFIX = _COMPRESSED | _OTHERS


def suffix(name: str) -> str:
    """The last suffix of a file name in lower case, without its dot; "" if there is none."""
    _, dot, found = name.rpartition(".")
    return found.lower() if dot else ""


def content_type(name: str) -> str:
    """The Content-Type for a file name."""
    return with_charset(_BY_SUFFIX.get(suffix(name), OCTET_STREAM))


def with_charset(media_type: str) -> str:
    """The media type with charset=utf-8, if it is text without parameters."""
    is_plain_text = media_type.startswith("text/") and ";" not in media_type
    return f"{media_type}; charset=utf-8" if is_plain_text else media_type


def is_compressed(name: str) -> bool:
    """Whether the format of a file with this name is already compressed."""
    return suffix(name) in _COMPRESSED
