"""Where a subscriber stands in a channel, and what each answer to a GET means for it. Pure.

"Row" numbers are those of docs/trickle.md.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from comfytrickle.trickle.channel_http import Answer, is_passing
from comfytrickle.trickle.protocol import STATUS_NOT_IN_WINDOW, WINDOW


class Phase(str, enum.Enum):
    """Where a subscriber or a publisher stands, in the words of messages.Status."""

    CONNECTING = "connecting"
    WAITING = "waiting"  # there is no such channel yet
    LIVE = "live"
    RETRYING = "retrying"
    ENDED = "ended"


class Do(enum.Enum):
    """What to do after an answer."""

    TAKE = enum.auto()  # the body is segment ``Cursor.taken``
    AGAIN = enum.auto()  # GET ``Cursor.seq`` at once
    POLL = enum.auto()  # ... after a short pause: something is about to happen there
    BACK_OFF = enum.auto()  # ... after a growing pause
    END = enum.auto()  # see ``Cursor.end_reason``
    REFUSE = enum.auto()  # no answer that a trickle server gives here


@dataclass
class SubscriberCounters:
    """Totals of one subscriber."""

    segments: int = 0  # handed out
    bytes: int = 0  # handed out
    segments_lost: int = 0  # wholly or in part
    retries: int = 0  # GETs that broke or got a 5xx, and were tried again
    server_restarts: int = 0
    empty_segments: int = 0


# Polls of a number that the channel seems to have gone back behind, before it is believed: a late
# repeat of the last segment sets ``next`` back for a moment (row 8).
_DOUBT_POLLS = 6


class Cursor:
    """The next seq to GET, and the memory that tells one 404 or 470 from another.

    ``appear_timeout_s``: how long a channel that was never seen is waited for (None: for ever).
    ``reappear_timeout_s``: the same for one that is gone after the connection to the server
    broke; without a break before it, 404 is the channel's end.
    ``live``: who has fallen out of the window goes on at its newest end, not at its oldest.
    Times are passed in, in seconds.
    """

    def __init__(
        self,
        start: int,
        *,
        now: float,
        appear_timeout_s: float | None,
        reappear_timeout_s: float | None,
        counters: SubscriberCounters,
        live: bool = True,
    ) -> None:
        self.seq = start
        self._live = live
        self.taken = -1
        self._wanted = start >= 0  # that very number, and nothing was taken yet
        self.gap = False  # something before ``seq`` was lost since the last TAKE
        self.end_reason: str | None = None
        self.phase = Phase.CONNECTING
        self._counters = counters
        self._appear_timeout_s = appear_timeout_s
        self._reappear_timeout_s = reappear_timeout_s
        self._started = now
        self._seen = False
        self._failing = False  # the last thing we know of the server is a failure
        self._absent_since: float | None = None  # 404 after a failure
        self._restarted = False  # noticed, and nothing was taken since
        self._empties = 0  # in a row, just before ``seq``
        self._hollow = 0  # bodies without a byte, in a row
        self._doubts = 0

    def failed(self, now: float) -> Do:
        """No answer came, or a body broke off, or the server said 5xx."""
        self._counters.retries += 1
        self._failing = True
        if not self._seen and self._is_over(self._started, self._appear_timeout_s, now):
            return self._end("never_appeared")
        self.phase = Phase.RETRYING
        return Do.BACK_OFF

    def answered(self, answer: Answer, now: float) -> Do:
        """An answer to GET ``seq`` is there."""
        if is_passing(answer.status):
            return self.failed(now)
        if answer.status == 404:
            return self._absent(now)
        if answer.status == STATUS_NOT_IN_WINDOW and answer.latest is not None:
            recovering = self._is_recovering
            self._present()
            return self._out_of_window(answer.latest, recovering)
        if answer.status == 200:
            return self._ok(answer)
        return Do.REFUSE

    def answered_again(self, answer: Answer, now: float) -> Do:
        """An answer to a second GET of segment ``taken``, wanted for its rest, is there.

        END means that the rest is lost; the channel itself is judged at ``seq``.
        """
        if is_passing(answer.status):
            return self.failed(now)
        if answer.status == 404 and self._may_reappear(now):
            self.phase = Phase.RETRYING
            return Do.BACK_OFF
        if answer.status == STATUS_NOT_IN_WINDOW and answer.latest == 0:
            self._note_restart()
            return Do.POLL  # made anew, and nothing is there: the publisher may repeat this one
        if answer.status == 200 and not (answer.closed or answer.empty):
            self._present()
            return Do.TAKE
        return Do.END

    @property
    def _is_recovering(self) -> bool:
        return self._failing or self._restarted or self._empties > 0

    def _ok(self, answer: Answer) -> Do:
        seq = answer.seq if answer.seq is not None else self.seq
        if answer.closed:
            return self._end("closed")
        if seq < 0:
            return Do.REFUSE  # no trickle server: it does not say which segment this is
        self._present()
        self._doubts = 0
        self.seq = seq + 1
        if answer.empty:
            self._counters.empty_segments += 1
            self._empties += 1
            return Do.AGAIN if self._empties == 1 else Do.POLL
        self.taken = seq
        self._wanted = False
        self._empties = 0
        self._restarted = False
        return Do.TAKE

    def body_ended(self, size: int) -> None:
        """The body of the segment taken came to its end after ``size`` bytes."""
        if size:
            self._hollow = 0
        else:
            self._counters.empty_segments += 1
            self._hollow += 1

    @property
    def is_spinning(self) -> bool:
        """The last bodies had no byte, so that nothing but a pause limits the rate of GETs."""
        return self._hollow > 1

    def _out_of_window(self, latest: int, recovering: bool) -> Do:
        """470: ``latest`` is what the server counts as its next segment (rows 22, 24)."""
        if latest > self.seq:
            # Behind. The live edge is the next segment; but when it was not our slowness that
            # brought us here, the current one, which can still be had whole, loses less.
            # One who asked for this number wants all that there is from it on.
            if self._wanted or not self._live:
                target = max(latest - WINDOW, self.seq + 1)
            else:
                target = max(latest - 1, self.seq + 1) if recovering else latest
            self._counters.segments_lost += target - self.seq
            self.gap = True
            self.seq = target
            return self._hurry()
        if latest == self.seq:
            return Do.POLL  # begun between the two looks that the server took
        if latest == self.seq - 1 and (self._empties or self._doubts < _DOUBT_POLLS):
            # One behind us: a segment that was dropped before its turn (row 33), or repeated.
            self._doubts += 1
            return Do.POLL
        # It counts from the beginning again: another server process, or another publisher.
        self._note_restart()
        if latest == 0:
            # Nothing is there yet, and whether it will be 0 or the old numbers is not known: a
            # GET of 0 could wait for ever.
            return Do.POLL
        self._counters.segments_lost += latest - 1
        self.gap = True
        self.seq = latest - 1
        return self._hurry()

    def _hurry(self) -> Do:
        self._doubts += 1
        return Do.AGAIN if self._doubts <= 1 else Do.POLL

    def _absent(self, now: float) -> Do:
        if not self._seen:
            if self._is_over(self._started, self._appear_timeout_s, now):
                return self._end("never_appeared")
            self.phase = Phase.WAITING
            return Do.BACK_OFF
        if not self._may_reappear(now):
            return self._end("gone")
        self.phase = Phase.RETRYING
        return Do.BACK_OFF

    def _may_reappear(self, now: float) -> bool:
        """A 404 of a channel that was there: True while it is to be waited for."""
        if self._absent_since is None:
            if not self._failing:
                return False
            self._absent_since = now
            self._note_restart()
        return not self._is_over(self._absent_since, self._reappear_timeout_s, now)

    def _present(self) -> None:
        self._seen = True
        self._failing = False
        self._absent_since = None
        self.phase = Phase.LIVE

    def _note_restart(self) -> None:
        if not self._restarted:
            self._restarted = True
            self._counters.server_restarts += 1

    def _end(self, reason: str) -> Do:
        self.end_reason = reason
        self.phase = Phase.ENDED
        return Do.END

    @staticmethod
    def _is_over(since: float, timeout_s: float | None, now: float) -> bool:
        return timeout_s is not None and now - since >= timeout_s
