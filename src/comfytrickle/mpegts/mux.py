"""Access units -> MPEG transport stream, each complete at once, nothing held back.

ISO/IEC 13818-1 2.4.3. Continuity counters run over the whole stream, so that segments can be
concatenated; the caller writes tables() and a keyframe at the start of each, so that each decodes
alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from comfytrickle.mpegts.packets import (
    BODY,
    DISCONTINUITY,
    FIRST_FREE_PID,
    HAS_ADAPTATION,
    HAS_PAYLOAD,
    NULL_PID,
    PAT_PID,
    PCR_FLAG,
    RANDOM_ACCESS,
    SYNC,
    UNIT_START,
    encode_pcr,
    encode_timestamp,
    signed_difference,
)
from comfytrickle.mpegts.psi import build_pat, build_pmt, packetize
from comfytrickle.mpegts.units import CLOCK, ElementaryStream

PCR_DELAY = CLOCK // 10  # from a frame's arrival to its decoding, as a receiver should plan it
PCR_INTERVAL = CLOCK // 10  # 2.7.2: at most 100 ms apart
_LONG_SILENCE = CLOCK  # beyond this a pause is not filled with clock packets
_FIRST_PMT_PID = 0x1000
_PROGRAM = 1
_MAX_LENGTH = 0xFFFF
_STREAM_IDS = {"video": 0xE0, "audio": 0xC0, "data": 0xBD}  # table 2-22


class Muxer:
    """One program. ``streams`` keep their pids and descriptors.

    The PCR is on ``pcr_pid``: by default the first video stream, else the first stream.
    Raises ValueError for two streams with one pid, a pid that is reserved, or no stream.
    """

    def __init__(self, streams: Sequence[ElementaryStream], pcr_pid: int | None = None) -> None:
        self._cc: dict[int, int] = {}
        self._heads: dict[int, list[bytes]] = {}  # per pid: the 16 headers of plain packets
        self._version = 0
        self._last_pcr: int | None = None
        self._adopt(*_checked(streams, pcr_pid))

    def set_streams(self, streams: Sequence[ElementaryStream], pcr_pid: int | None = None) -> None:
        """Other streams from here on: write tables() next. Same streams: nothing changes."""
        by_pid, clock = _checked(streams, pcr_pid)
        if by_pid == self._streams and clock == self._pcr_pid:
            return
        self._version = (self._version + 1) & 0x1F
        self._adopt(by_pid, clock)

    def _adopt(self, streams: dict[int, ElementaryStream], pcr_pid: int) -> None:
        self._pmt_pid = next(p for p in range(_FIRST_PMT_PID, NULL_PID) if p not in streams)
        self._pmt = build_pmt(_PROGRAM, pcr_pid, list(streams.values()), version=self._version)
        self._pat = build_pat(_PROGRAM, self._pmt_pid, version=self._version)
        self._streams = streams
        self._pcr_pid = pcr_pid

    def tables(self) -> bytes:
        """PAT and PMT: the first bytes of every segment."""
        pat, self._cc[PAT_PID] = packetize(self._pat, PAT_PID, self._cc.get(PAT_PID, 0))
        pid = self._pmt_pid
        pmt, self._cc[pid] = packetize(self._pmt, pid, self._cc.get(pid, 0))
        return pat + pmt

    def write(
        self,
        pid: int,
        data: bytes,
        pts: int,
        dts: int | None = None,
        *,
        keyframe: bool = False,
        stream_id: int | None = None,
    ) -> bytes:
        """One PES packet with ``data``, as whole TS packets.

        ``pts`` and ``dts`` in 90 kHz ticks, taken mod 2**33. ``keyframe`` sets the random access
        indicator. Video too long for the 16-bit PES_packet_length gets 0 (2.4.3.7); its last
        packet is then always padded, so that a reader need not wait for the next one to know.
        Raises KeyError for an unknown pid, ValueError for other data beyond 64 KiB.
        """
        stream = self._streams[pid]
        video = stream.kind == "video"
        if dts is None:
            dts = pts
        stamps = (
            encode_timestamp(2, pts)
            if dts == pts
            else encode_timestamp(3, pts) + encode_timestamp(1, dts)
        )
        length = 3 + len(stamps) + len(data)
        if length > _MAX_LENGTH and not video:
            raise ValueError(f"{len(data)} bytes do not fit one PES packet of {stream.kind}")
        prefix, field = self._clock(pid, dts - PCR_DELAY)
        if keyframe:
            field = bytes([(field[0] if field else 0) | RANDOM_ACCESS]) + field[1:]
        stuffing = b""
        if length > _MAX_LENGTH:
            length = 0
            taken = (1 + len(field) if field else 0) + 9 + len(stamps) + len(data)
            if taken % BODY == 0:
                stuffing = b"\xff"  # of the PES header (2.4.3.7): moves the end off the boundary
        payload = b"".join(
            (
                b"\x00\x00\x01",
                bytes(
                    (
                        _STREAM_IDS[stream.kind] if stream_id is None else stream_id,
                        length >> 8,
                        length & 0xFF,
                        0x84 if video else 0x80,  # data_alignment_indicator
                        0x80 if dts == pts else 0xC0,
                        len(stamps) + len(stuffing),
                    )
                ),
                stamps,
                stuffing,
                data,
            )
        )
        return prefix + self._packets(pid, field, payload)

    def _clock(self, pid: int, pcr: int) -> tuple[bytes, bytes]:
        """(packets that carry nothing but the clock, adaptation field of this unit's first packet).

        The clock never steps back, except with a discontinuity_indicator (2.4.3.5).
        """
        last = self._last_pcr
        elapsed = PCR_INTERVAL if last is None else signed_difference(pcr, last)
        prefix = b""
        if last is not None and PCR_INTERVAL < elapsed <= _LONG_SILENCE:
            for step in range(PCR_INTERVAL, elapsed, PCR_INTERVAL):
                self._last_pcr = last + step
                prefix += self._clock_packet(self._last_pcr)
        if pid != self._pcr_pid:
            if elapsed > _LONG_SILENCE:
                self._last_pcr = pcr
                prefix = self._clock_packet(pcr)
            return prefix, b""
        flags = PCR_FLAG
        if elapsed < 0:
            if elapsed >= -_LONG_SILENCE:
                return prefix, b""  # audio ahead of the video has moved it on already
            flags |= DISCONTINUITY
        self._last_pcr = pcr
        return prefix, bytes([flags]) + encode_pcr(pcr)

    def _clock_packet(self, pcr: int) -> bytes:
        """A packet without payload; the continuity counter stands (2.4.3.3)."""
        pid = self._pcr_pid
        cc = (self._cc.get(pid, 0) - 1) & 15
        word = SYNC << 24 | pid << 8 | HAS_ADAPTATION | cc
        field = bytes([BODY - 1, PCR_FLAG]) + encode_pcr(pcr)
        return word.to_bytes(4, "big") + field.ljust(BODY, b"\xff")

    def _packets(self, pid: int, field: bytes, payload: bytes) -> bytes:
        cc = self._cc.get(pid, 0)
        word = SYNC << 24 | pid << 8
        first = BODY - (1 + len(field) if field else 0)
        total = len(payload)
        if total <= first:
            self._cc[pid] = (cc + 1) & 15
            return _packet(word | UNIT_START | cc, field, payload)
        out: list[bytes | memoryview] = [_packet(word | UNIT_START | cc, field, payload[:first])]
        append = out.append
        heads = self._heads.get(pid)
        if heads is None:
            heads = [(word | HAS_PAYLOAD | n).to_bytes(4, "big") for n in range(16)]
            self._heads[pid] = heads
        whole = first + (total - first) // BODY * BODY
        view = memoryview(payload)
        for at in range(first, whole, BODY):
            cc = (cc + 1) & 15
            append(heads[cc])
            append(view[at : at + BODY])
        if whole < total:
            cc = (cc + 1) & 15
            append(_packet(word | cc, b"", payload[whole:]))
        self._cc[pid] = (cc + 1) & 15
        return b"".join(out)


def _checked(
    streams: Sequence[ElementaryStream], pcr_pid: int | None
) -> tuple[dict[int, ElementaryStream], int]:
    by_pid = {stream.pid: stream for stream in streams}
    if not streams or len(by_pid) != len(streams):
        raise ValueError("streams: at least one, each with its own pid")
    if any(not FIRST_FREE_PID <= pid < NULL_PID for pid in by_pid):
        raise ValueError(f"pids of streams are {FIRST_FREE_PID:#06x} to {NULL_PID - 1:#06x}")
    if pcr_pid is None:
        pcr_pid = next((s.pid for s in streams if s.kind == "video"), streams[0].pid)
    elif pcr_pid not in by_pid:
        raise ValueError("pcr_pid is not among the streams")
    return by_pid, pcr_pid


def _packet(word: int, field: bytes, payload: bytes) -> bytes:
    """One packet; ``field`` (flags and what they announce) is stretched to fill it (2.4.3.5)."""
    spare = BODY - len(payload)
    if spare == 0:
        adaptation = b""
    elif spare == 1:
        adaptation = b"\x00"
    else:
        adaptation = bytes([spare - 1]) + (field or b"\x00").ljust(spare - 1, b"\xff")
    word |= HAS_PAYLOAD | (HAS_ADAPTATION if adaptation else 0)
    return word.to_bytes(4, "big") + adaptation + payload
