"""Any media file as pieces of a transport stream.

What MPEG-TS carries is passed on untouched (H.264 and H.265 as Annex B, AAC as ADTS); the rest is
transcoded to H.264 and AAC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
from av.bitstream import BitStreamFilterContext

from comfytrickle.errors import InvalidInput
from comfytrickle.mpegts.adts import AdtsFramer
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.units import CLOCK, ElementaryStream
from comfytrickle.testsrc.aac import FRAME_SAMPLES
from comfytrickle.testsrc.clip import AUDIO_PID, STREAMS, VIDEO_PID
from comfytrickle.testsrc.encoder import EncodedFrame
from comfytrickle.testsrc.sources import Chunk
from comfytrickle.testsrc.transcode import AacTranscoder, H264Transcoder

_VIDEO_TYPES = {"mpeg1video": 0x01, "mpeg2video": 0x02, "h264": 0x1B, "hevc": 0x24}
_AUDIO_TYPES = {"mp2": 0x03, "mp3": 0x03, "aac": 0x0F, "ac3": 0x81}
_ANNEX_B = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}


class _Converter(Protocol):
    """From packets of the file to access units; None flushes."""

    stream: ElementaryStream

    def convert(self, packet: av.Packet[Any] | None) -> list[EncodedFrame]: ...


def file_chunks(path: Path, loop: bool = False, segment_s: float = 1.0) -> Iterator[Chunk]:
    """The first video and the first audio stream of ``path``, in decoding order.

    A segment begins at a keyframe, at least half of ``segment_s`` seconds after the one before
    (a file of keyframes alone would else have a segment per frame); where there is sound alone,
    every ``segment_s`` seconds. ``loop`` starts over for ever, timestamps going on. Raises
    InvalidInput for a file that cannot be opened, or has neither video nor sound.
    """
    muxer: Muxer | None = None
    offset: int | None = None  # added to the file's own times
    end = CLOCK
    segment_began: int | None = None
    while True:
        first = True
        try:
            with av.open(str(path), options={"fflags": "+genpts"}) as container:
                converters = _converters(container)
                lead = next(iter(converters.values())).stream  # the video, where there is one
                apart = segment_s * CLOCK / (2 if lead.kind == "video" else 1)
                if muxer is None:
                    muxer = Muxer([c.stream for c in converters.values()])
                for converter, unit in _units(container, converters):
                    if first:
                        first, offset = False, end - unit.dts
                    assert offset is not None
                    pts, dts = unit.pts + offset, unit.dts + offset
                    leads = converter.stream is lead
                    begins = leads and unit.keyframe
                    if begins and segment_began is not None:
                        begins = dts - segment_began >= apart
                    if begins:
                        segment_began = dts
                    tables = muxer.tables() if begins else b""
                    pid, keyframe = converter.stream.pid, unit.keyframe
                    data = muxer.write(pid, unit.data, pts, dts, keyframe=keyframe)
                    yield Chunk(tables + data, dts, pts, pid == VIDEO_PID, begins)
                    if leads:
                        end = max(end, dts + _frame_ticks(container))
        except av.FFmpegError as error:
            raise InvalidInput("file", f"{path}: {error.strerror or error}") from error
        if first:
            raise InvalidInput("file", f"{path}: holds no frame and no sound")
        if not loop:
            return


def _frame_ticks(container: av.container.InputContainer) -> int:
    """How long the last frame, or unit of sound, lasts."""
    video = _video(container)
    if video is not None:
        return round(CLOCK / (video.average_rate or Fraction(30)))
    sound = container.streams.audio[0].codec_context
    return (sound.frame_size or FRAME_SAMPLES) * CLOCK // (sound.sample_rate or 48_000)


def _video(container: av.container.InputContainer) -> av.VideoStream | None:
    """The first video stream that is not the cover of a record."""
    cover = av.stream.Disposition.attached_pic
    return next((v for v in container.streams.video if not v.disposition & cover), None)


def _converters(container: av.container.InputContainer) -> dict[int, _Converter]:
    video = _video(container)
    if video is None and not container.streams.audio:
        raise InvalidInput("file", f"{container.name}: neither video nor sound in it")
    out: dict[int, _Converter] = {}
    if video is not None:
        name = video.codec_context.name
        if name in _VIDEO_TYPES:
            out[video.index] = _Copy(video, VIDEO_PID, _VIDEO_TYPES[name])
        else:
            out[video.index] = H264Transcoder(video, STREAMS["h264"])
    if container.streams.audio:
        audio = container.streams.audio[0]
        name = audio.codec_context.codec.canonical_name  # not its decoder's, as mp3float
        if name in _AUDIO_TYPES:
            out[audio.index] = _Copy(audio, AUDIO_PID, _AUDIO_TYPES[name])
        else:
            out[audio.index] = AacTranscoder(audio, STREAMS["aac"])
    return out


def _units(
    container: av.container.InputContainer, converters: dict[int, _Converter]
) -> Iterator[tuple[_Converter, EncodedFrame]]:
    for packet in container.demux([container.streams[i] for i in converters]):
        if packet.size:  # the empty ones only say that the file ended
            converter = converters[packet.stream_index]
            for unit in converter.convert(packet):
                yield converter, unit
    for converter in converters.values():
        for unit in converter.convert(None):
            yield converter, unit


class _Copy:
    """Passes access units on; only their packaging changes."""

    def __init__(self, stream: Any, pid: int, stream_type: int) -> None:
        codec = stream.codec_context.codec.canonical_name
        self.stream = ElementaryStream(pid, stream_type, stream.type, codec)
        self._filter: BitStreamFilterContext | None = None
        self._frame: Callable[[bytes], bytes] = bytes
        if codec in _ANNEX_B:
            self._filter = BitStreamFilterContext(_ANNEX_B[codec], stream)
        elif codec == "aac" and stream.codec_context.extradata:
            # without a configuration beside them, the frames have ADTS headers already
            self._frame = AdtsFramer(stream.codec_context.extradata).frame

    def convert(self, packet: av.Packet[Any] | None) -> list[EncodedFrame]:
        if self._filter is not None:
            packets = self._filter.filter(packet)
        else:
            packets = [packet] if packet is not None else []
        return [self._unit(p) for p in packets]

    def _unit(self, packet: av.Packet[Any]) -> EncodedFrame:
        pts = packet.pts if packet.pts is not None else packet.dts
        dts = packet.dts if packet.dts is not None else packet.pts
        if pts is None or dts is None:
            raise InvalidInput("file", "a frame without a timestamp")
        scale = packet.time_base * CLOCK
        data = self._frame(bytes(packet))
        return EncodedFrame(data, int(pts * scale), int(dts * scale), packet.is_keyframe)
