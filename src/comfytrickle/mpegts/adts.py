"""The ADTS header before a raw AAC frame, as MPEG-TS carries it (stream type 0x0f).

MP4 and encoders give raw frames and keep what an ADTS header says in an AudioSpecificConfig beside
them.
"""

from __future__ import annotations

from comfytrickle.errors import InvalidInput

_MAX_FRAME = (1 << 13) - 1


class AdtsFramer:
    """Puts an ADTS header (ISO/IEC 13818-7, 6.2) before raw AAC frames.

    ``config`` is the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1); InvalidInput for what ADTS
    cannot say: object types above 4 (HE-AAC is signalled as its LC core), explicit sample rates,
    a channel layout in a program config element.
    """

    def __init__(self, config: bytes) -> None:
        if len(config) < 2:
            raise InvalidInput("audio", "AAC without an AudioSpecificConfig")
        head = int.from_bytes(config[:4].ljust(4, b"\0"), "big")
        object_type = head >> 27
        rate_index = head >> 23 & 0xF
        channels = head >> 19 & 0xF
        if object_type in (5, 29):  # SBR, PS: the type of the core follows the extension's rate
            if head >> 15 & 0xF == 0xF:
                raise InvalidInput("audio", "AAC with an explicit sample rate does not fit ADTS")
            object_type = head >> 10 & 0x1F
        if not 1 <= object_type <= 4:
            raise InvalidInput("audio", f"AAC object type {object_type} does not fit ADTS")
        if rate_index > 12:
            raise InvalidInput("audio", "AAC with an explicit sample rate does not fit ADTS")
        if not 1 <= channels <= 7:
            raise InvalidInput("audio", "AAC without a standard channel layout does not fit ADTS")
        # syncword, MPEG-4, layer 0, no CRC | profile, rate, channels; the length comes per frame
        self._fixed = 0xFFF1 << 40 | (object_type - 1) << 38 | rate_index << 34 | channels << 30

    def frame(self, raw: bytes) -> bytes:
        """``raw`` with its header. Raises InvalidInput for a frame longer than ADTS can say."""
        length = len(raw) + 7
        if length > _MAX_FRAME:
            raise InvalidInput("audio", f"AAC frame of {len(raw)} bytes does not fit ADTS")
        # frame length, buffer fullness 0x7ff (variable rate), one raw data block
        header = self._fixed | length << 13 | 0x7FF << 2
        return header.to_bytes(7, "big") + raw
