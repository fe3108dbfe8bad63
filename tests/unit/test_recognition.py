"""When a source is known to be no video. Source: workers/stages/recognition.py's own rules."""

from __future__ import annotations

from comfytrickle.mpegts.units import ElementaryStream
from workers.stages.recognition import (
    NO_PROGRAM_BYTES,
    NO_PROGRAM_SEGMENTS,
    NO_VIDEO_S,
    Recognition,
)

VIDEO = ElementaryStream(0x100, 0x1B, "video", "h264")
SOUND = ElementaryStream(0x101, 0x0F, "audio", "aac")
UNKNOWN = ElementaryStream(0x102, 0x33, "data", None)


def test_silence_is_no_problem() -> None:
    source = Recognition()
    assert source.problem([], 1e9) is None
    assert source.problem([], 1e9, ended=True) is None  # an empty channel


def test_no_program_is_known_by_segments_or_bytes_or_the_end() -> None:
    source = Recognition()
    source.segment_began("application/json")
    source.took(100, 0.0)
    assert source.problem([], NO_VIDEO_S * 9) is None  # slow is not wrong
    assert "100 bytes" in (source.problem([], 1.0, ended=True) or "")
    for _ in range(NO_PROGRAM_SEGMENTS):
        assert source.problem([], 1.0) is None
        source.segment_ended()
    said = source.problem([], 1.0) or ""
    assert "not an MPEG transport stream" in said and "application/json" in said

    flood = Recognition()
    flood.took(NO_PROGRAM_BYTES, 0.0)
    assert flood.problem([], 0.0) is None
    flood.took(1, 0.0)
    assert flood.problem([], 0.0) is not None


def test_what_is_not_known_is_waited_with_for_a_while() -> None:
    source = Recognition()
    source.took(188, 50.0)
    assert source.problem([UNKNOWN], 50.0 + NO_VIDEO_S - 0.1) is None
    said = source.problem([UNKNOWN], 50.0 + NO_VIDEO_S) or ""
    assert "no video or sound" in said and "data of type 0x33" in said
    assert source.problem([UNKNOWN], 50.1, ended=True) is not None


def test_sound_alone_will_do() -> None:
    source = Recognition()
    source.took(188, 50.0)
    for ended in (False, True):
        assert source.problem([SOUND, UNKNOWN], 3600.0, ended=ended) is None


def test_announced_video_may_pause() -> None:
    source = Recognition()
    source.took(188, 0.0)
    for ended in (False, True):
        assert source.problem([SOUND, VIDEO], 3600.0, ended=ended) is None
