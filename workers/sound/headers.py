"""The header of one coded frame of sound, for each codec that MPEG-TS carries. Pure.

Each parser takes (data, at), with at least one byte there, and gives a Header, or None while too
few bytes are there to tell; it raises BadSound where no frame begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workers.sound.errors import BadSound
from workers.sound.opus import RATE, opus_unit


@dataclass(frozen=True, slots=True)
class Header:
    """``length`` counts the whole frame in bytes; its first ``skip`` are not for a decoder.

    ``rate`` 0: not told without decoding. ``samples`` 0 with a rate: an extension of the frame
    before it, that takes no time of its own (enhanced AC-3).
    """

    length: int
    samples: int
    rate: int
    channels: int
    skip: int = 0


Parser = Callable[[Sequence[int], int], Header | None]

_ADTS_RATES = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)
_ADTS_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8)  # 0: told within the frame
_AAC_SAMPLES = 1024

# kbit/s by [low sampling frequency][layer - 1] (ISO/IEC 11172-3 and 13818-3, 2.4.2.3).
_MPEG_RATES = (44_100, 48_000, 32_000)
_MPEG_KBIT = (
    (
        (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
        (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
        (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    ),
    (
        (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
        (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
        (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    ),
)

_AC3_KBIT = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES = (48_000, 44_100, 32_000)
_AC3_CHANNELS = (2, 1, 2, 3, 3, 4, 4, 5)  # by acmod, without the LFE
_AC3_BLOCK = 256
_EAC3_BLOCKS = (1, 2, 3, 6)


def adts(data: Sequence[int], at: int) -> Header | None:
    """ISO/IEC 13818-7, 6.2: adts_frame()."""
    have = len(data) - at
    if data[at] != 0xFF or (have > 1 and data[at + 1] & 0xF6 != 0xF0):
        raise BadSound("no ADTS syncword")
    if have < 7:
        return None
    rate_index = data[at + 2] >> 2 & 0xF
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    header = 7 if data[at + 1] & 1 else 9
    if rate_index >= len(_ADTS_RATES) or length <= header:
        raise BadSound("an ADTS header that cannot be")
    channels = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
    blocks = (data[at + 6] & 3) + 1
    rate = _ADTS_RATES[rate_index]
    return Header(length, blocks * _AAC_SAMPLES, rate, _ADTS_CHANNELS[channels])


def loas(data: Sequence[int], at: int) -> Header | None:
    """ISO/IEC 14496-3, 1.7.2: AudioSyncStream(). What is in it is known to the decoder only."""
    have = len(data) - at
    if data[at] != 0x56 or (have > 1 and data[at + 1] & 0xE0 != 0xE0):
        raise BadSound("no LOAS syncword")
    if have < 3:
        return None
    length = (data[at + 1] & 0x1F) << 8 | data[at + 2]
    if length == 0:
        raise BadSound("a LOAS frame without content")
    return Header(3 + length, 0, 0, 0)


def mpeg_audio(data: Sequence[int], at: int) -> Header | None:
    """Layers I to III of ISO/IEC 11172-3 and 13818-3, 2.4.1.3, and their lowest rates ("2.5")."""
    have = len(data) - at
    if data[at] != 0xFF or (have > 1 and data[at + 1] & 0xE0 != 0xE0):
        raise BadSound("no MPEG audio syncword")
    if have < 4:
        return None
    version = data[at + 1] >> 3 & 3  # 3: MPEG-1, 2: MPEG-2, 0: "2.5"
    layer = 4 - (data[at + 1] >> 1 & 3)
    bitrate_index = data[at + 2] >> 4
    rate_index = data[at + 2] >> 2 & 3
    if version == 1 or layer == 4 or rate_index == 3 or not 1 <= bitrate_index <= 14:
        raise BadSound("an MPEG audio header that cannot be, or of free format")
    low = version != 3
    rate = _MPEG_RATES[rate_index] >> (0 if version == 3 else 1 if version == 2 else 2)
    bits = 1000 * _MPEG_KBIT[low][layer - 1][bitrate_index - 1]
    padding = data[at + 2] >> 1 & 1
    channels = 1 if data[at + 3] >> 6 == 3 else 2
    if layer == 1:
        return Header((12 * bits // rate + padding) * 4, 384, rate, channels)
    samples = 576 if layer == 3 and low else 1152
    return Header(samples // 8 * bits // rate + padding, samples, rate, channels)


def ac3(data: Sequence[int], at: int) -> Header | None:
    """ETSI TS 102 366: AC-3 (4.3) and enhanced AC-3 (annex E.1.2), told apart by bsid."""
    have = len(data) - at
    if data[at] != 0x0B or (have > 1 and data[at + 1] != 0x77):
        raise BadSound("no AC-3 syncword")
    if have < 7:
        return None
    bsid = data[at + 5] >> 3
    if bsid > 16:
        raise BadSound(f"AC-3 of version {bsid}")
    return _plain_ac3(data, at, bsid) if bsid <= 10 else _enhanced_ac3(data, at)


def _plain_ac3(data: Sequence[int], at: int, bsid: int) -> Header:
    rate_code = data[at + 4] >> 6
    size_code = data[at + 4] & 0x3F
    if rate_code == 3 or size_code >= 2 * len(_AC3_KBIT):
        raise BadSound("an AC-3 header that cannot be")
    rate = _AC3_RATES[rate_code]
    words = _AC3_KBIT[size_code >> 1] * 1000 * 6 * _AC3_BLOCK // (16 * rate)
    if rate == 44_100:
        words += size_code & 1
    mode = data[at + 6] >> 5
    # After acmod come two bits each, where the channels are there, and then lfeon (4.3.2).
    skipped = 2 * (bool(mode & 1 and mode != 1) + bool(mode & 4) + (mode == 2))
    lfe = data[at + 6] >> (4 - skipped) & 1
    rate >>= max(bsid, 8) - 8
    return Header(2 * words, 6 * _AC3_BLOCK, rate, _AC3_CHANNELS[mode] + lfe)


def _enhanced_ac3(data: Sequence[int], at: int) -> Header:
    kind, substream = data[at + 2] >> 6, data[at + 2] >> 3 & 7
    length = 2 * (((data[at + 2] & 7) << 8 | data[at + 3]) + 1)
    rate_code, low = data[at + 4] >> 6, data[at + 4] >> 4 & 3
    if kind == 3 or length < 7 or (rate_code == 3 and low == 3):
        raise BadSound("an enhanced AC-3 header that cannot be")
    rate = _AC3_RATES[low] // 2 if rate_code == 3 else _AC3_RATES[rate_code]
    blocks = 6 if rate_code == 3 else _EAC3_BLOCKS[low]
    if kind == 1 or substream:  # more channels, or another programme, of the frame before
        blocks = 0
    channels = _AC3_CHANNELS[data[at + 4] >> 1 & 7] + (data[at + 4] & 1)
    return Header(length, blocks * _AC3_BLOCK, rate, channels)


def opus(data: Sequence[int], at: int) -> Header | None:
    """See workers.sound.opus."""
    unit = opus_unit(data, at)
    if unit is None:
        return None
    return Header(unit.length, unit.samples, RATE, unit.channels, skip=unit.header)
