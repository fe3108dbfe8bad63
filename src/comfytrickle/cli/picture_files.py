"""The workflow in a file: plain text, or inside a PNG, where ComfyUI's SaveImage puts it. Pure.

SaveImage writes the graph that it ran, in API format, as the PNG text chunk ``prompt``; the chunk
``workflow`` beside it is the editor's own format, which lays a graph out and does not run. Chunks:
PNG specification (third edition), 5.3 and 11.3.3.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_OTHERS = {
    b"\xff\xd8\xff": "a JPEG",
    b"RIFF": "a WebP",
    b"GIF8": "a GIF",
}
_KEYWORD = b"prompt"
_TEXT_MAX = 8 << 20  # bytes; no server takes more
_HINT = "export the workflow in API format (File, Export (API)), or give a PNG of SaveImage"


class NoWorkflow(Exception):
    """A picture that holds none; the text goes on after the file's name."""


def workflow_text(data: bytes) -> str:
    """The text to read as JSON. Raises NoWorkflow, and UnicodeDecodeError for what is no text."""
    if data.startswith(_PNG):
        return _from_png(data)
    for magic, what in _OTHERS.items():
        if data.startswith(magic):
            raise NoWorkflow(f"is {what}, and only PNGs hold a workflow that can be read: {_HINT}")
    return data.decode("utf-8-sig")


def _from_png(data: bytes) -> str:
    other = False
    for keyword, text in _texts(data):
        if keyword == _KEYWORD:
            return text.decode("utf-8")
        other = other or keyword == b"workflow"
    if other:
        raise NoWorkflow(
            f"is a PNG with the editor's own format alone, which does not run: {_HINT}"
        )
    raise NoWorkflow(f"is a PNG without a workflow in it: {_HINT}")


def _texts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keyword and text of each tEXt, zTXt and iTXt chunk. One that is cut off ends them."""
    at = len(_PNG)
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        at += size + 12  # with the CRC
        if kind not in (b"tEXt", b"zTXt", b"iTXt") or len(body) < size:
            continue
        keyword, _, rest = body.partition(b"\0")
        if kind == b"tEXt":
            yield keyword, rest.decode("latin-1").encode()
        elif kind == b"zTXt":
            yield keyword, _inflate(rest[1:]).decode("latin-1").encode()
        else:
            compressed, rest = rest[:1] == b"\1", rest[2:]
            text = rest.split(b"\0", 2)[-1]  # after language and translated keyword
            yield keyword, _inflate(text) if compressed else text


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, _TEXT_MAX)
    except zlib.error as error:
        raise NoWorkflow(f"is a damaged PNG: {error}") from error
