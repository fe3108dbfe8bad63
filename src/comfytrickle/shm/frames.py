"""What is said of a frame that crosses between a worker and its parent."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from comfytrickle.errors import InvalidInput


class PixelFormat(IntEnum):
    """The numbers stand in shared memory. A raw format's rows are ``stride`` bytes apart."""

    RGB24 = 1
    RGBA = 2
    GRAY8 = 3
    JPEG = 16
    MESSAGE = 32  # a header of its own and a picture: comfytrickle.frame_message


_U32 = (1 << 32) - 1
_BYTES_A_PIXEL = {PixelFormat.RGB24: 3, PixelFormat.RGBA: 4, PixelFormat.GRAY8: 1}


class FrameInfo(msgspec.Struct, frozen=True, gc=False):
    """The writer's part of a frame's description.

    ``pts`` is signed, of 64 bits, in units of ``time_base`` (numerator, denominator) seconds;
    sizes are in pixels, from 1; ``stride`` is in bytes, 0 for a compressed format.
    """

    pts: int
    width: int
    height: int
    pixel_format: PixelFormat
    stride: int = 0
    time_base: tuple[int, int] = (1, 90_000)

    def check(self, length: int) -> None:
        """Raises InvalidInput when ``length`` bytes cannot be such a frame."""
        numerator, denominator = self.time_base
        for field, value, least in (
            ("width", self.width, 1),
            ("height", self.height, 1),
            ("stride", self.stride, 0),
            ("time_base", numerator, 1),
            ("time_base", denominator, 1),
        ):
            if not least <= value <= _U32:
                raise InvalidInput(field, f"{value} is not from {least} to {_U32}")
        if not -(1 << 63) <= self.pts < 1 << 63:
            raise InvalidInput("pts", f"{self.pts} does not fit into 64 bits")
        pixel = _BYTES_A_PIXEL.get(self.pixel_format)
        if pixel is None:
            if self.stride:
                raise InvalidInput("stride", f"{self._name} has no rows: 0, not {self.stride}")
        elif self.stride < pixel * self.width:
            raise InvalidInput(
                "stride", f"{self.stride} bytes hold no {self.width} pixels of {self._name}"
            )
        elif length != self.stride * self.height:
            raise InvalidInput(
                "length",
                f"{length} bytes are not {self.height} rows of {self.stride} ({self._name})",
            )

    @property
    def _name(self) -> str:
        return self.pixel_format.name.lower()


class FrameHeader(msgspec.Struct, frozen=True, gc=False):
    """A frame's description as it is read.

    ``sequence`` counts what was ever written to the ring, from 0 and over all its writers: a gap
    is frames that were overwritten. ``time_ns`` is time.monotonic_ns() of the commit, which all
    processes of a machine share. ``length`` is in bytes.
    """

    sequence: int
    info: FrameInfo
    length: int
    time_ns: int


class Frame(msgspec.Struct, frozen=True, gc=False):
    header: FrameHeader
    data: bytes
