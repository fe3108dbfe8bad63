"""What the readers of /events are told, and what becomes of one that does not read."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

import msgspec
import pytest

from comfytrickle.messages import TextLine
from control_plane.api.operations import OPERATIONS
from control_plane.page import feed as feed_module
from control_plane.page.feed import QUEUED, Feed, Look
from control_plane.page.feed_events import HEARTBEAT, LINES_TOLD, TEXT_TOLD, Changes, lean
from control_plane.streams.applied import Applied
from tests.support.streams import until

DEADLINE_S = 20.0


def status(stream_id: str, **facts: Any) -> dict[str, Any]:
    return {"request_id": stream_id, "uptime_s": 1.0, "state": "streaming", **facts}


def read(events: bytes | None) -> list[tuple[str, Any]]:
    """(name, data) of each event."""
    assert events is not None
    found = []
    for block in events.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
        if found[-1][0] in ("texts", "gone"):  # as /openapi.json has them
            msgspec.convert(found[-1][1], OPERATIONS["GET", "/events"].events[found[-1][0]])
    return found


def test_only_what_differs_is_told() -> None:
    changes = Changes()
    one, two = status("one"), status("two")
    assert read(changes.update({"one": one, "two": two}, {"status": "OK", "uptime_s": 1})) == [
        ("state", one),
        ("state", two),
        ("health", {"status": "OK", "uptime_s": 1}),
    ]
    later = {"one": {**one, "uptime_s": 2.0}, "two": {**two, "state": "draining"}}
    assert read(changes.update(later, {"status": "OK", "uptime_s": 2})) == [("state", later["two"])]
    assert changes.update(later, {"status": "OK", "uptime_s": 3}) == b""
    assert read(changes.update({"one": one}, {"status": "IDLE", "uptime_s": 4})) == [
        ("gone", {"request_id": "two"}),
        ("health", {"status": "IDLE", "uptime_s": 4}),
    ]
    assert read(changes.everything()) == [
        ("health", {"status": "IDLE", "uptime_s": 4}),
        ("streams", {"streams": {"one": one}, "count": 1}),
    ]


def test_a_lean_status_has_all_but_the_ends_of_logs() -> None:
    death = {"time": "t", "exit_cause": "signalled", "log_tail": "long"}
    full = status("one", deaths=[death], last_error={"kind": "node", "log_tail": "long"})
    change = {"time": "2026-01-01T00:00:00.500Z", "revision": 3, "what": ["width: 2 -> 4"]}
    applied = Applied(1767225600.5, 3, ("width: 2 -> 4",))
    assert lean(full, [applied]) == status(
        "one",
        deaths=[{"time": "t", "exit_cause": "signalled"}],
        last_error={"kind": "node"},
        changes=[change],
    )
    assert lean(full)["changes"] == []
    assert lean({**full, "last_error": None})["last_error"] is None
    assert full["deaths"][0]["log_tail"] == "long"


def text(number: int, more: str = "") -> TextLine:
    return TextLine(f"frame {number}{more}", "6", number, 1.5)


def said(events: bytes) -> list[tuple[list[str], int]]:
    """The texts and how many were skipped, of each event that tells of some."""
    found = [data for name, data in read(events) if name == "texts"]
    return [([line["text"] for line in data["lines"]], data["skipped"]) for data in found]


def test_texts_are_told_once_and_the_last_ones_to_who_comes_later() -> None:
    changes, lines = Changes(), deque([text(1), text(2)], maxlen=50)
    assert said(changes.update({"one": status("one")}, {}, {"one": lines})) == [
        (["frame 1", "frame 2"], 0)
    ]
    assert changes.update({"one": status("one")}, {}, {"one": lines}) == b""
    lines.append(text(2))  # it says the same again
    assert read(changes.update({"one": status("one")}, {}, {"one": lines})) == [
        ("texts", {"request_id": "one", "skipped": 0, "lines": [
            {"text": "frame 2", "node_id": "6", "pts": 2, "timestamp": 1500}]})
    ]  # fmt: skip
    assert said(changes.everything()) == [(["frame 1", "frame 2", "frame 2"], 0)]
    lines.extend(text(n) for n in range(100))  # all that was known has been pushed out
    last = [f"frame {n}" for n in range(100 - LINES_TOLD, 100)]
    told = said(changes.update({"one": status("one")}, {}, {"one": lines}))
    assert told == [(last, 50 - LINES_TOLD)]
    assert said(changes.everything()) == [(last, 0)]
    changes.update({}, {}, {})
    assert said(changes.everything()) == []


def test_a_long_text_is_cut_and_says_so() -> None:
    changes = Changes()
    changes.update({}, {}, {"one": [text(1, "x" * TEXT_TOLD)]})
    [(_, told)] = [pair for pair in read(changes.everything()) if pair[0] == "texts"]
    assert len(told["lines"][0]["text"]) == TEXT_TOLD and told["lines"][0]["truncated"] is True


class Looking:
    """A look whose content the test sets; counts how often it was made."""

    def __init__(self) -> None:
        self.streams: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, list[TextLine]] = {}
        self.count = 0

    def __call__(self) -> Look:
        self.count += 1
        return Look(dict(self.streams), {"status": "OK"}, dict(self.texts))


def no_cut() -> None:
    raise AssertionError("it was cut off")


async def told(reader: Any) -> list[tuple[str, Any]]:
    return read(await asyncio.wait_for(reader.next(), DEADLINE_S))


async def test_readers_share_one_look_and_each_is_told_everything_first() -> None:
    looking = Looking()
    looking.streams["one"] = status("one")
    feed = Feed(looking, asyncio.Event(), every_s=0.01)
    async with feed.reader(no_cut) as first:
        assert [name for name, _ in await told(first)] == ["health", "streams"]
        async with feed.reader(no_cut) as second:
            assert (await told(second))[1][1] == {"streams": looking.streams, "count": 1}
            before = looking.count
            looking.streams["one"] = changed = status("one", state="draining")
            assert await told(first) == await told(second) == [("state", changed)]
            await until(lambda: looking.count >= before + 3, "it does not look again")
        assert feed.readers == 1
        del looking.streams["one"]
        assert await told(first) == [("gone", {"request_id": "one"})]
    assert feed.readers == 0
    made = looking.count
    await asyncio.sleep(0.05)
    assert looking.count == made, "nobody watches, and it goes on looking"
    looking.streams["two"] = status("two")
    async with feed.reader(no_cut) as third:
        assert (await told(third))[1][1]["streams"] == {"two": status("two")}
        looking.streams.clear()
        assert await told(third) == [("gone", {"request_id": "two"})]


async def test_a_reader_that_does_not_keep_up_is_cut_off_and_the_others_go_on() -> None:
    looking, cut = Looking(), asyncio.Event()
    feed = Feed(looking, asyncio.Event(), every_s=0.001)
    async with feed.reader(cut.set) as slow, feed.reader(no_cut) as quick:
        await told(quick)
        for number in range(QUEUED + 5):
            looking.streams["one"] = status("one", number=number)
            assert (await told(quick))[0][1]["number"] == number
        assert cut.is_set() and slow.was_cut
        assert await slow.next() is None


async def test_all_readers_end_with_the_server() -> None:
    closing = asyncio.Event()
    feed = Feed(Looking(), closing, every_s=3600.0)
    async with feed.reader(no_cut) as one, feed.reader(no_cut) as two:
        await told(one)
        await told(two)
        closing.set()
        assert await asyncio.wait_for(one.next(), DEADLINE_S) is None
        assert await asyncio.wait_for(two.next(), DEADLINE_S) is None


async def test_silence_is_broken_by_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "HEARTBEAT_S", 0.05)
    feed = Feed(Looking(), asyncio.Event(), every_s=0.01)
    async with feed.reader(no_cut) as reader:
        await told(reader)
        assert await asyncio.wait_for(reader.next(), DEADLINE_S) == HEARTBEAT


async def test_readers_end_when_looking_fails(caplog: pytest.LogCaptureFixture) -> None:
    looking = Looking()
    feed = Feed(looking, asyncio.Event(), every_s=0.01)
    async with feed.reader(no_cut) as reader:
        await told(reader)
        looking.streams = None  # type: ignore[assignment]
        assert await asyncio.wait_for(reader.next(), DEADLINE_S) is None
    assert "the feed of events ends" in caplog.text and "TypeError" in caplog.text
