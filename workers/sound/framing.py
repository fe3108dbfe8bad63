"""The coded frames in the PES packets of a sound track. Pure.

Most muxers put whole frames in a PES packet; ISO/IEC 13818-1 (2.4.3.6) asks only that the timestamp
be that of the first frame that begins in it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from workers.sound import headers
from workers.sound.errors import BadSound, UnsupportedSound
from workers.sound.opus import opus_channels

__all__ = ["BadSound", "CodedFrame", "Splitter", "Stamped", "split"]

# By codec as stream_types names it: the parser, and the byte that every frame begins with.
_CODECS: dict[str, tuple[headers.Parser, bytes]] = {
    "aac": (headers.adts, b"\xff"),
    "aac_latm": (headers.loas, b"\x56"),
    "mp2": (headers.mpeg_audio, b"\xff"),
    "mp3": (headers.mpeg_audio, b"\xff"),
    "ac3": (headers.ac3, b"\x0b"),
    "eac3": (headers.ac3, b"\x0b"),
    "opus": (headers.opus, b"\x7f"),
}


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """One frame as it stands in the PES packet; its first ``skip`` bytes are not for a decoder.

    ``samples`` per channel at ``rate``, for AAC those of the core (HE-AAC sounds at twice the
    rate, for the same time). ``rate`` 0: not known without decoding (aac_latm). ``channels`` 0:
    told only within the frame. ``samples`` 0 with a rate: extends the frame before it.
    """

    data: bytes
    samples: int
    rate: int
    channels: int
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Stamped:
    """``pts`` is that of the PES packet, for the first frame that begins in it; else None."""

    frame: CodedFrame
    pts: int | None


def split(codec: str, data: bytes, descriptors: bytes = b"") -> list[CodedFrame]:
    """The frames of a payload that holds nothing but whole frames, each with its rate.

    Raises BadSound for anything else, also for a codec whose frames do not tell how long they are.
    """
    try:
        splitter = Splitter(codec, descriptors)
    except UnsupportedSound as error:
        raise BadSound(str(error)) from error
    frames: list[CodedFrame] = []
    at = 0
    while at < len(data):
        header = splitter.parse(data, at)
        if header is None or at + header.length > len(data):
            raise BadSound(f"a frame of {codec} is cut off")
        if not header.rate:
            raise BadSound(f"a frame of {codec} does not tell how long it is")
        frames.append(splitter.coded(data, at, header))
        at += header.length
    return frames


class Splitter:
    """Finds the frames of one track, also where they run over from one PES packet to the next.

    ``descriptors`` are the stream's (Opus tells its channels there). ``damaged`` counts the places
    where bytes were not a frame and had to be skipped; what stands before the first frame of all
    is none. What is kept is at most one frame.
    Raises UnsupportedSound for a codec that is not known here.
    """

    def __init__(self, codec: str, descriptors: bytes = b"") -> None:
        known = _CODECS.get(codec)
        if known is None:
            raise UnsupportedSound(f"no framing for {codec!r}")
        self.parse, self._sync = known
        self._channels = opus_channels(descriptors) if codec == "opus" else 0
        self.damaged = 0
        self._rest = b""
        self._marks: deque[tuple[int, int | None]] = deque()  # where in _rest a payload begins
        self._lost = True

    def feed(self, data: bytes, pts: int | None = None) -> list[Stamped]:
        """The frames that the payload ``data`` completes, each at once."""
        if not data:
            return []
        self._marks.append((len(self._rest), pts))
        data = self._rest + data
        frames: list[Stamped] = []
        at = 0
        while at < len(data):
            try:
                header = self.parse(data, at)
                whole = header is not None and at + header.length <= len(data)
                if header is None or not whole:
                    break
                self._expect(data, at + header.length)
            except BadSound:
                self._lose()
                found = data.find(self._sync, at + 1)
                at = found if found >= 0 else len(data)
                continue
            frames.append(Stamped(self.coded(data, at, header), self._stamp(at)))
            self._lost = False
            at += header.length
        self._rest = data[at:]
        self._marks = deque((place - at, pts) for place, pts in self._marks)
        if not self._rest:
            self._marks.clear()
        return frames

    def reset(self) -> None:
        """Bytes are missing before the next payload: what is unfinished never will be whole."""
        if self._rest:
            self._lose()
        self._rest = b""
        self._marks.clear()

    def coded(self, data: bytes, at: int, header: headers.Header) -> CodedFrame:
        """The frame at ``at`` with ``header``, which is all there."""
        frame = CodedFrame(
            data[at : at + header.length],
            header.samples,
            header.rate,
            header.channels,
            header.skip,
        )
        return replace(frame, channels=self._channels) if self._channels else frame

    def _expect(self, data: bytes, end: int) -> None:
        """A frame that was cut off runs into the next one, so that none begins at its end."""
        if end < len(data):
            self.parse(data, end)

    def _lose(self) -> None:
        self.damaged += not self._lost
        self._lost = True

    def _stamp(self, at: int) -> int | None:
        pts = None
        while self._marks and self._marks[0][0] <= at:
            pts = self._marks.popleft()[1]
        return pts
