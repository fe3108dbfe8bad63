"""A stream's Status, put together from what its parts know."""

from __future__ import annotations

import time
from typing import Any

from comfytrickle import messages as m
from comfytrickle.states import State
from comfytrickle.trickle.subscriber import Subscriber
from workers.device import device_memory
from workers.ends.inlet import InletSource
from workers.ends.sink import Sink
from workers.media.slot import Slot
from workers.sound.intake import Intake
from workers.stages.decode import DecodeStage
from workers.stages.encode import EncodeStage
from workers.stages.engine import EngineStage
from workers.stages.pictures import PictureStage
from workers.stages.stage import Stage
from workers.stages.stats import Stats, resident_bytes
from workers.stages.uncoded import UncodedStage


class Reporter:
    """Reads the parts and owns none of them; only the count of reports is its own."""

    def __init__(
        self,
        stats: Stats,
        decode: DecodeStage | PictureStage,
        slot: Slot,
        engine: EngineStage,
        encode: EncodeStage | UncodedStage,
        sound: Intake,
    ) -> None:
        self._stats = stats
        self._decode = decode
        self._slot = slot
        self._engine = engine
        self._encode = encode
        self._sound = sound
        self._seq = 0

    def status(self, state: State, source: Subscriber | InletSource, sink: Sink) -> m.Status:
        """At this moment."""
        now = time.monotonic()
        stats = self._stats
        size = self._decode.size
        busy_s, busy_stage = self._busy(now)
        self._seq += 1
        return m.Status(
            seq=self._seq,
            state=state,
            counters=self._counters(source, sink),
            fps_in=stats.rate_in.per_second(now),
            fps_out=stats.rate_out.per_second(now),
            latency=stats.latency(),
            width=size[0] if size else None,
            height=size[1] if size else None,
            revision=self._engine.revision,
            rss=resident_bytes(),
            device_memory=device_memory(),
            input_age_s=stats.input_age(now),
            output_age_s=stats.output_age(now),
            busy_s=busy_s,
            busy_stage=busy_stage,
            source=source.state_at(now) if isinstance(source, InletSource) else source.state,
            sink=sink.state,
            detail={
                **self._engine.detail,
                "codec_in": self._decode.codec,
                "encoder": self._encode.encoder_name,
                "audio": self._sound.describe(),
            },
        )

    def _counters(self, source: Subscriber | InletSource, sink: Sink) -> m.Counters:
        received = source.counters
        transport: dict[str, Any] = {**sink.counters()}
        transport["transport_retries"] = transport.get("transport_retries", 0) + received.retries
        transport["segments_in"] = received.segments
        transport["segments_lost"] = received.segments_lost
        parts = (self._decode, self._slot, self._engine, self._encode)
        dropped = [*(part.dropped() for part in parts), sink.dropped()]
        sound = self._encode.sound_counts()
        transport["audio_silence"] = sound.silence
        transport["audio_dropped"] = self._sound.dropped()
        if sound.late:
            transport["audio_dropped"]["late"] = sound.late
        return self._stats.counters(dropped, transport)

    def _busy(self, now: float) -> tuple[float | None, str | None]:
        stages: tuple[Stage, ...] = (self._decode, self._engine, self._encode)
        times = [(now - since, s.name) for s in stages if (since := s.busy_since) is not None]
        if not times:
            return None, None
        seconds, name = max(times)
        return round(seconds, 3), name
