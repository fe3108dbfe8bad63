"""Sound on its way from the decode thread to the workflow, in the pieces that it asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from comfytrickle.mpegts.units import CLOCK
from workers.sound.pieces import Pieces
from workers.sound.sound import Sound

# A source whose sound comes later than this after its video is taken for one without sound just
# now: the workflow then hears silence.
_LAG_TICKS = 2 * CLOCK


class Ear:
    """``put`` and ``end`` from the decode thread, the rest from the engine thread.

    Attributes that any thread reads: ``settled``: a workflow was loaded, so it is known what
    becomes of the sound; ``listens``: it hears the sound; ``makes``: what it makes of it takes its
    place.
    """

    def __init__(self, on_piece: Callable[[], None]) -> None:
        self._on_piece = on_piece
        self._lock = threading.Lock()
        self._pieces: Pieces | None = None
        self._ready: deque[Sound] = deque()
        self._first_frame: int | None = None  # pts, since somebody listens
        self._seconds = 0.0
        self.settled = False
        self.makes = False

    @property
    def listens(self) -> bool:
        return self._pieces is not None

    @property
    def seconds(self) -> float:
        """Of a piece; 0 when nobody listens."""
        return self._seconds

    def delay(self) -> float:
        """By how many seconds sound that is made here comes later than sound that is not."""
        return self._seconds if self.makes else 0.0

    def listen(self, seconds: float, *, makes: bool) -> list[Sound]:
        """From here on give pieces of this length; 0: nobody listens any more. Returns what was
        heard and not taken: where it was to be made into something, it has not gone out yet."""
        with self._lock:
            left = list(self._ready)
            self._ready.clear()
            if self._pieces is not None:
                left += self._pieces.leave()
            self._pieces = Pieces(seconds) if seconds else None
            self._first_frame = None
            self._seconds, self.makes, self.settled = seconds, makes, True
            return left

    def put(self, sound: Sound, *, made: bool) -> bool:
        """Some more of the sound, in order. ``made``: it is left to the workflow, and does not go
        out by itself. False: that is not so any more, it was not taken."""
        with self._lock:
            if self._pieces is None or made != self.makes:
                return False
            self._pieces.put(sound)
            came = self._take_complete()
        if came:
            self._on_piece()
        return True

    def silence_until(self, video_pts: int) -> None:
        """The video has come so far: where the sound is missing it is silence."""
        with self._lock:
            if self._pieces is None:
                return
            if self._first_frame is None:
                self._first_frame = video_pts
            pts = video_pts - _LAG_TICKS
            if pts > self._first_frame:
                self._pieces.silence_until(pts)
                self._take_complete()

    def end(self) -> None:
        """No more sound comes: what is left is a piece, too."""
        with self._lock:
            if self._pieces is not None:
                self._ready.extend(self._pieces.flush())

    def take(self) -> Sound | None:
        """The next piece; None: none is complete."""
        with self._lock:
            return self._ready.popleft() if self._ready else None

    @property
    def waiting_s(self) -> float:
        """Seconds of sound in complete pieces."""
        with self._lock:
            return sum(len(piece.samples[0]) / piece.rate for piece in self._ready)

    def _take_complete(self) -> bool:
        assert self._pieces is not None
        complete = self._pieces.take()
        self._ready.extend(complete)
        return bool(complete)
