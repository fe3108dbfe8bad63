"""What each answer to a GET means, from the rows of docs/trickle.md. No I/O."""

from __future__ import annotations

import pytest

from comfytrickle.trickle.channel_http import Answer, parse_answer
from comfytrickle.trickle.cursor import Cursor, Do, Phase, SubscriberCounters
from comfytrickle.trickle.protocol import SEQ_CURRENT, WINDOW


def make(
    start: int = SEQ_CURRENT, *, appear: float | None = None, reappear: float | None = 30.0
) -> tuple[Cursor, SubscriberCounters]:
    counters = SubscriberCounters()
    cursor = Cursor(
        start, now=0.0, appear_timeout_s=appear, reappear_timeout_s=reappear, counters=counters
    )
    return cursor, counters


def took(seq: int) -> Cursor:
    return took_with_counters(seq)[0]


def took_with_counters(seq: int) -> tuple[Cursor, SubscriberCounters]:
    cursor, counters = make(seq)
    assert cursor.answered(Answer(200, seq=seq), 0.0) is Do.TAKE
    return cursor, counters


def test_a_head_is_read() -> None:
    headers = {"Lp-Trickle-Seq": "7", "Lp-Trickle-Latest": "x", "Content-Length": "0"}
    assert parse_answer(200, headers) == Answer(200, seq=7, latest=None, empty=True)
    closed = parse_answer(200, {"Lp-Trickle-Closed": "terminated", "Lp-Trickle-Latest": "8"})
    assert closed == Answer(200, latest=8, closed=True)


def test_segments_follow_each_other() -> None:
    cursor, _ = make()
    assert cursor.answered(Answer(200, seq=41), 0.0) is Do.TAKE
    assert (cursor.taken, cursor.seq, cursor.phase, cursor.gap) == (41, 42, Phase.LIVE, False)


def test_an_answer_without_a_number_is_no_trickle_server() -> None:
    assert make()[0].answered(Answer(200), 0.0) is Do.REFUSE
    assert make(3)[0].answered(Answer(200), 0.0) is Do.TAKE  # it was asked for by number


def test_closed_and_refused() -> None:
    cursor = took(3)
    assert cursor.answered(Answer(200, seq=4, latest=5, closed=True, empty=True), 0.0) is Do.END
    assert cursor.end_reason == "closed"
    for status in (400, 401, 403, 418):
        assert took(3).answered(Answer(status), 0.0) is Do.REFUSE


@pytest.mark.parametrize("status", [500, 502, 503, 408, 429])
def test_passing_trouble_is_tried_again_on_the_same_seq(status: int) -> None:
    cursor, counters = took_with_counters(3)
    assert cursor.answered(Answer(status), 0.0) is Do.BACK_OFF
    assert (cursor.seq, counters.retries, cursor.phase) == (4, 1, Phase.RETRYING)


def test_absent_at_first_is_waited_for() -> None:
    cursor, _ = make(appear=10.0)
    assert cursor.answered(Answer(404), 9.9) is Do.BACK_OFF
    assert cursor.phase is Phase.WAITING
    assert cursor.answered(Answer(404), 10.0) is Do.END
    assert cursor.end_reason == "never_appeared"
    assert make()[0].answered(Answer(404), 1e9) is Do.BACK_OFF


def test_absent_later_is_the_end() -> None:
    cursor = took(3)
    assert cursor.answered(Answer(404), 1.0) is Do.END
    assert cursor.end_reason == "gone"


def test_absent_after_a_failure_is_a_restart_and_waited_for() -> None:
    cursor, counters = took_with_counters(3)
    cursor.failed(100.0)
    assert cursor.answered(Answer(404), 101.0) is Do.BACK_OFF
    assert cursor.answered(Answer(404), 130.9) is Do.BACK_OFF
    assert counters.server_restarts == 1
    assert cursor.answered(Answer(404), 131.0) is Do.END
    assert cursor.end_reason == "gone"


def test_behind_jumps_to_the_live_edge() -> None:
    cursor, counters = took_with_counters(3)
    assert cursor.answered(Answer(470, seq=4, latest=12), 0.0) is Do.AGAIN
    assert (cursor.seq, counters.segments_lost, cursor.gap) == (12, 8, True)
    assert counters.server_restarts == 0


def test_behind_goes_on_at_the_oldest_for_who_wants_all() -> None:
    counters = SubscriberCounters()
    cursor = Cursor(
        3,
        now=0.0,
        appear_timeout_s=None,
        reappear_timeout_s=None,
        counters=counters,
        live=False,
    )
    assert cursor.answered(Answer(200, seq=3), 0.0) is Do.TAKE
    assert cursor.answered(Answer(470, seq=4, latest=12), 0.0) is Do.AGAIN
    assert (cursor.seq, counters.segments_lost, cursor.gap) == (12 - WINDOW, 8 - WINDOW, True)


