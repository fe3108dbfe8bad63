"""What a demuxer counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Totals since the start."""

    packets: int = 0
    units: int = 0
    damaged_units: int = 0
    dropped_units: int = 0  # begun, and thrown away: lost bytes, too large, no PES header
    continuity_errors: int = 0
    transport_errors: int = 0  # packets with transport_error_indicator
    sync_losses: int = 0
    scrambled: int = 0  # packets that were ignored because they are
    psi_errors: int = 0  # sections of PAT and PMT with a wrong CRC or content
    wrong_cuts: int = 0  # units given out too early: a guess was wrong
