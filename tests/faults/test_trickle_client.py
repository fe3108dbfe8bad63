"""Publisher and subscriber against our own server, with a proxy in between that breaks things."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from comfytrickle.errors import ChannelClosed
from comfytrickle.trickle.channel_http import ChannelHttp
from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.server import TrickleServer
from comfytrickle.trickle.subscriber import Subscriber
from tests.support.channel import PATIENCE_S, Collector, publish, until
from tests.support.fault_proxy import Fault, FaultProxy


class Rig:
    """A server, a proxy in front of it, a session."""

    def __init__(self, server: TrickleServer, proxy: FaultProxy, session: aiohttp.ClientSession):
        self.server = server
        self.proxy = proxy
        self.session = session
        self.rng = random.Random(7)

    @property
    def direct(self) -> str:
        return f"{self.server.url}c"

    @property
    def broken(self) -> str:
        return f"{self.proxy.url}/c"

    async def crash(self) -> None:
        """The server dies without a word, and with all it knew."""
        self.proxy.refusing = True
        await self.proxy.cut_all()
        await self.server.close()

    async def revive(self) -> None:
        """Another server at the same address, which knows nothing."""
        self.server = TrickleServer()
        await self.server.start("127.0.0.1", 0)
        self.proxy.retarget(self.server.url)
        self.proxy.refusing = False


async def end(publisher: Publisher, reader: Collector, sent: list[bytes]) -> None:
    """Close, when the reader has all: the end of a channel takes its segments with it."""
    await until(lambda: reader.size == sum(map(len, sent)), "all bytes")
    await publisher.close()
    await reader.finished()


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    server = TrickleServer()
    await server.start("127.0.0.1", 0)
    async with FaultProxy(server.url) as proxy, open_session() as session:
        rig = Rig(server, proxy, session)
        tasks = asyncio.all_tasks()
        yield rig
        await until(lambda: not rig.server.active, "requests of the clients are gone")
        mine = {task for task in asyncio.all_tasks() - tasks if "trickle" in repr(task.get_coro())}
        assert not [t for t in mine if "Subscriber" in repr(t) or "Delivery" in repr(t)]
    await rig.server.close()


async def test_what_is_written_is_read(rig: Rig) -> None:
    publisher = Publisher(rig.session, rig.direct, mime="text/x-test")
    await publisher.start()
    async with Collector(Subscriber(rig.session, rig.direct)) as reader:
        sent = [await publish(publisher, rig.rng, [100, 70_000, 1, 200_000]) for _ in range(30)]
        await end(publisher, reader, sent)
    assert reader.data == sent
    assert reader.seqs == list(range(30))
    assert {s.content_type for s in reader.segments} == {"text/x-test"}
    assert not any(s.gap for s in reader.segments)
    assert reader.subscriber.end_reason == "closed"
    counters = reader.subscriber.counters
    assert (counters.segments, counters.bytes) == (30, sum(map(len, sent)))
    assert (counters.retries, counters.segments_lost, counters.server_restarts) == (0, 0, 0)
    assert (publisher.counters.segments, publisher.counters.bytes) == (30, sum(map(len, sent)))
    assert publisher.counters.segments_dropped == publisher.counters.retries == 0
    assert publisher.state == reader.subscriber.state == "ended"


async def test_every_write_arrives_without_the_next(rig: Rig) -> None:
    publisher = Publisher(rig.session, rig.direct)
    await publisher.start()
    async with Collector(Subscriber(rig.session, rig.direct)) as reader:
        total = 0
        for _ in range(3):
            await publisher.begin()
            for size in (1, 188, 1000):
                await publisher.write(bytes(size))
                total += size
                await until(lambda expected=total: reader.size == expected, "the bytes")
        await publisher.close()
        await reader.finished()


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_or_doubled_by_cuts(rig: Rig, seed: int) -> None:
    """80 segments a seed; about every third has its POST or its GET cut somewhere."""
    rng = random.Random(seed)
    publisher = Publisher(rig.session, rig.broken)
    await publisher.start()
    faults = []
    async with Collector(Subscriber(rig.session, rig.broken)) as reader:
        sent = []
        for n in range(80):
            if rng.random() < 0.35:
                method = rng.choice(("GET", "POST"))
                after = rng.choice((0, 1, rng.randrange(9000), rng.randrange(100_000)))
                kind = rng.choice(("cut", "close"))
                fault = Fault(kind, method=method, path=rf"/c/{n + 1}$", after=after)
                faults.append(rig.proxy.add(fault))
            sizes = [rng.randrange(1, 3000) for _ in range(rng.randrange(1, 5))]
            if rng.random() < 0.1:
                sizes.append(150_000)
            sent.append(await publish(publisher, rng, sizes))
            # A reader that is a whole window behind loses segments, as it must.
            await until(lambda n=n: len(reader.segments) >= n, "the reader keeps up")
        await end(publisher, reader, sent)
    assert reader.data == sent
    assert reader.seqs == list(range(80))
    assert not any(s.gap for s in reader.segments)
    assert publisher.counters.segments_dropped == 0
    assert reader.subscriber.counters.segments_lost == 0
    assert sum(fault.hits for fault in faults) > 10
    assert publisher.counters.retries > 0
    assert reader.subscriber.counters.retries > 0


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_5xx_costs_nothing(rig: Rig, method: str, status: int) -> None:
    fault = rig.proxy.add(Fault("status", method=method, path=r"/c/2$", status=status))
    publisher = Publisher(rig.session, rig.broken)
    await publisher.start()
    async with Collector(Subscriber(rig.session, rig.broken)) as reader:
        sent = []
        for n in range(5):
            sent.append(await publish(publisher, rig.rng, [500, 500]))
            await until(lambda n=n: len(reader.segments) > n, "the reader keeps up")
        await end(publisher, reader, sent)
    assert fault.hits == 1
    assert reader.data == sent
    retries = (publisher.counters.retries, reader.subscriber.counters.retries)
    assert retries == ((1, 0) if method == "POST" else (0, 1))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stall_in_the_middle_is_waited_out(rig: Rig, method: str) -> None:
    fault = rig.proxy.add(Fault("stall", method=method, path=r"/c/1$", after=300))
    publisher = Publisher(rig.session, rig.broken, retry_window_s=30.0)
    await publisher.start()
    async with Collector(Subscriber(rig.session, rig.broken)) as reader:
        sent = [await publish(publisher, rig.rng, [500])]
        sent.append(await publish(publisher, rig.rng, [400, 400]))
        await until(lambda: fault.hits and len(reader.segments) == 2, "the stall")
        assert not reader.segments[1].done
        rig.proxy.resume()
        await until(lambda: len(reader.segments[1].data) == 800, "the rest")
        await end(publisher, reader, sent)
    assert reader.data == sent
    assert publisher.counters.retries == reader.subscriber.counters.retries == 0


async def test_silence_is_no_error(rig: Rig) -> None:
    publisher = Publisher(rig.session, rig.direct)
    await publisher.start()
    states: list[str] = []
    async with Collector(Subscriber(rig.session, rig.direct, on_state=states.append)) as reader:
        sent = await publish(publisher, rig.rng, [10])
        await until(lambda: reader.size == 10, "the first bytes")
        await asyncio.sleep(2.5)  # the thing under test
        await publisher.write(b"later")
        await until(lambda: reader.size == 15, "what came after the silence")
        await publisher.close()
        await reader.finished()
    assert reader.data == [sent + b"later"]
    assert states == ["live", "ended"]
    assert reader.subscriber.counters.retries == publisher.counters.retries == 0


async def test_a_restarted_server_is_survived_by_both(rig: Rig) -> None:
    """The segments that were begun are sent whole again; the reader takes up where it was."""
    publisher = Publisher(rig.session, rig.broken, retry_window_s=30.0)
    await publisher.start()
    states: list[str] = []
    subscriber = Subscriber(rig.session, rig.broken, on_state=states.append)
    async with Collector(subscriber) as reader:
        sent = [await publish(publisher, rig.rng, [300, 300]) for _ in range(7)]
        half = await publish(publisher, rig.rng, [1000])
        await until(lambda: reader.size == 7 * 600 + 1000, "the first half")
        await rig.crash()
        await until(lambda: publisher.state == "retrying", "the publisher notices")
        await publisher.write(b"written while nobody listens")
        await rig.revive()
        sent.append(half + b"written while nobody listens")
        await until(lambda: reader.size == sum(map(len, sent)), "the second half")
        sent += [await publish(publisher, rig.rng, [300, 300]) for _ in range(3)]
        await end(publisher, reader, sent)
    assert reader.data == sent
    assert reader.seqs == list(range(11))
    # Whether the reader learns of the restart depends on who comes first; it loses nothing.
    assert subscriber.counters.segments_lost == publisher.counters.segments_dropped == 0
    assert states[:3] == ["live", "retrying", "live"]


async def test_a_restarted_server_gets_segments_in_order(rig: Rig) -> None:
    """A reader that finds that a later one has begun would go on with that one."""
    publisher = Publisher(rig.session, rig.broken, retry_window_s=30.0)
    await publisher.start()
    sent = [await publish(publisher, rig.rng, [300]) for _ in range(2)]
    await rig.crash()
    await until(lambda: publisher.state == "retrying", "the publisher notices")
    slow = rig.proxy.add(Fault("delay", method="POST", path=r"/c/1$", delay_s=0.5))
    await rig.revive()
    writing = asyncio.create_task(publish(publisher, rig.rng, [400]))
    http = ChannelHttp(rig.session, rig.direct)
    begun = 0
    while begun < 3:
        begun = await http.next() or 0
        assert begun < 3 or slow.hits == 1
        await asyncio.sleep(0.005)
    async with rig.session.get(f"{rig.direct}/1") as reply:
        assert (reply.status, await reply.read()) == (200, sent[1])
    await writing
    await publisher.close()


async def test_a_restarted_server_with_a_new_publisher_is_followed(rig: Rig) -> None:
    publisher = Publisher(rig.session, rig.broken, close_timeout_s=0.1)
    await publisher.start()
    subscriber = Subscriber(rig.session, rig.broken)
    async with Collector(subscriber) as reader:
        sent = [await publish(publisher, rig.rng, [300]) for _ in range(9)]
        await publisher.end()
        await until(lambda: publisher.counters.segments == 9, "all confirmed")
        await until(lambda: reader.size == 2700 and reader.segments[-1].done, "all read")
        await rig.crash()
        await publisher.close()
        await rig.revive()
        again = Publisher(rig.session, rig.broken)
        await again.start()
        sent.append(await publish(again, rig.rng, [400]))
        await until(lambda: len(reader.segments) == 10, "the new server's first segment")
        sent += [await publish(again, rig.rng, [500]) for _ in range(2)]
        await end(again, reader, sent)
    assert reader.seqs == [*range(9), 0, 1, 2]
    assert reader.data == sent
    assert [s.gap for s in reader.segments].index(True) == 9
    assert subscriber.counters.server_restarts == 1


async def test_a_dead_server_does_not_hold_up_live_data(rig: Rig) -> None:
    """While it is away, old segments are dropped whole; it gets the newest ones when it is back."""
    publisher = Publisher(rig.session, rig.broken, retry_window_s=0.3)
    await publisher.start()
    async with Collector(Subscriber(rig.session, rig.broken)) as reader:
        first = await publish(publisher, rig.rng, [300])
        await until(lambda: reader.size == 300, "the first")
        rig.proxy.refusing = True
        await rig.proxy.cut_all()
        for _ in range(8):
            last = await publish(publisher, rig.rng, [200])
        assert publisher.counters.segments_dropped >= 6
        rig.proxy.refusing = False
        await until(lambda: reader.segments[-1].data == last, "the newest")
        last = await publish(publisher, rig.rng, [100, 100])
        await until(lambda: reader.segments[-1].data == last, "what follows")
        await publisher.close()
        await reader.finished()
    assert reader.data[0] == first
    dropped = publisher.counters.segments_dropped
    assert publisher.counters.segments == 10 - dropped
    assert len(reader.segments) >= 10 - dropped


async def test_a_stalled_reader_jumps_to_the_live_edge(rig: Rig) -> None:
    publisher = Publisher(rig.session, rig.direct)
    await publisher.start()
    subscriber = Subscriber(rig.session, rig.direct)
    async with Collector(subscriber) as reader:
        sent = [await publish(publisher, rig.rng, [100])]
        reader.gate.clear()
        sent.append(await publish(publisher, rig.rng, [100]))
        for _ in range(12):
            sent.append(await publish(publisher, rig.rng, [100]))
        await publisher.end()
        await until(lambda: publisher.counters.segments == 14, "all confirmed")
        reader.gate.set()
        await until(lambda: subscriber.counters.segments_lost, "the jump")
        sent.append(await publish(publisher, rig.rng, [100]))
        await until(lambda: reader.segments[-1].data == sent[-1], "the newest")
        await publisher.close()
        await reader.finished()
    lost = subscriber.counters.segments_lost
    assert len(reader.segments) + lost == 15
    assert reader.segments[-1].seq == 14
    assert reader.segments[-1].gap
    assert [s.gap for s in reader.segments[:-1]] == [False] * (len(reader.segments) - 1)
    for segment in reader.segments:
        assert segment.data == sent[segment.seq]


async def test_a_channel_that_appears_late(rig: Rig) -> None:
    states: list[str] = []
    subscriber = Subscriber(rig.session, rig.direct, on_state=states.append)
    async with Collector(subscriber) as reader:
        await until(lambda: subscriber.state == "waiting", "the first 404")
        async with Publisher(rig.session, rig.direct) as publisher:
            sent = await publish(publisher, rig.rng, [50])
            await until(lambda: reader.size == 50, "the segment from its beginning")
        await reader.finished()
    assert reader.data == [sent]
    assert states == ["waiting", "live", "ended"]


async def test_a_channel_that_never_appears(rig: Rig) -> None:
    subscriber = Subscriber(rig.session, rig.direct, appear_timeout_s=0.2)
    async with Collector(subscriber) as reader:
        await reader.finished()
    assert (reader.segments, subscriber.end_reason) == ([], "never_appeared")


async def test_a_deleted_channel_ends_both(rig: Rig) -> None:
    publisher = Publisher(rig.session, rig.direct)
    await publisher.start()
    subscriber = Subscriber(rig.session, rig.direct)
    async with Collector(subscriber) as reader:
        sent = await publish(publisher, rig.rng, [50])
        await until(lambda: reader.size == 50, "the bytes")
        async with rig.session.delete(rig.direct) as reply:
            assert reply.status == 200
        await reader.finished()
    assert reader.data == [sent]
    assert subscriber.end_reason == "closed"
    await until(lambda: publisher.state == "ended", "the preconnected POST tells")
    with pytest.raises(ChannelClosed):
        await publisher.write(b"x")
    with pytest.raises(ChannelClosed):
        await publisher.begin()
    await publisher.close()
    assert rig.server.channels == 0  # it did not make it again


async def test_resume_goes_on_and_ends_what_was_left_open(rig: Rig) -> None:
    before = Publisher(rig.session, rig.broken, delete_on_close=False, close_timeout_s=0.1)
    await before.start()
    subscriber = Subscriber(rig.session, rig.direct)
    async with Collector(subscriber) as reader:
        sent = [await publish(before, rig.rng, [50]) for _ in range(3)]
        await until(lambda: reader.size == 150, "the segment that stays open")
        rig.proxy.refusing = True  # as if its process had been killed
        await rig.proxy.cut_all()
        after = Publisher(rig.session, rig.direct, resume=True, owned=True)
        await after.start()
        sent.append(await publish(after, rig.rng, [60]))
        assert after.seq == 3
        await until(lambda: reader.size == 210, "the new publisher's segment")
        assert reader.segments[2].done
        await end(after, reader, sent)
        await asyncio.wait_for(before.close(), PATIENCE_S)
    assert reader.data == sent
    assert reader.seqs == [0, 1, 2, 3]


async def test_a_fresh_publisher_goes_on_at_the_next_number(rig: Rig) -> None:
    async with Publisher(rig.session, rig.direct, delete_on_close=False) as first:
        for _ in range(3):
            await publish(first, rig.rng, [10])
    async with rig.session.get(f"{rig.direct}/next") as reply:
        expected = int(await reply.text())
    async with Publisher(rig.session, rig.direct, delete_on_close=True) as second:
        await second.begin()
        assert second.seq == expected
        assert expected >= 3
    assert rig.server.channels == 0  # the POST that was just made did not make it again


async def test_only_a_channel_of_its_own_is_deleted(rig: Rig) -> None:
    made: list[bool] = []
    async with rig.session.post(rig.direct) as reply:  # somebody's
        assert reply.status == 200
    guest = Publisher(rig.session, rig.direct, on_made=lambda: made.append(True))
    async with guest:
        await publish(guest, rig.rng, [10])
        assert not guest.owns_channel
    assert rig.server.channels == 1 and not made
    async with rig.session.delete(rig.direct) as reply:
        assert reply.status == 200
    owner = Publisher(rig.session, rig.direct, on_made=lambda: made.append(True))
    async with owner:
        await publish(owner, rig.rng, [10])
        assert owner.owns_channel
    assert rig.server.channels == 0 and made == [True]


async def test_cancelled_in_the_middle_it_leaves_nothing(rig: Rig) -> None:
    """The rig looks for tasks, the test session for sockets."""
    async with Publisher(rig.session, rig.direct) as publisher:
        await publish(publisher, rig.rng, [100])
        async with Collector(Subscriber(rig.session, rig.direct)) as reader:
            await until(lambda: reader.size == 100, "the bytes")
        await until(lambda: rig.server.active <= 2, "the GETs are gone")


async def test_a_cancelled_read_can_be_gone_on_with(rig: Rig) -> None:
    async with (
        Publisher(rig.session, rig.direct) as publisher,
        Subscriber(rig.session, rig.direct) as subscriber,
    ):
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(subscriber.__anext__(), 0.05)
        await publish(publisher, rig.rng, [100])
        segment = await asyncio.wait_for(subscriber.__anext__(), PATIENCE_S)
        assert len(await asyncio.wait_for(segment.__anext__(), PATIENCE_S)) == 100
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(segment.__anext__(), 0.05)
        await publisher.write(b"more")
        assert await asyncio.wait_for(segment.__anext__(), PATIENCE_S) == b"more"