def test_a_number_that_was_asked_for_and_is_gone_gives_the_oldest_that_is_there() -> None:
    """A worker's successor goes on where it was; what is left of that is in the window."""
    cursor, _ = make(4)
    assert cursor.answered(Answer(470, seq=4, latest=12), 0.0) is Do.AGAIN
    assert cursor.seq == 12 - WINDOW
    cursor.answered(Answer(470, seq=cursor.seq, latest=13), 0.0)  # that one went meanwhile
    assert cursor.seq == 13 - WINDOW
    assert cursor.answered(Answer(200, seq=cursor.seq), 0.0) is Do.TAKE
    assert cursor.taken == 13 - WINDOW and cursor.gap
    cursor.answered(Answer(470, seq=cursor.seq, latest=30), 0.0)  # from now on as any other
    assert cursor.seq == 30


def test_behind_after_a_failure_takes_the_current_one() -> None:
    cursor, counters = took_with_counters(3)
    cursor.failed(0.0)
    cursor.answered(Answer(470, seq=4, latest=12), 0.0)
    assert (cursor.seq, counters.segments_lost) == (11, 7)


def test_a_restarted_server_is_followed_from_what_it_has_begun() -> None:
    cursor, counters = took_with_counters(36)
    cursor.failed(0.0)
    for _ in range(3):  # nothing there yet: neither 0 nor 37 can be known
        assert cursor.answered(Answer(470, seq=37, latest=0), 0.0) is Do.POLL
        assert cursor.seq == 37
    assert cursor.answered(Answer(470, seq=37, latest=1), 0.0) is Do.AGAIN
    assert (cursor.seq, cursor.gap, counters.server_restarts) == (0, True, 1)
    assert cursor.answered(Answer(200, seq=0), 0.0) is Do.TAKE


def test_a_restarted_server_whose_publisher_keeps_its_numbers() -> None:
    cursor, counters = took_with_counters(36)
    cursor.failed(0.0)
    assert cursor.answered(Answer(404), 0.0) is Do.BACK_OFF
    assert cursor.answered(Answer(470, seq=37, latest=0), 0.0) is Do.POLL
    assert cursor.answered(Answer(200, seq=37), 0.0) is Do.TAKE
    assert (cursor.gap, counters.segments_lost, counters.server_restarts) == (False, 0, 1)


def test_a_dropped_segment_is_no_restart() -> None:
    cursor, counters = took_with_counters(3)
    assert cursor.answered(Answer(200, seq=4, latest=4, empty=True), 0.0) is Do.AGAIN
    for _ in range(50):  # row 33: next has not moved
        assert cursor.answered(Answer(470, seq=5, latest=4), 0.0) is Do.POLL
    assert (cursor.seq, counters.server_restarts, counters.empty_segments) == (5, 0, 1)


def test_one_behind_is_doubted_before_it_is_believed() -> None:
    cursor, counters = took_with_counters(3)
    does = [cursor.answered(Answer(470, seq=4, latest=3), 0.0) for _ in range(7)]
    assert does == [Do.POLL] * 7
    assert counters.server_restarts == 1
    assert cursor.seq == 2


def test_empty_ones_in_a_row_are_slowed_down() -> None:
    cursor, counters = took_with_counters(0)
    does = [cursor.answered(Answer(200, seq=n, latest=n, empty=True), 0.0) for n in range(1, 5)]
    assert does == [Do.AGAIN, Do.POLL, Do.POLL, Do.POLL]
    assert counters.empty_segments == 4
    for _ in range(2):
        cursor.body_ended(0)
    assert cursor.is_spinning
    cursor.body_ended(1)
    assert not cursor.is_spinning


def test_the_rest_of_a_broken_segment() -> None:
    cursor, _ = took_with_counters(3)
    cursor.failed(0.0)
    assert cursor.answered_again(Answer(503), 0.0) is Do.BACK_OFF
    assert cursor.answered_again(Answer(404), 0.0) is Do.BACK_OFF
    assert cursor.answered_again(Answer(470, seq=3, latest=0), 0.0) is Do.POLL
    assert cursor.answered_again(Answer(200, seq=3), 0.0) is Do.TAKE
    assert cursor.answered_again(Answer(470, seq=3, latest=12), 0.0) is Do.END
    assert cursor.answered_again(Answer(404), 0.0) is Do.END  # no failure since
    assert cursor.seq == 4
