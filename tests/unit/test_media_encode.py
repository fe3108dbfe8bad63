"""The encoder: a packet for every frame, keyframes by time, bitrate by time, change on the way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import av
import numpy as np
import pytest

from comfytrickle.errors import InvalidInput
from comfytrickle.messages import EncodeConfig
from comfytrickle.mpegts.nal import is_keyframe, nal_units
from comfytrickle.mpegts.sps import sps_facts
from tests.support.pictures import moving, number_strip, read_number
from workers.media.cadence import Cadence
from workers.media.convert import ToRgb
from workers.media.encode import EncodedFrame, EncodeFailed, Encoder
from workers.media.encode_options import check, nvenc_setup, x264_setup
from workers.media.frames import Colour, Frame
from workers.media.nvenc import NvencProbe

SD = Colour(matrix=6, full_range=False)
X264 = EncodeConfig(encoder="libx264")


def frame(number: int, pts: int, width: int = 128, height: int = 96) -> Frame:
    return Frame(
        rgb=number_strip(number, width, height),
        pts=pts,
        colour=SD,
        arrived=100.0 + number,
        decoded=200.0 + number,
        engine_done=300.0 + number,
    )


@pytest.fixture
def encoder() -> Iterator[Encoder]:
    encoder = Encoder(X264)
    yield encoder
    encoder.close()


def decode_all(packets: list[EncodedFrame]) -> list[av.VideoFrame]:
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = 1
    out = []
    for packet in packets:
        unit = av.Packet(packet.data)
        unit.pts = packet.pts
        out += context.decode(unit)
    return out + context.decode(None)


def kinds(data: bytes) -> list[int]:
    return [data[start] & 31 for start, _ in nal_units(data)]


def test_one_packet_a_frame_at_once_in_order_with_its_times(encoder: Encoder) -> None:
    packets = []
    for number in range(60):
        out = encoder.encode(frame(number, number * 3000))
        assert len(out) == 1
        packets += out
    assert encoder.flush() == []
    assert encoder.name == "libx264"
    assert [p.pts for p in packets] == [n * 3000 for n in range(60)]
    assert [p.dts for p in packets] == [p.pts for p in packets]
    assert [p.arrived for p in packets] == [100.0 + n for n in range(60)]
    assert [p.decoded for p in packets] == [200.0 + n for n in range(60)]
    assert [p.engine_done for p in packets] == [300.0 + n for n in range(60)]
    pictures = decode_all(packets)
    shown = [read_number(ToRgb().convert(p, SD, (128, 96))[0]) for p in pictures]
    assert shown == list(range(60))
    assert not any(p.is_corrupt for p in pictures)


def test_each_keyframe_starts_a_segment_that_decodes_alone(encoder: Encoder) -> None:
    packets = [p for n in range(75) for p in encoder.encode(frame(n, n * 3000))]
    keys = [n for n, p in enumerate(packets) if p.keyframe]
    assert keys == [0, 30, 60]
    for number, packet in enumerate(packets):
        found = kinds(packet.data)
        assert found[0] == 9  # access unit delimiter, as a transport stream needs it
        assert is_keyframe("h264", packet.data) == (number in keys)
        assert ({7, 8, 5} <= set(found)) == (number in keys)
    facts = sps_facts("h264", packets[0].data)
    assert facts is not None and facts.max_reorder == 0
    tail = decode_all(packets[60:])
    assert len(tail) == 15 and not any(p.is_corrupt for p in tail)


def test_a_cut_in_the_picture_makes_no_keyframe(encoder: Encoder) -> None:
    rng = np.random.default_rng(1)
    packets = []
    for number in range(29):
        one = frame(number, number * 3000)
        one.rgb = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
        packets += encoder.encode(one)
    assert [p.keyframe for p in packets] == [True] + [False] * 28
    assert all(5 not in kinds(p.data) for p in packets[1:])


@pytest.mark.parametrize(
    ("interval", "gop_s", "expected"),
    [
        (3003, 1.0, 30),  # 29.97 fps: 30 frames are 1.001 s
        (3750, 1.0, 24),
        (9000, 1.0, 10),
        (1500, 2.0, 120),
        (40_000, 1.0, 2),  # 2.25 fps: the nearest frame, not the next
        (180_000, 1.0, 1),  # slower than the GOP: every frame
    ],
)
def test_keyframes_by_time_whatever_the_frame_rate(
    interval: int, gop_s: float, expected: int
) -> None:
    cadence = Cadence(gop_s, 30)
    keys = [n for n in range(500) if cadence.step(n * interval)]
    assert keys == list(range(0, 500, expected))


def test_rounded_timestamps_do_not_delay_a_keyframe() -> None:
    cadence = Cadence(1.0, 30)
    jitter = [0, 1, -1, 2, -2, 0, -1]
    keys = [n for n in range(301) if cadence.step(n * 3000 + jitter[n % 7])]
    assert keys == list(range(0, 301, 30))


def test_variable_frame_rate_keeps_segments_of_a_second() -> None:
    cadence = Cadence(1.0, 30)
    rng = np.random.default_rng(3)
    pts = np.cumsum(rng.integers(1500, 15_000, 600))
    keys = [int(p) for p in pts if cadence.step(int(p))]
    assert len(keys) > 30
    assert np.abs(np.diff(keys) - 90_000).max() <= 15_000


def test_measured_rate_ignores_a_pause_and_small_changes() -> None:
    cadence = Cadence(1.0, 30)
    pts = 0
    for number in range(95):
        cadence.step(pts)
        pts += 3000 if number != 40 else 900_000  # the source was away for ten seconds
    assert cadence.fps == 30
    for _ in range(60):
        cadence.step(pts)
        pts += 3600  # 25 fps: near enough
    assert cadence.fps == 30
    for _ in range(60):
        cadence.step(pts)
        pts += 6000
    assert cadence.fps == 15


@pytest.mark.parametrize("interval", [3000, 6000, 1500])
def test_bitrate_is_met_at_a_frame_rate_other_than_the_hint(interval: int) -> None:
    encoder = Encoder(replace_bitrate(400_000), fps_hint=30)
    rng = np.random.default_rng(5)
    ground = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    sizes: list[tuple[int, int]] = []
    for number in range(8 * 90_000 // interval):
        rgb = (np.roll(ground, 7 * number, 1) // 2 + moving(number, 320, 240) // 2).astype(np.uint8)
        for packet in encoder.encode(Frame(rgb, number * interval, SD, 0.0)):
            sizes.append((packet.pts, len(packet.data)))
    encoder.close()
    settled = [size for pts, size in sizes if pts >= 2 * 90_000]
    assert sum(settled) * 8 / 6 == pytest.approx(400_000, rel=0.2)


def replace_bitrate(bitrate: int) -> EncodeConfig:
    return EncodeConfig(encoder="libx264", bitrate=bitrate)


def test_crf_is_a_quality() -> None:
    def size(crf: float) -> int:
        encoder = Encoder(EncodeConfig(encoder="libx264", crf=crf))
        out = [p for n in range(10) for p in encoder.encode(frame(n, n * 3000))]
        encoder.close()
        return sum(len(p.data) for p in out)

    assert size(10) > 1.5 * size(35)


def test_a_new_rate_reopens_only_at_a_keyframe_and_loses_nothing(encoder: Encoder) -> None:
    packets = [p for n in range(50) for p in encoder.encode(frame(n, n * 9000))]
    assert len(packets) == 50
    assert [n for n, p in enumerate(packets) if p.keyframe] == [0, 10, 20, 30, 40]
    assert len(decode_all(packets)) == 50


def test_timestamps_that_do_not_grow_are_nudged(encoder: Encoder) -> None:
    packets = [
        p
        for n, pts in enumerate([0, 3000, 3000, 2000, 6000])
        for p in encoder.encode(frame(n, pts))
    ]
    assert [p.pts for p in packets] == [0, 3000, 3001, 3002, 6000]
    assert [p.arrived for p in packets] == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert len(decode_all(packets)) == 5


def test_large_timestamps_and_gaps(encoder: Encoder) -> None:
    start = (1 << 33) * 3 + 17
    times = [start, start + 3000, start + 3000 + 3600 * 90_000, start + 6000 + 3600 * 90_000]
    packets = [p for n, pts in enumerate(times) for p in encoder.encode(frame(n, pts))]
    assert [p.pts for p in packets] == times
    assert [p.keyframe for p in packets] == [True, False, True, False]


def test_change_of_size_begins_with_an_idr(encoder: Encoder) -> None:
    packets = []
    for number in range(20):
        big = number >= 10
        packets += encoder.encode(
            frame(number, number * 3000, 256 if big else 128, 160 if big else 96)
        )
    assert [n for n, p in enumerate(packets) if p.keyframe] == [0, 10]
    assert [(p.width, p.height) for p in decode_all(packets)] == [(128, 96)] * 10 + [
        (256, 160)
    ] * 10


def test_change_of_colour_begins_with_an_idr_and_its_tags(encoder: Encoder) -> None:
    first, second = frame(0, 0), frame(1, 3000)
    second.colour = Colour(1, True, 1, 1, 1, 2)
    packets = encoder.encode(first) + encoder.encode(second)
    assert [p.keyframe for p in packets] == [True, True]
    after = decode_all(packets)[1]
    assert (after.colorspace, after.color_primaries, after.color_trc, after.color_range) == (
        1,
        1,
        1,
        2,
    )


def test_odd_sizes_lose_a_row_and_a_column(encoder: Encoder) -> None:
    one = frame(0, 0, 129, 97)
    out = decode_all(encoder.encode(one))
    assert (out[0].width, out[0].height) == (128, 96)


def test_what_is_too_small_is_refused_and_the_next_frame_passes(encoder: Encoder) -> None:
    one = frame(0, 0)
    one.rgb = one.rgb[:1, :64]
    with pytest.raises(EncodeFailed, match="64 x 1"):
        encoder.encode(one)
    assert len(encoder.encode(frame(1, 3000))) == 1


def test_arrays_of_any_layout(encoder: Encoder) -> None:
    y, x = np.mgrid[0:96, 0:128]
    rgb = np.stack([x * 2, y * 2, 255 - x], axis=-1).astype(np.uint8)
    padded = np.zeros((96, 140, 3), np.uint8)
    padded[:, :128] = rgb
    swapped = np.ascontiguousarray(rgb[:, :, ::-1])[:, :, ::-1]
    planar = np.ascontiguousarray(rgb.transpose(2, 0, 1)).transpose(1, 2, 0)
    for number, layout in enumerate((padded[:, :128], swapped, planar, rgb[::-1])):
        packets = encoder.encode(Frame(layout, number * 3000, SD, 0.0))
        assert len(packets) == 1
        encoder.flush()
        shown, _ = ToRgb().convert(decode_all(packets)[0], SD, (128, 96))
        assert np.abs(shown.astype(int) - layout).mean() < 4, number


def test_after_flush_the_next_frame_is_an_idr(encoder: Encoder) -> None:
    assert [p.keyframe for p in encoder.encode(frame(0, 0))] == [True]
    assert [p.keyframe for p in encoder.encode(frame(1, 3000))] == [False]
    encoder.flush()
    assert [p.keyframe for p in encoder.encode(frame(2, 6000))] == [True]


class NoNvenc(NvencProbe):
    """A device without the encoder, whatever this machine has."""

    def why_not(self, setup: object) -> str | None:
        return "no such engine here"


def test_auto_falls_back_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="workers.media.encode"):
        encoder = Encoder(EncodeConfig(encoder="auto"), nvenc=NoNvenc())
    assert encoder.name == "libx264"
    assert "no such engine here" in caplog.text
    assert len(encoder.encode(frame(0, 0))) == 1
    encoder.close()


def test_nvenc_by_name_fails_clearly() -> None:
    with pytest.raises(EncodeFailed, match="no such engine here"):
        Encoder(EncodeConfig(encoder="h264_nvenc"), nvenc=NoNvenc())


def test_the_probe_tries_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def refuse(setup: object) -> str:
        tries.append("x")
        return "no"

    monkeypatch.setattr("workers.media.nvenc._try", refuse)
    probe = NvencProbe()
    assert [probe.why_not(nvenc_setup(X264)) for _ in range(3)] == ["no"] * 3
    assert tries == ["x"]


def test_the_probe_answers_where_an_encoder_does_not_exist() -> None:
    reason = NvencProbe().why_not(replace(nvenc_setup(X264), name="h264_imaginary"))
    assert reason is not None and "h264_imaginary" in reason


def test_nvenc_options() -> None:
    quality = nvenc_setup(EncodeConfig(preset="superfast", crf=21.5))
    assert quality.name == "h264_nvenc" and quality.bit_rate == 0
    assert quality.options == {
        "preset": "p1",
        "tune": "ull",
        "delay": "0",
        "zerolatency": "1",
        "forced-idr": "1",
        "no-scenecut": "1",
        "rc-lookahead": "0",
        "bf": "0",
        "aud": "1",
        "rc": "vbr",
        "cq": "21.5",
    }
    capped = nvenc_setup(EncodeConfig(preset="slow", bitrate=3_000_000))
    assert capped.bit_rate == 3_000_000
    assert capped.options["preset"] == "p4" and capped.options["rc"] == "cbr"
    assert capped.options["maxrate"] == capped.options["bufsize"] == "3000000"
    assert "cq" not in capped.options
    presets = [
        nvenc_setup(EncodeConfig(preset=p)).options["preset"]
        for p in ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "veryslow")
    ]
    assert presets == ["p1", "p1", "p2", "p3", "p4", "p4", "p4"]


def test_every_nvenc_option_is_known_to_this_build() -> None:
    options = av.CodecContext.create("h264_nvenc", "w").supported_options
    known = {o.name: o for group in (options.generic, options.private) for o in group}
    for config in (EncodeConfig(), EncodeConfig(bitrate=1_000_000, preset="slow")):
        for name, value in nvenc_setup(config).options.items():
            assert name in known, name
            if name in ("preset", "tune", "rc"):
                assert value in {c.name for c in known[name].choices}, (name, value)


def test_x264_options() -> None:
    setup = x264_setup(EncodeConfig(preset="veryfast", crf=20))
    assert setup.options["preset"] == "veryfast" and setup.options["tune"] == "zerolatency"
    assert setup.options["crf"] == "20" and setup.bit_rate is None
    assert "scenecut=0" in setup.options["x264-params"]
    capped = x264_setup(EncodeConfig(bitrate=500_000))
    assert "crf" not in capped.options and capped.options["maxrate"] == "500000"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (EncodeConfig(codec="vp9"), "encode.codec"),
        (EncodeConfig(encoder="h264_qsv"), "encode.encoder"),
        (EncodeConfig(preset="placebo"), "encode.preset"),
        (EncodeConfig(crf=52), "encode.crf"),
        (EncodeConfig(bitrate=0), "encode.bitrate"),
        (EncodeConfig(gop_s=0), "encode.gop_s"),
    ],
)
def test_impossible_configurations_name_the_field(config: EncodeConfig, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(config)
    assert caught.value.field == field
