"""The files of the page, read once: what is not in the folder cannot be asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent / "web"
INDEX = "index.html"

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class PageFile(msgspec.Struct, frozen=True):
    """``etag`` changes with the content."""

    path: str  # below the folder, with "/"
    content_type: str
    body: bytes
    etag: str


def read_page(folder: Path = FOLDER) -> list[PageFile]:
    """Every file of a kind that a browser is given. Raises OSError."""
    return [
        PageFile(
            str(path.relative_to(folder)),
            _TYPES[path.suffix],
            body := path.read_bytes(),
            hashlib.sha256(body).hexdigest()[:20],
        )
        for path in sorted(folder.rglob("*"))
        if path.suffix in _TYPES
    ]
