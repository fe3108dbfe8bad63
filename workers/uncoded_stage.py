"""Third thread of a stream that publishes nowhere: frames are counted and let go, not encoded.

In place of the EncodeStage. Whoever wants to see them looks into the outlet.
"""

from __future__ import annotations

from collections.abc import Callable

from workers.audio import AudioRoute
from workers.items import Packet, SentFrame
from workers.media.frames import Frame
from workers.queues import Closed, Handover, Outbox
from workers.stages import Stage


class UncodedStage(Stage):
    """Passes on which frames came out, without a byte of them."""

    encoder_name: str | None = None

    def __init__(
        self,
        source: Handover[Frame],
        audio: AudioRoute,
        outbox: Outbox[Packet | None],
        on_error: Callable[[str, Exception], None],
    ) -> None:
        super().__init__("encode", on_error)
        self._source = source
        self._audio = audio
        self._outbox = outbox

    def work(self) -> None:
        try:
            while (frame := self._source.get()) is not None:
                self._audio.until(frame.pts)  # nobody hears it
                sent = SentFrame(frame.arrived, frame.segment, frame.source_pts, frame.pts)
                self._outbox.put(Packet(b"", False, sent))
                del frame  # its memory is the next one's
            self._outbox.put(None)
        except Closed:
            pass  # the loop's side has gone first and knows why

    def abort(self) -> None:
        self._source.close()

    def dropped(self) -> dict[str, int]:
        """Nothing is lost here."""
        return {}
