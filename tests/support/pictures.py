"""Test pictures with values known beforehand: flat bars in exact YUV, and moving RGB."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from comfytrickle.mpegts.units import AccessUnit, ElementaryStream

BARS = (
    (255, 255, 255),
    (255, 255, 0),
    (0, 255, 255),
    (0, 255, 0),
    (255, 0, 255),
    (255, 0, 0),
    (0, 0, 255),
    (16, 16, 16),
    (128, 128, 128),
    (200, 100, 50),
)

# Kr, Kb of ITU-T H.273 table 4, by AVColorSpace.
LUMA = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


def yuv_of(rgb: tuple[int, int, int], matrix: int, full: bool) -> tuple[int, int, int]:
    """8-bit Y, Cb, Cr by the formulae of H.273 8.3, rounded."""
    kr, kb = LUMA[matrix]
    r, g, b = (channel / 255 for channel in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / 2 / (1 - kb), (r - y) / 2 / (1 - kr)
    scaled = (
        (y * 255, u * 255 + 128, v * 255 + 128)
        if full
        else (16 + 219 * y, 128 + 224 * u, 128 + 224 * v)
    )
    a, b_, c = (min(255, max(0, round(x))) for x in scaled)
    return a, b_, c


def plane(frame: av.VideoFrame, index: int) -> npt.NDArray[np.uint8]:
    """Samples of one 8-bit plane, [height, width], a view."""
    p = frame.planes[index]
    return np.frombuffer(memoryview(p), np.uint8).reshape(p.height, p.line_size)[:, : p.width]


def _bar(index: int, width: int) -> slice:
    step = width // len(BARS)
    return slice(index * step, (index + 1) * step)


def bars(
    width: int, height: int, matrix: int, full: bool, pix_fmt: str = "yuv420p"
) -> av.VideoFrame:
    """Vertical bars as a frame without tags. Planar 8-bit formats."""
    frame = av.VideoFrame(width, height, pix_fmt)
    for index in range(3):
        samples = plane(frame, index)
        for number, rgb in enumerate(BARS):
            samples[:, _bar(number, samples.shape[1])] = yuv_of(rgb, matrix, full)[index]
        samples[:, _bar(len(BARS) - 1, samples.shape[1]).stop :] = 0
    return frame


def bar_means(frame: av.VideoFrame) -> npt.NDArray[np.float64]:
    """[bar, plane]: the mean of each bar's middle."""
    out = np.empty((len(BARS), 3))
    for index in range(3):
        samples = plane(frame, index)
        for number in range(len(BARS)):
            cut = _bar(number, samples.shape[1])
            margin = (cut.stop - cut.start) // 4
            out[number, index] = samples[2:-2, cut.start + margin : cut.stop - margin].mean()
    return out


def moving(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """RGB [height, width, 3]: a textured ground that slides, told apart by its number."""
    y, x = np.mgrid[0:height, 0:width]
    ground = ((x + 3 * number) // 8 * 37 + (y + number) // 8 * 91) % 200 + 20
    rgb = np.stack([ground, np.roll(ground, 5, 0), np.roll(ground, 9, 1)], axis=-1)
    return np.ascontiguousarray(rgb.astype(np.uint8))


def number_strip(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """``moving`` with ``number`` (0..255) in eight black or white blocks along the top."""
    rgb = moving(number, width, height)
    block = width // 8
    for bit in range(8):
        rgb[:16, bit * block : (bit + 1) * block] = 235 if number >> bit & 1 else 16
    return rgb


def read_number(rgb: npt.NDArray[np.uint8]) -> int:
    """The number that ``number_strip`` drew, also after coding and scaling."""
    block = rgb.shape[1] // 8
    depth = max(1, rgb.shape[0] // 16 // 2)
    return sum(
        1 << bit
        for bit in range(8)
        if rgb[:depth, bit * block + block // 4 : (bit + 1) * block - block // 4].mean() > 128
    )


def encode_clip(
    frames: list[av.VideoFrame],
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    gop: int = 30,
    ticks: int = 3000,
    first_pts: int = 0,
) -> list[AccessUnit]:
    """``frames`` as access units in decoding order, ``arrived`` = 1000 + index in that order.

    Tags of the first frame go into the stream. Timestamps wrap at 33 bits.
    """
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    head = frames[0]
    context.width, context.height, context.pix_fmt = head.width, head.height, head.format.name
    context.time_base, context.framerate = Fraction(ticks, 90_000), Fraction(90_000, ticks)
    context.gop_size, context.thread_count = gop, 1
    context.colorspace, context.color_range = head.colorspace, head.color_range
    context.color_primaries, context.color_trc = head.color_primaries, head.color_trc
    defaults = {
        "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
        "libx265": {"preset": "ultrafast", "tune": "zerolatency"},
    }
    context.options = dict(defaults.get(codec, {}) if options is None else options)
    if codec == "libx265":
        quiet = "log-level=none:pools=none:frame-threads=1"
        more = context.options.get("x265-params")
        context.options = context.options | {"x265-params": f"{more}:{quiet}" if more else quiet}
    packets = []
    for index, frame in enumerate(frames):
        frame.pts, frame.time_base = index, Fraction(ticks, 90_000)
        packets += context.encode(frame)
    packets += context.encode(None)
    name, stream_type = {
        "libx264": ("h264", 0x1B),
        "libx265": ("hevc", 0x24),
        "libx264rgb": ("h264", 0x1B),
    }.get(codec, (codec, 0x02))
    stream = ElementaryStream(pid=256, stream_type=stream_type, kind="video", codec=name)
    wrap = 1 << 33
    units = []
    for index, packet in enumerate(packets):
        assert packet.pts is not None and packet.dts is not None
        units.append(
            AccessUnit(
                stream,
                bytes(packet),
                (packet.pts * ticks + first_pts) % wrap,
                (packet.dts * ticks + first_pts) % wrap,
                arrived=1000.0 + index,
            )
        )
    return units


def numbered_clip(
    count: int,
    width: int = 128,
    height: int = 128,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    pix_fmt: str = "yuv420p",
    gop: int = 30,
    first_pts: int = 0,
) -> list[AccessUnit]:
    """A clip whose pictures carry their number."""
    frames = [
        av.VideoFrame.from_ndarray(number_strip(n, width, height)).reformat(
            format=pix_fmt, dst_color_range=2 if pix_fmt.startswith("yuvj") else 1, threads=1
        )
        for n in range(count)
    ]
    for frame in frames:
        frame.colorspace, frame.color_range = 2, 0
        frame.pict_type = 0
    return encode_clip(frames, codec, options, gop=gop, first_pts=first_pts)
