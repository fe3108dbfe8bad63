"""The trickle server's state and its rules, without HTTP."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfytrickle.trickle.protocol import SEQ_CURRENT, SEQ_NEXT, WINDOW
from comfytrickle.trickle.segment import Segment
from comfytrickle.trickle.store import CHANGES, Channel, Store, StoreFull


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def channel(clock: Clock) -> Channel:
    return Channel("c", "video/MP2T", clock)


def publish(channel: Channel, seq: int, *chunks: bytes) -> Segment:
    """One whole POST."""
    segment = channel.open_for_write(seq)
    for chunk in chunks:
        channel.append(segment, chunk)
    channel.finish(segment)
    return segment


def numbers(channel: Channel) -> list[int]:
    return sorted(segment.seq for segment in channel.segments())


# --- segments ---


def test_listeners_hear_each_append_and_one_close() -> None:
    segment = Segment(3)
    heard: list[tuple[int, bool]] = []
    segment.listeners.add(lambda: heard.append((segment.size, segment.closed)))
    segment.append(b"ab")
    segment.append(b"c")
    segment.close()
    segment.close()
    assert heard == [(2, False), (3, False), (3, True)]


def test_take_gives_batches_from_a_position() -> None:
    segment = Segment(0)
    for chunk in (b"aaaa", b"bb", b"cccc"):
        segment.append(chunk)
    assert segment.take(0, 5) == ([b"aaaa", b"bb"], 2)
    assert segment.take(2, 1) == ([b"cccc"], 3)
    assert segment.take(3, 5) == ([], 3)


# --- next, and the window ---


def test_next_moves_with_the_first_byte_not_before(channel: Channel) -> None:
    segment = channel.open_for_write(0)
    assert channel.next == 0
    channel.append(segment, b"x")
    assert channel.next == 1
    channel.append(segment, b"y")
    channel.finish(segment)
    assert (channel.next, segment.chunks, segment.closed) == (1, [b"x", b"y"], True)


def test_an_empty_segment_moves_next_at_its_end(channel: Channel) -> None:
    segment = publish(channel, 0)
    assert (channel.next, segment.size, segment.closed) == (1, 0, True)


def test_window_is_five(channel: Channel) -> None:
    for seq in range(7):
        publish(channel, seq, b"x")
    assert numbers(channel) == [2, 3, 4, 5, 6]
    assert channel.open_for_read(1) is None
    assert channel.open_for_read(8) is None


@pytest.mark.parametrize("by", ["reader", "writer"])
def test_the_next_one_takes_a_slot_too(channel: Channel, by: str) -> None:
    for seq in range(7):
        publish(channel, seq, b"x")
    if by == "reader":
        channel.open_for_read(7)
    else:
        channel.open_for_write(7)
    assert numbers(channel) == [3, 4, 5, 6, 7]


def test_an_evicted_open_segment_is_closed_and_takes_no_more(channel: Channel) -> None:
    old = channel.open_for_write(0)
    channel.append(old, b"x")
    publish(channel, 5, b"y")
    assert old.closed
    channel.append(old, b"late")
    channel.finish(old)
    assert (old.size, channel.next) == (1, 6)


def test_special_numbers(channel: Channel) -> None:
    assert (channel.resolve(SEQ_NEXT), channel.resolve(SEQ_CURRENT)) == (0, 0)
    publish(channel, 0, b"x")
    publish(channel, 1, b"x")
    assert (channel.resolve(SEQ_NEXT), channel.resolve(SEQ_CURRENT)) == (2, 1)
    assert channel.resolve(17) == 17


def test_a_gap_is_accepted_and_can_be_filled_late(channel: Channel) -> None:
    publish(channel, 0, b"x")
    publish(channel, 3, b"x")
    assert channel.next == 4
    publish(channel, 2, b"late")
    assert channel.next == 4
    late = channel.open_for_read(2)
    assert late is not None and late.chunks == [b"late"]
    assert numbers(channel) == [0, 2, 3]


def test_preconnected_segments_may_begin_in_any_order(channel: Channel) -> None:
    first, second = channel.open_for_write(0), channel.open_for_write(1)
    channel.append(second, b"b")
    assert channel.next == 2
    channel.append(first, b"a")
    assert channel.next == 2
    assert channel.open_for_read(0) is first


def test_a_reader_may_be_one_ahead_on_a_fresh_channel_only(channel: Channel) -> None:
    early = channel.open_for_read(1)
    assert early is not None and not early.closed
    assert channel.open_for_read(2) is None
    publish(channel, 0, b"x")
    publish(channel, 1, b"y")
    assert early.chunks == [b"y"]
    assert channel.open_for_read(3) is None


def test_a_preconnected_segment_ahead_of_next_can_be_waited_for(channel: Channel) -> None:
    segment = channel.open_for_write(4)
    assert channel.open_for_read(4) is segment
    assert channel.open_for_read(3) is None
    assert channel.next == 0


# --- the same number again ---


def test_a_live_segment_takes_a_second_writer(channel: Channel) -> None:
    first = channel.open_for_write(0)
    channel.append(first, b"a")
    again = channel.open_for_write(0)
    assert again is first
    channel.append(again, b"b")
    assert channel.leave(first) is False  # the other one still writes
    channel.finish(again)
    assert (first.chunks, first.closed, channel.next) == ([b"a", b"b"], True, 1)


def test_a_finished_segment_is_not_written_again(channel: Channel) -> None:
    for seq in range(3):
        publish(channel, seq, b"x")
    again = channel.open_for_write(1)
    assert (again.closed, again.writers, channel.next) == (True, 0, 3)
    assert again.chunks == [b"x"]


def test_a_lapsed_number_does_not_disturb_living_writers(channel: Channel) -> None:
    for seq in range(10):
        publish(channel, seq, b"x")
    live = channel.open_for_write(10)
    late = channel.open_for_write(3)
    assert late.closed
    assert (channel.next, numbers(channel)) == (10, [6, 7, 8, 9, 10])
    assert not live.closed


def test_a_late_number_does_not_evict_a_newer_one(channel: Channel) -> None:
    for seq in range(8):
        publish(channel, seq, b"x")
    ahead = channel.open_for_write(8)  # in the slot that 3 had
    late = channel.open_for_write(3)
    assert late.closed
    assert not ahead.closed and channel.open_for_read(8) is ahead


@pytest.mark.parametrize("start", [0, 3])
def test_a_new_publisher_may_count_from_an_old_number(channel: Channel, start: int) -> None:
    for seq in range(20):
        publish(channel, seq, b"old")
    waiting = channel.open_for_read(20)
    assert waiting is not None
    fresh = channel.open_for_write(start)
    assert waiting.closed  # its readers are sent to the new start
    assert (channel.next, numbers(channel)) == (start, [start])
    channel.append(fresh, b"new")
    channel.finish(fresh)
    publish(channel, start + 1, b"new too")
    second = channel.open_for_read(start + 1)
    assert second is not None and second.chunks == [b"new too"]
    assert channel.next == start + 2


def test_zero_starts_over_even_while_an_old_connection_hangs(channel: Channel) -> None:
    for seq in range(20):
        publish(channel, seq, b"old")
    hanging = channel.open_for_write(20)
    fresh = channel.open_for_write(0)
    assert not fresh.closed and hanging.closed
    channel.finish(hanging)  # what its handler does when the segment is closed under it
    assert channel.next == 0
    channel.append(fresh, b"new")
    assert channel.open_for_read(0) is fresh


def test_reset_closes_what_is_older(channel: Channel) -> None:
    old = channel.open_for_write(0)
    channel.append(old, b"x")
    same = channel.open_for_write(1)
    ahead = channel.open_for_write(2)
    assert channel.open_for_write(1, reset=True) is same
    assert [old.closed, same.closed, ahead.closed] == [True, False, False]


# --- writers that go away ---


def test_a_writer_that_leaves_in_the_middle_makes_an_orphan(channel: Channel) -> None:
    segment = channel.open_for_write(0)
    assert channel.leave(segment) is False  # no byte yet: just a segment to come
    assert channel.open_for_write(0) is segment
    channel.append(segment, b"x")
    assert channel.leave(segment) is True
    assert channel.open_for_write(0) is segment
    assert channel.is_orphan(segment) is False
    channel.finish(segment)
    assert channel.is_orphan(segment) is False


# --- deleting ---


def test_delete_of_the_next_segment_moves_the_readers_on(channel: Channel) -> None:
    waiting = channel.open_for_read(0)
    assert waiting is not None
    assert channel.delete_segment(0) is True
    assert waiting.closed and channel.next == 1
    following = channel.open_for_read(1)
    assert following is not None and not following.closed


def test_delete_of_a_preconnected_segment_moves_next(channel: Channel) -> None:
    ahead = channel.open_for_write(2)
    assert channel.delete_segment(2) is True
    assert ahead.closed and channel.next == 3


def test_a_segment_deleted_before_its_turn_is_passed_over(channel: Channel) -> None:
    channel.open_for_read(1)
    assert channel.delete_segment(1) is True
    assert channel.next == 0
    publish(channel, 0, b"x")
    assert channel.next == 2


def test_a_deleted_live_segment_is_still_written_for_later_readers(channel: Channel) -> None:
    segment = channel.open_for_write(0)
    channel.append(segment, b"a")
    assert channel.delete_segment(0) is True
    assert segment.closed
    channel.append(segment, b"late")
    assert segment.chunks == [b"a", b"late"]
    assert channel.next == 1


def test_delete_of_what_is_not_there(channel: Channel) -> None:
    publish(channel, 0, b"x")
    assert channel.delete_segment(7) is False
    assert channel.delete_segment(1) is False
    assert channel.next == 1


def test_closing_a_channel_ends_everything(channel: Channel) -> None:
    live = channel.open_for_write(0)
    channel.append(live, b"x")
    preconnected = channel.open_for_write(1)
    channel.close()
    assert channel.closed and live.closed and preconnected.closed
    assert channel.next == 2  # as if the preconnected one had been empty
    channel.append(live, b"nowhere")
    assert live.size == 1


# --- the store ---


def make_store(clock: Clock, *, max_channels: int = 10, changefeed: bool = False) -> Store:
    return Store(clock=clock, max_channels=max_channels, changefeed=changefeed)


def test_the_first_mime_type_stays(clock: Clock) -> None:
    store = make_store(clock)
    channel = store.create("a", "")
    assert store.create("a", "video/MP2T") is channel
    assert store.create("a", "text/plain") is channel
    assert channel.mime == "video/MP2T"


def test_a_full_store_takes_no_more_but_keeps_what_it_has(clock: Clock) -> None:
    store = make_store(clock, max_channels=2)
    first = store.create("a", "")
    store.create("b", "")
    with pytest.raises(StoreFull):
        store.create("c", "")
    assert store.create("a", "") is first
    assert store.delete("b") is True
    store.create("c", "")
    assert len(store) == 2


def test_a_deleted_channel_comes_back_fresh(clock: Clock) -> None:
    store = make_store(clock)
    old = store.create("a", "x/y")
    publish(old, 0, b"x")
    assert store.delete("a") is True
    assert store.delete("a") is False
    assert old.closed and store.get("a") is None
    fresh = store.create("a", "")
    assert (fresh is old, fresh.next, fresh.mime) == (False, 0, "")


def test_the_sweep_takes_what_had_no_byte(clock: Clock) -> None:
    store = make_store(clock)
    quiet, busy = store.create("quiet", ""), store.create("busy", "")
    store.create("_own", "")
    segment = busy.open_for_write(0)
    for _ in range(6):  # one long segment: its bytes count
        clock.now += 50.0
        busy.append(segment, b"x")
        quiet.open_for_read(0)  # readers do not
    assert store.sweep(300.0) == ["quiet"]
    assert quiet.closed and not busy.closed
    clock.now += 299.0
    assert store.sweep(300.0) == []
    clock.now += 1.0
    assert store.sweep(300.0) == ["busy"]
    assert store.get("_own") is not None


def test_the_changefeed_has_one_segment_for_each_event(clock: Clock) -> None:
    store = make_store(clock, changefeed=True)
    store.create("a", "")
    store.create("a", "")
    store.delete("a")
    feed = store.get(CHANGES)
    assert feed is not None and feed.mime == "application/json"
    events = [json.loads(b"".join(s.chunks)) for s in sorted(feed.segments(), key=lambda s: s.seq)]
    assert events == [{"added": [CHANGES]}, {"added": ["a"]}, {"removed": ["a"]}]


def test_a_closed_store_has_ended_all_channels(clock: Clock) -> None:
    store = make_store(clock, changefeed=True)
    channels = [store.create(name, "") for name in "abc"]
    store.close()
    assert all(channel.closed for channel in channels)
    assert len(store) == 0


# --- what must hold whatever happens ---

_seqs = st.integers(0, 25)
_steps = st.one_of(
    st.tuples(st.just("open"), _seqs, st.booleans()),
    st.tuples(st.just("append"), _seqs, st.just(False)),
    st.tuples(st.just("finish"), _seqs, st.just(False)),
    st.tuples(st.just("leave"), _seqs, st.just(False)),
    st.tuples(st.just("read"), _seqs, st.just(False)),
    st.tuples(st.just("delete"), _seqs, st.just(False)),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(_steps, max_size=60))
def test_a_reader_that_goes_to_next_never_runs_in_a_circle(
    steps: list[tuple[str, int, bool]],
) -> None:
    channel = Channel("c", "", Clock())
    known: set[Segment] = set()
    writing: list[Segment] = []
    for what, seq, flag in steps:
        segment: Segment | None = None
        if what == "open":
            segment = channel.open_for_write(seq, reset=flag)
            if not segment.closed:
                writing.append(segment)
        elif what == "read":
            segment = channel.open_for_read(seq)
        elif what == "delete":
            channel.delete_segment(seq)
        elif writing:
            segment = writing[seq % len(writing)]
            if what == "append":
                channel.append(segment, b"x")
            else:
                (channel.finish if what == "finish" else channel.leave)(segment)
                writing.remove(segment)
        if segment is not None:
            known.add(segment)

        window = list(channel.segments())
        known.update(window)
        assert len(window) <= WINDOW
        assert all(segment.closed for segment in known if segment not in window)
        assert all(segment.writers == writing.count(segment) for segment in known)
        # What waits at next is open and has no byte: a reader there really waits.
        at_next = [segment for segment in window if segment.seq == channel.next]
        assert all(not segment.closed and not segment.size for segment in at_next)
    waiting = channel.open_for_read(channel.resolve(SEQ_NEXT))
    assert waiting is not None and not waiting.closed and not waiting.size
