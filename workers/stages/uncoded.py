"""Third thread of a stream that publishes nowhere: frames are counted and let go, not encoded.

In place of the EncodeStage. Whoever wants to see them looks into the outlet.
"""

from __future__ import annotations

import queue
from collections.abc import Callable

from workers.media.frames import Frame
from workers.sound.outgoing import SoundCounts
from workers.sound.route import Held, SoundRoute
from workers.stages.items import Packet, SentFrame, SentSound
from workers.stages.queues import Closed, Handover, Outbox
from workers.stages.stage import Stage

_PAUSE_S = 0.5  # without a frame; then sound is looked after by itself


class UncodedStage(Stage):
    """Passes on which frames came out, without a byte of them."""

    encoder_name: str | None = None

    def __init__(
        self,
        source: Handover[Frame],
        route: SoundRoute,
        outbox: Outbox[Packet | None],
        on_error: Callable[[str, Exception], None],
    ) -> None:
        super().__init__("encode", on_error)
        self._source = source
        self._route = route
        self._outbox = outbox
        route.on_alone = source.poke

    def work(self) -> None:
        try:
            while (frame := self._next()) is not None:
                sent = SentFrame(frame.arrived, frame.segment, frame.source_pts, frame.pts)
                self._outbox.put(Packet(b"", False, sent))
                self._let_go(self._route.until(frame.pts))
                del frame  # its memory is the next one's
            self._let_go(self._route.rest())
            self._outbox.put(None)
        except Closed:
            pass  # the loop's side has gone first and knows why

    def _next(self) -> Frame | None:
        while True:
            try:
                return self._source.get(_PAUSE_S)
            except queue.Empty:
                route = self._route
                self._let_go(route.rest() if route.alone else route.overdue())

    def _let_go(self, all_held: list[Held]) -> None:
        """Nobody hears it."""
        for held in all_held:
            sent = SentSound(held.segment, held.source_pts, held.pts)
            self._outbox.put(Packet(b"", False, sent))

    def sound_counts(self) -> SoundCounts:
        return SoundCounts()

    def abort(self) -> None:
        self._source.close()

    def dropped(self) -> dict[str, int]:
        """Nothing is lost here."""
        return {}
