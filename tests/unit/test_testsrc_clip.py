"""Clips and file sources: what is in them, as another demuxer and decoder see it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from comfytrickle.errors import InvalidInput
from comfytrickle.mpegts.adts import AdtsFramer
from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.units import CLOCK, AccessUnit
from comfytrickle.testsrc.clip import Clip, Part, make_clip
from comfytrickle.testsrc.encoder import EncoderSpec, PictureEncoder
from comfytrickle.testsrc.files import file_chunks
from comfytrickle.testsrc.pattern import Pattern
from comfytrickle.testsrc.sources import pattern_chunks
from tests.support import clips

VARIANTS: dict[str, Callable[[], Clip]] = {
    "plain": clips.plain,
    "bframes": clips.bframes,
    "hevc": clips.hevc,
    "hevc with B-frames": lambda: clips.hevc(count=2),
    "variable rate": clips.variable_rate,
    "resolution change": clips.resolution_change,
    "pts restart": clips.pts_restart,
    "pts wrap": clips.pts_wrap,
    "audio": clips.with_audio,
    "high rate": clips.high_rate,
}


def units(clip: Clip) -> list[AccessUnit]:
    demuxer = Demuxer()
    return demuxer.feed(clip.data, 0.0) + demuxer.flush(0.0)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_clip_holds_the_frames_that_it_says(name: str) -> None:
    clip = VARIANTS[name]()
    expected = list(zip((pts for s in clip.segments for pts in s.pts), clip.counters, strict=True))
    assert clips.read_counters(clip.data) == expected
    assert clip.counters == list(range(len(expected)))


@pytest.mark.parametrize("name", VARIANTS)
def test_each_segment_decodes_alone(name: str) -> None:
    clip = VARIANTS[name]()
    assert len(clip.segments) >= 2
    for segment in clip.segments:
        assert [n for _, n in clips.read_counters(segment.data)] == segment.counters


def test_b_frames_are_really_out_of_order() -> None:
    pts = [unit.pts or 0 for unit in units(clips.bframes())]
    assert pts != sorted(pts)


def test_sizes_change() -> None:
    with av.open(io.BytesIO(clips.resolution_change().data), "r", format="mpegts") as container:
        sizes = [(f.width, f.height) for f in container.decode(video=0)]
    assert [size for size, _ in itertools.groupby(sizes)] == [(192, 128), (320, 180), (128, 192)]


def test_the_audio_is_a_440_hz_tone_as_long_as_the_video() -> None:
    with av.open(io.BytesIO(clips.with_audio(60).data), "r", format="mpegts") as container:
        frames = list(container.decode(audio=0))
    assert frames[0].pts == CLOCK
    wave = np.concatenate([f.to_ndarray()[0] for f in frames[2:]])
    assert abs(len(wave) / 48_000 - 2) < 0.15
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    assert abs(float(spectrum.argmax()) * 48_000 / len(wave) - 440) < 2


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("full_range", [True, False])
@pytest.mark.parametrize(("matrix", "tag"), [("bt601", 6), ("bt709", 1)])
def test_colour(matrix: str, tag: int, full_range: bool, tagged: bool) -> None:
    clip = clips.coloured(matrix, full_range, tagged)  # type: ignore[arg-type]
    with av.open(io.BytesIO(clip.data), "r", format="mpegts") as container:
        frame = next(iter(container.decode(video=0)))
    assert frame.colorspace == (tag if tagged else 2)
    assert frame.color_range == ((2 if full_range else 1) if tagged else 0)
    rgb = frame.reformat(
        format="rgb24",
        src_colorspace=5 if matrix == "bt601" else 1,
        src_color_range=2 if full_range else 1,
        dst_color_range=2,
    ).to_ndarray()
    expected = Pattern(clips.WIDTH, clips.HEIGHT).render(0)
    # bars, without the edges between them
    for x in range(clips.WIDTH // 14, clips.WIDTH, clips.WIDTH // 7):
        got = rgb[60, x].astype(int)
        assert np.abs(got - expected[60, x]).max() <= 6, (x, got, expected[60, x])


def test_parts_of_different_codecs_are_refused() -> None:
    with pytest.raises(ValueError, match="codec"):
        make_clip(Part(clips.spec()), Part(clips.spec(codec="hevc")))


@pytest.mark.parametrize("size", [(191, 128), (192, 127), (8, 128)])
def test_sizes_that_420_does_not_have_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="even"):
        PictureEncoder(EncoderSpec(*size))


# --- sources for publishing -------------------------------------------------------------------


def test_the_live_pattern_gives_one_chunk_a_frame() -> None:
    chunks = list(pattern_chunks(clips.spec(), 25))
    assert [c.dts for c in chunks] == [CLOCK + i * CLOCK // 30 for i in range(25)]
    assert [i for i, c in enumerate(chunks) if c.begins_segment] == [0, 10, 20]
    counters = clips.read_counters(b"".join(c.data for c in chunks))
    assert counters == [(CLOCK + i * 3000, i) for i in range(25)]


def remux(clip: Clip, path: Path) -> Path:
    """Put a clip into another container without touching its frames."""
    with (
        av.open(io.BytesIO(clip.data), "r", format="mpegts") as source,
        av.open(str(path), "w") as target,
    ):
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("name", ["audio", "bframes", "hevc", "variable rate"])
def test_a_file_of_any_container_is_passed_on_untouched(
    tmp_path: Path, suffix: str, name: str
) -> None:
    clip = VARIANTS[name]()
    path = remux(clip, tmp_path / f"clip{suffix}")
    chunks = list(file_chunks(path, segment_s=0.1))
    data = b"".join(c.data for c in chunks)
    got = clips.read_counters(data)
    assert [n for _, n in got] == clip.counters
    pts = [p for s in clip.segments for p in s.pts]
    for (p, _), q in zip(got, pts, strict=True):
        assert p is not None and abs((p - (got[0][0] or 0)) - (q - pts[0])) <= 90  # mkv has ms
    assert sum(c.begins_segment for c in chunks) == len(clip.segments)
    assert chunks[0].begins_segment or not chunks[0].video
    if name == "audio":
        with av.open(io.BytesIO(data), "r", format="mpegts") as container:
            assert sum(f.samples for f in container.decode(audio=0)) >= 40 * 1024


def test_looping_goes_on_in_time(tmp_path: Path) -> None:
    path = remux(clips.plain(20), tmp_path / "clip.mp4")
    chunks = list(itertools.islice(file_chunks(path, loop=True), 50))
    assert [c.dts - chunks[0].dts for c in chunks] == [i * 3000 for i in range(50)]
    counters = [n for _, n in clips.read_counters(b"".join(c.data for c in chunks))]
    assert counters == [i % 20 for i in range(50)]


def test_what_mpegts_does_not_carry_is_transcoded(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    pattern = Pattern(192, 128)
    with av.open(str(path), "w") as target:
        video = target.add_stream("mjpeg", rate=30, width=192, height=128, pix_fmt="yuvj420p")
        video.options = {"qscale": "2"}
        audio = target.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        for n in range(30):
            frame = av.VideoFrame.from_ndarray(pattern.render(n), format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 30)
            target.mux(video.encode(frame))
            sound = av.AudioFrame.from_ndarray(
                np.zeros((1, 2 * 1470), np.int16), format="s16", layout="stereo"
            )
            sound.sample_rate, sound.pts = 44_100, n * 1470
            target.mux(audio.encode(sound))
        target.mux(video.encode(None))
    data = b"".join(c.data for c in file_chunks(path))
    assert [n for _, n in clips.read_counters(data)] == list(range(30))
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        assert [s.codec_context.name for s in container.streams] == ["h264", "aac"]
        assert abs(sum(f.samples for f in container.decode(audio=0)) - 48_000) <= 2048


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.m4a", "a.ts"])
def test_a_file_of_sound_alone(tmp_path: Path, name: str) -> None:
    codec = {"mp3": "libmp3lame", "flac": "flac"}.get(name.split(".")[1], "aac")
    path = tmp_path / name
    wave = (0.3 * np.sin(np.arange(3 * 48_000) / 20)).astype(np.float32)
    with av.open(str(path), "w") as target:
        audio = target.add_stream(codec, rate=48_000, layout="stereo")
        size = audio.codec_context.frame_size or 1024
        resampler = av.AudioResampler(audio.codec_context.format.name, "stereo", 48_000)
        for at in range(0, len(wave), size):
            part = np.ascontiguousarray(np.tile(wave[at : at + size], (2, 1)))
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, at, Fraction(1, 48_000)
            for one in resampler.resample(frame):
                one.pts, one.time_base = at, Fraction(1, 48_000)
                target.mux(audio.encode(one))
        target.mux(audio.encode(None))
    chunks = list(file_chunks(path))
    assert not any(chunk.video for chunk in chunks)
    assert sum(chunk.begins_segment for chunk in chunks) in (3, 4)
    with av.open(io.BytesIO(b"".join(c.data for c in chunks)), "r", format="mpegts") as container:
        carried = {"mp3": "mp3"}.get(name.split(".")[1], "aac")  # what cannot be is transcoded
        assert [s.codec_context.codec.canonical_name for s in container.streams] == [carried]
        assert abs(sum(f.samples for f in container.decode(audio=0)) - len(wave)) <= 4096
    twice = list(itertools.islice(file_chunks(path, loop=True), len(chunks) * 2))
    steps = np.diff([chunk.dts for chunk in twice])
    assert steps.min() > 0 and steps.max() < 9000, "it goes on in time"


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"missing\.mp4"):
        list(file_chunks(tmp_path / "missing.mp4"))
    text = tmp_path / "text.bin"
    text.write_bytes(b"no video in here" * 100)
    with pytest.raises(InvalidInput, match=r"text\.bin"):
        list(file_chunks(text))


@pytest.mark.parametrize("config", [b"", b"\xff\xff", bytes.fromhex("1780")])
def test_adts_refuses_what_it_cannot_say(config: bytes) -> None:
    with pytest.raises(InvalidInput):
        AdtsFramer(config)


def test_adts_header() -> None:
    """AAC LC, 48 kHz, stereo: 7 bytes that ISO/IEC 13818-7 lays down bit by bit."""
    framed = AdtsFramer(bytes.fromhex("1190")).frame(b"x" * 100)
    assert framed[:7].hex() == "fff14c800d7ffc"
    assert framed[7:] == b"x" * 100
