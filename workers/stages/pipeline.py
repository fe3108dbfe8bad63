"""The three threads of a stream and what lies between them, put together.

Inbox -> DecodeStage  -> Slot -> EngineStage -> Handover -> EncodeStage  -> Outbox
         PictureStage                                       UncodedStage
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from comfytrickle import messages as m
from comfytrickle.shared import Shared
from workers.ends.inlet import INBOX_BYTES
from workers.ends.outlet import Outlet
from workers.media.frames import Frame
from workers.media.slot import Slot
from workers.sound.ear import Ear
from workers.sound.intake import Intake
from workers.sound.route import SoundRoute
from workers.stages.decode import DecodeStage
from workers.stages.encode import EncodeStage
from workers.stages.engine import EngineStage
from workers.stages.items import Item, Packet
from workers.stages.pictures import PictureStage
from workers.stages.queues import Handover, Inbox, Outbox
from workers.stages.report import Reporter
from workers.stages.stats import Stats
from workers.stages.uncoded import UncodedStage
from workers.warm_engine import WarmEngine

_INBOX_BYTES = 8 << 20  # of transport stream read ahead of the decoder
_OUTBOX_BYTES = 8 << 20  # of transport stream waiting for the publisher
_ENCODE_AHEAD = 2  # frames between engine and encoder


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the threads have to say, each from its own.

    ``on_error``: a stage is ending by it; ``on_failed``: a failure that it survives;
    ``on_refused``: the number of a frame that cannot be decoded, and why.
    """

    on_ready: Callable[[float], None]
    on_params: Callable[[m.ParamsApplied | m.ParamsRejected], None]
    on_failed: Callable[[m.Failed], None]
    on_texts: Callable[[m.Texts], None]
    on_refused: Callable[[int, str], None]
    on_error: Callable[[str, Exception], None]


class Pipeline:
    """``inbox`` takes what the source brings, ``outbox`` gives what the sink is to send.

    Needs a running loop, which is the one that both belong to.
    """

    def __init__(
        self,
        config: m.StreamConfig,
        stats: Stats,
        shared: Shared | None,
        warm: WarmEngine | None,
        hooks: Hooks,
    ) -> None:
        has_source = config.subscribe_url is not None
        self.inbox: Inbox[Item] = Inbox(_INBOX_BYTES if has_source else INBOX_BYTES)
        self.outbox: Outbox[Packet | None] = Outbox(_OUTBOX_BYTES)
        self.outlet = Outlet(shared.outlet if shared is not None else None)
        slot = Slot(drop=config.drop, max_framerate=config.max_framerate)
        between: Handover[Frame] = Handover(_ENCODE_AHEAD)
        route = SoundRoute()
        ear = Ear(slot.poke)
        sound = Intake(config.encode.audio, route, ear, stats)
        decode = (
            DecodeStage(config, self.inbox, slot, sound, stats, self.outlet, hooks.on_error)
            if has_source
            else PictureStage(
                config, self.inbox, slot, stats, self.outlet,
                on_refused=hooks.on_refused, on_error=hooks.on_error,
            )
        )  # fmt: skip
        self.engine = EngineStage(
            config,
            slot,
            between,
            stats,
            warm.engine if warm else None,
            warm.workflow if warm else None,
            on_ready=hooks.on_ready,
            on_params=hooks.on_params,
            on_failed=hooks.on_failed,
            on_texts=hooks.on_texts,
            on_error=hooks.on_error,
            ear=ear,
            route=route,
            lead=sound.lead_pid,
            outlet=self.outlet,
        )
        encode = (
            EncodeStage(
                config.encode, between, route, self.outbox, stats,
                tracks=sound.tracks, delay=ear.delay,
                on_failed=hooks.on_failed, on_error=hooks.on_error,
            )
            if config.publish_url is not None
            else UncodedStage(between, route, self.outbox, hooks.on_error)
        )  # fmt: skip
        self.reporter = Reporter(stats, decode, slot, self.engine, encode, sound)
        self._stages = (self.engine, decode, encode)

    def start(self) -> None:
        for stage in self._stages:
            stage.start()

    def close(self) -> None:
        """Let the threads go that wait for the loop; what is in flight is dropped."""
        self.outlet.close()
        self.outbox.close()
