"""Whether NVENC works on this worker's device; found out by trying, once."""

from __future__ import annotations

from fractions import Fraction

import av

from workers.media.encode_options import EncoderSetup

_SIZE = 256  # above the smallest picture that any generation of NVENC takes


class NvencProbe:
    """Remembers the answer for the process that holds it; hand one object to all its encoders.

    A probe opens a CUDA context, so nothing is tried before it is asked.
    """

    def __init__(self) -> None:
        self._tried = False
        self._reason: str | None = None

    def why_not(self, setup: EncoderSetup) -> str | None:
        """None if an encoder with ``setup`` opens and takes a frame here, else the reason."""
        if not self._tried:
            self._reason = _try(setup)
            self._tried = True
        return self._reason


def _try(setup: EncoderSetup) -> str | None:
    try:
        context = av.CodecContext.create(setup.name, "w")
    except ValueError:  # av's UnknownCodecError is one
        return f"this build of PyAV has no {setup.name}"
    if not isinstance(context, av.VideoCodecContext):
        return f"{setup.name} is not a video encoder"
    context.width = context.height = _SIZE
    context.pix_fmt = setup.pix_fmt
    context.time_base = Fraction(1, 90_000)
    context.options = dict(setup.options)
    try:
        context.open()
        context.encode(av.VideoFrame(_SIZE, _SIZE, setup.pix_fmt))
        context.encode(None)
    except av.FFmpegError as error:
        return f"{setup.name} does not open on this device: {error.strerror}"
    return None
