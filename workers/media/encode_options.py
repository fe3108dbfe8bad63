"""EncodeConfig in the encoders' own words. Pure.

Both encoders are set up alike: live (no B-frames, no lookahead, a packet for every frame),
parameter sets and an access unit delimiter in band, and keyframes only where the caller asks for
one, so that segments begin where time says and not where a picture happens to change.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from comfytrickle.errors import InvalidInput
from comfytrickle.messages import EncodeConfig

X264 = "libx264"
NVENC = "h264_nvenc"

X264_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
# NVENC's p1 is its fastest. Slower than p4 it looks ahead and runs twice: not for live.
_NVENC_PRESETS = {"ultrafast": "p1", "superfast": "p1", "veryfast": "p2", "faster": "p3"}
_NVENC_SLOWEST = "p4"

# A GOP length that is never reached (nine hours at 30 fps, against seconds): 0 and -1 mean other
# things to each encoder.
_NEVER = 1_000_000

# Bitrate mode is capped: a second's worth may come in one burst (a keyframe), not more.
_BUFFER_S = 1.0


@dataclass(frozen=True, slots=True)
class EncoderSetup:
    """What an encoder is opened with."""

    name: str
    pix_fmt: str
    options: dict[str, str] = field(default_factory=dict)
    bit_rate: int | None = None  # bits per second
    gop_size: int = _NEVER


def check(config: EncodeConfig) -> None:
    """Raises InvalidInput for a configuration that no encoder here understands."""
    if config.codec != "h264":
        raise InvalidInput("encode.codec", f"{config.codec!r} is not supported; use 'h264'")
    if config.encoder not in ("auto", X264, NVENC):
        raise InvalidInput(
            "encode.encoder", f"{config.encoder!r} is not one of auto, {X264}, {NVENC}"
        )
    if config.preset not in X264_PRESETS:
        raise InvalidInput(
            "encode.preset", f"{config.preset!r} is not one of {', '.join(X264_PRESETS)}"
        )
    if not 0 <= config.crf <= 51:
        raise InvalidInput("encode.crf", f"{config.crf} is not within 0..51")
    if config.bitrate is not None and config.bitrate < 1000:
        raise InvalidInput("encode.bitrate", f"{config.bitrate} is below 1000 bits per second")
    if config.gop_s <= 0:
        raise InvalidInput("encode.gop_s", f"{config.gop_s} is not above 0")


def x264_setup(config: EncodeConfig) -> EncoderSetup:
    """Options of libx264.

    The zerolatency tune makes x264 count frames instead of reading their timestamps (its VFR mode
    holds one frame back), so it has to be opened with the frame rate that really comes.
    """
    params = "keyint=infinite:min-keyint=1:scenecut=0:aud=1"
    options = {"preset": config.preset, "tune": "zerolatency", "forced-idr": "1"}
    if config.bitrate is None:
        options["crf"] = f"{config.crf:g}"
    else:
        options |= _cap(config.bitrate)
    options["x264-params"] = params
    return EncoderSetup(X264, "yuv420p", options, bit_rate=config.bitrate)


def nvenc_setup(config: EncodeConfig) -> EncoderSetup:
    """Options of h264_nvenc, as libavcodec/nvenc_h264.c of ffmpeg lists them."""
    options = {
        "preset": _NVENC_PRESETS.get(config.preset, _NVENC_SLOWEST),
        "tune": "ull",
        "delay": "0",
        "zerolatency": "1",
        "forced-idr": "1",
        "no-scenecut": "1",
        "rc-lookahead": "0",
        "bf": "0",
        "aud": "1",
    }
    if config.bitrate is None:
        options |= {"rc": "vbr", "cq": f"{config.crf:g}"}
        return EncoderSetup(NVENC, "yuv420p", options, bit_rate=0)  # 0: quality alone decides
    options |= {"rc": "cbr"} | _cap(config.bitrate)
    return EncoderSetup(NVENC, "yuv420p", options, bit_rate=config.bitrate)


def _cap(bitrate: int) -> dict[str, str]:
    return {"maxrate": str(bitrate), "bufsize": str(int(bitrate * _BUFFER_S))}
