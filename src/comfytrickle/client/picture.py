"""A picture of a stream, as it came over the WebSocket."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from comfytrickle.errors import InvalidInput
from comfytrickle.frame_message import HEADER_BYTES, MARKED, NO_PTS, Kind, Side, unpack

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture; a notebook shows it by itself.

    ``side``: "in", "out" or "both" (the source's in the left half, the workflow's in the right).
    ``seq`` grows; what is missing was not shown. ``pts``: 90 kHz, None: not known. ``time``:
    seconds by the sender's clock, when its frame was sent; None for a stream with a source channel.
    ``received``: seconds by this machine's clock (``time.time()``). ``width``, ``height``: pixels.
    ``marked``: no workflow made it; it stands for one that failed, or loads.
    """

    side: str
    seq: int
    pts: int | None
    time: float | None
    received: float
    width: int
    height: int
    marked: bool
    jpeg: bytes = field(repr=False)

    @classmethod
    def parse(cls, message: bytes, received: float) -> Picture:
        """Of a frame message. Raises InvalidInput for what is none, or has no JPEG in it."""
        header = unpack(message)
        if header.kind != Kind.JPEG:
            raise InvalidInput("kind", f"is {header.kind}; a picture comes as {Kind.JPEG:d}, JPEG")
        if header.side not in tuple(Side):
            raise InvalidInput("side", f"is {header.side}")
        return cls(
            side=Side(header.side).name.lower(),
            seq=header.seq,
            pts=None if header.pts == NO_PTS else header.pts,
            time=header.time or None,
            received=received,
            width=header.width,
            height=header.height,
            marked=bool(header.flags & MARKED),
            jpeg=message[HEADER_BYTES:],
        )

    def image(self) -> Image:
        """Decoded by Pillow, mode RGB."""
        from PIL import Image  # only who decodes needs it

        return Image.open(io.BytesIO(self.jpeg)).convert("RGB")

    def rgb(self) -> npt.NDArray[np.uint8]:
        """Decoded: uint8 [height, width, 3], writable."""
        import numpy as np

        return np.array(self.image())

    def _repr_jpeg_(self) -> bytes:
        """IPython's rich display."""
        return self.jpeg
