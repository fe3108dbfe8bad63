"""What a stream carries over to its next worker, and what a control plane leaves when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc import counter
from comfytrickle.testsrc.clip import Clip, Part, make_clip
from comfytrickle.testsrc.sources import Chunk
from tests.faults.conftest import SMALL, House, housed
from tests.support import clips, cycles, family
from tests.support.faults import FAULTS, FLAGS
from tests.support.lane import Lane
from tests.support.pool import running_pool
from tests.support.streams import frames_of, numbered, open_way
from tests.support.tsstreams import packets

INVERTED: dict[str, Any] = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "9": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}


def chunks(clip: Clip) -> list[Chunk]:
    """Of a clip at 30 fps, one for each video frame and the audio after it."""
    out: list[Chunk] = []
    for segment in clip.segments:
        for n, data in enumerate(frames_of(segment.data)):
            at = CLOCK + len(out) * CLOCK // 30
            out.append(Chunk(data, at, at, begins_segment=n == 0))
    return out


def audio_of(data: bytes) -> list[int | None]:
    return [unit.pts for unit in packets(data, kind="audio")]


async def test_b_frames_and_audio_over_a_restart(house: House) -> None:
    """Every picture and every sound once, in order; decoding had to begin again in between."""
    clip = make_clip(Part(clips.spec(bframes=2, preset="veryfast", gop=30), 120), audio=True)
    async with open_way(house.pool, drop="never") as way:
        feeding = asyncio.create_task(way.live(chunks(clip)))
        try:
            await way.came(45)
            os.kill((await way.status())["pid"], signal.SIGKILL)
            await feeding
        finally:
            feeding.cancel()
            await asyncio.wait({feeding})
        await way.shows(lambda s: s["frames"]["in"] == 120)  # all is read
        await way.source.close()
        await way.over()
        status = await way.shows(lambda s: not s["running"])
        assert (status["exit_cause"], status["frames"]["out"]) == ("source_ended", 120)
        assert status["restarts"] == 1 and status["deaths"][0]["signal"] == "SIGKILL"
        way.check(numbered(clip))
        heard, given = audio_of(way.sink.data), audio_of(clip.data)
        assert len(heard) == len(set(heard)), "doubled"
        assert len(given) > 100 and [pts for pts in given if pts not in heard] == []
        assert heard == given


async def test_the_last_params_are_the_next_workers(house: House) -> None:
    async with Lane.open(house.session, house.channels, "p", SMALL) as lane:
        await house.api.start("p", lane.source_url, lane.sink_url, drop="never")
        await lane.came(10)
        status, answer = await house.api.post("/stream/p/params", {"prompt": INVERTED})
        assert (status, answer.get("revision")) == (200, 1), answer
        changed = lane.sink.frames
        await lane.came(10)
        os.kill((await house.api.status("p"))["pid"], signal.SIGKILL)
        await house.api.wait("p", lambda s: s["restarts"])
        await lane.came(20)
        report = await house.api.status("p")
        assert (report["params_revision"], report["restarts"]) == (1, 1)
        await lane.end()
        await lane.over()
        frames = await asyncio.to_thread(lane.sink.decode)
    inverted = [counter.is_inverted(frame.luma) for frame in frames]
    assert inverted[0] is False and all(inverted[changed + 10 :])
    assert inverted == sorted(inverted), "once the new params are in use, they stay"


async def test_a_source_that_ends_while_its_stream_has_no_worker(house: House) -> None:
    async with Lane.open(house.session, house.channels, "e", SMALL) as lane:
        await house.api.start("e", lane.source_url, lane.sink_url)
        await lane.came(10)
        pid = (await house.api.status("e"))["pid"]
        os.kill(pid, signal.SIGSTOP)  # it does not see the end
        await lane.end()
        os.kill(pid, signal.SIGKILL)
        await lane.over()
        status = await house.api.wait("e", lambda s: not s["running"])
    assert (status["health"], status["exit_cause"]) == ("ended", "source_ended")
    assert status["restarts"] == 1


async def test_a_crash_loop_ends_in_quarantine(house: House) -> None:
    api, fault = house.api, FAULTS["segfault_at_load"]
    workflow = fault.workflow(Path("never"), house.folder / "stamp")
    source = house.channels + "none"
    await api.start("loop", source, house.channels + "loop-out", prompt=workflow)
    status = await api.wait("loop", lambda s: not s["running"])
    assert (status["health"], len(status["deaths"])) == ("failed", 4)
    body = {
        "subscribe_url": source,
        "publish_url": house.channels + "again-out",
        "gateway_request_id": "again",
        "params": {"prompt": workflow},
    }
    code, refusal = await api.post("/stream/start", body)
    assert code == 409 and "SIGSEGV" in str(refusal), refusal
    listing = (await api.get("/quarantine"))[1]
    of = [{death["stream_id"] for death in story["deaths"]} for story in listing["workflows"]]
    story = listing["workflows"][of.index({"loop"})]
    assert len(story["deaths"]) == 4 and "MisbehaveConstant" in story["node_types"]
    assert "Fatal Python error" in story["deaths"][-1]["log_tail"]
    async with house.healthy("other"):
        pass  # other workflows start
    code, answer = await api.call("DELETE", f"/quarantine/{story['digest']}")
    assert code == 200, answer
    assert (await api.call("DELETE", f"/quarantine/{story['digest']}"))[0] == 404
    assert (await api.post("/stream/start", body))[0] == 200


async def test_a_control_plane_that_stood_still_blames_nobody(house: House) -> None:
    """It was stopped (a debugger, a laptop's lid) for longer than any worker may be silent."""
    async with house.healthy() as lane:
        house.pool.process.send_signal(signal.SIGSTOP)
        await lane.came(int(30 * 4.5))
        house.pool.process.send_signal(signal.SIGCONT)
        await lane.came(45)  # healthy() looks at its restarts


async def test_starts_stops_and_crashes_leave_nothing(house: House) -> None:
    async with Lane.open(house.session, house.channels, "cycles", cycles.SPEC) as lane:
        run = cycles.Cycles(house.api, lane, house.folder)
        await run.do(4, every=4)
        before, rss = family.Holding.take(house.mark, house.pool.process.pid), run.rss()
        await run.do(26, every=9)
        assert run.crashed == 3
        left = await family.left_behind(before, house.mark, house.pool.process.pid)
        assert left == []
        assert run.rss() - rss < 16 << 20  # what is kept of finished streams


async def test_a_killed_control_plane_takes_everything_along(tmp_path: Path) -> None:
    """Also a worker that does not run Python any more, one that has closed what it could notice it
    by, and what nodes have started."""
    names = ("wait_holding_the_gil", "loop_in_c", "fork_a_daemon", "ignore_the_end")
    flags = ("--devices", "cpu:8", *FLAGS, "--silent-timeout-s", "60", "--stuck-timeout-s", "60")
    with family.marked() as mark, running_pool(tmp_path, *flags) as pool:
        async with housed(pool, mark, tmp_path) as house:
            async with Lane.open(house.session, house.channels, "all", SMALL) as lane:
                await house.api.start("healthy", lane.source_url, lane.sink_url)
                stamps = []
                for name in names:
                    trigger, stamp = tmp_path / f"{name}.trigger", tmp_path / f"{name}.stamp"
                    trigger.touch()
                    workflow = FAULTS[name].workflow(trigger, stamp)
                    sink = house.channels + name
                    await house.api.start(name, lane.source_url, sink, prompt=workflow)
                    stamps.append(stamp)
                await lane.came(30)
                while not all(stamp.exists() for stamp in stamps):
                    await lane.came(1)
                await lane.came(10)
            pool.process.kill()
            begun = time.monotonic()
            pool.process.wait(10)
            while alive := family.carriers(mark):
                assert time.monotonic() - begun < 5.0, alive  # of which 1 s is meant
                await asyncio.sleep(0.01)
            assert not psutil.pid_exists(pool.process.pid) or pool.process.returncode is not None
