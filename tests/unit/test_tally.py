"""Totals over all streams: they only grow, whatever becomes of workers and streams."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from comfytrickle.messages import Counters, StreamConfig
from comfytrickle.states import ExitCause
from control_plane.processes.worker import Worker
from control_plane.streams.stream import Stream
from control_plane.streams.tally import Tally


class FakeStream:
    """As much of a stream as a tally looks at."""

    def __init__(self) -> None:
        self.config = StreamConfig("a", {})
        self.counters: Counters | None = None
        self.restarts = 0
        self.worker: Any = None

    def facts(self) -> Any:
        counters = self.counters
        return SimpleNamespace(status=counters and SimpleNamespace(counters=counters))


def streams(count: int) -> list[Any]:
    return [FakeStream() for _ in range(count)]


class FakeWorker:
    def __init__(self, cause: ExitCause | None) -> None:
        self.exit_cause = cause


def test_what_a_dead_worker_took_with_it_is_not_taken_back() -> None:
    tally, (stream,) = Tally(), streams(1)
    assert tally.counters([stream]) == Counters()
    stream.counters = Counters(frames_in=100, frames_out=90, dropped={"latest": 3})
    assert tally.counters([stream]).frames_in == 100
    stream.counters = Counters(frames_in=93, frames_out=90, dropped={"latest": 3})
    assert tally.counters([stream]) == Counters(frames_in=100, frames_out=90, dropped={"latest": 3})
    stream.counters = Counters(frames_in=140, frames_out=120, dropped={"error": 1})
    total = tally.counters([stream])
    assert (total.frames_in, total.frames_out) == (140, 120)
    assert total.dropped == {"latest": 3, "error": 1}


def test_a_stream_that_ended_stays_in_the_totals() -> None:
    tally, (one, two) = Tally(), streams(2)
    one.counters, two.counters = Counters(frames_out=10), Counters(frames_out=5)
    one.restarts, two.restarts = 2, 1
    assert tally.counters([one, two]).frames_out == 15 and tally.restarts([one, two]) == 3
    one.counters = Counters(frames_out=12)  # its last word, which nobody had asked for
    one.worker = FakeWorker(ExitCause.SOURCE_ENDED)
    tally.stream_ended(cast(Stream, one))
    assert tally.counters([two]).frames_out == 17 and tally.restarts([two]) == 3
    two.worker = FakeWorker(ExitCause.SIGNALLED)
    tally.stream_ended(cast(Stream, two))
    assert tally.counters([]).frames_out == 17 and tally.restarts([]) == 3
    assert tally.ended == {"source_ended": 1, "signalled": 1}


def test_a_worker_ends_once() -> None:
    tally, (stream,) = Tally(), streams(1)
    first, second = FakeWorker(ExitCause.SIGNALLED), FakeWorker(ExitCause.REQUESTED)
    tally.worker_ended(cast(Worker, first))
    stream.worker = first  # stopped before there was another one
    tally.worker_ended(cast(Worker, FakeWorker(None)))
    tally.worker_ended(None)
    tally.stream_ended(stream)
    assert tally.worker_ends == {"signalled": 1}
    tally.worker_ended(cast(Worker, second))
    assert tally.worker_ends == {"signalled": 1, "requested": 1}


def test_a_stream_without_a_worker_has_not_ended() -> None:
    tally, (stream,) = Tally(), streams(1)
    tally.stream_ended(stream)
    assert not tally.ended and not tally.worker_ends and tally.counters([]) == Counters()
