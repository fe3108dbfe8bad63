"""A workflow that is slower than its source."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.testsrc.sources import Chunk, pattern_chunks
from tests.support import clips
from tests.support.pool import Pool, running_pool
from tests.support.streams import numbered, open_way

SLOW_S = 0.06
PACK = f"""
import time

class Slow:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls):
        return {{"required": {{"image": ("IMAGE",)}}}}

    def execute(self, image):
        time.sleep({SLOW_S})  # without the GIL, as a GPU's work
        return (image,)

NODE_CLASS_MAPPINGS = {{"Slow": Slow}}
"""
WORKFLOW: dict[str, Any] = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "Slow", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}
IN_FLIGHT = 6  # frames: in the slot, in the engine, before and in the encoder, in the outbox


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    pack = folder / "slow.py"
    pack.write_text(PACK)
    with running_pool(folder, "--devices", "cpu:1", "--nodes", str(pack)) as running:
        yield running


async def test_the_newest_frame_is_taken_and_the_others_are_counted(pool: Pool) -> None:
    """30 frames a second come, and each takes 60 ms: every second one goes out, evenly."""
    chunks = list(pattern_chunks(EncoderSpec(256, 256), 240))
    written: list[float] = []

    def note(_: Chunk) -> None:
        written.append(time.monotonic())

    async with open_way(pool, workflow=WORKFLOW) as way:
        await way.live(chunks, note)
        status = await way.end()
        frames = way.sink.decode()
        numbers = [frame.counter for frame in frames]
        assert None not in numbers and numbers == sorted(set(numbers), key=lambda n: n or 0)
        shown = [n for n in numbers if n is not None]
        assert [frame.pts for frame in frames] == [CLOCK + n * 3000 for n in shown]

        assert status["frames"]["in"] == len(chunks)
        assert status["frames"]["out"] == len(frames)
        assert status["frames"]["dropped"] == {"latest": len(chunks) - len(frames)}
        for look in way.looks:
            counts = look.status["frames"]
            if counts["out"] and counts["out"] > 15 and look.status["state"] == "streaming":
                inside = counts["in"] - counts["out"] - sum(counts["dropped"].values())
                assert 0 <= inside <= IN_FLIGHT, look.status
        assert way.said("health", written[0] + 4, written[-1]) == {"degraded"}

        # The first frames are what stood before the pace was known.
        settled = [n for n in shown if n >= 60]
        steps = [b - a for a, b in itertools.pairwise(settled)]
        assert sorted(steps)[len(steps) // 2] == 2
        assert sum(step in (2, 3) for step in steps) >= 0.75 * len(steps), steps
        late = sorted(
            came - written[n] for n, came in zip(shown, way.sink.arrivals, strict=True) if n >= 60
        )
        assert late[len(late) // 2] < 0.5 and late[-1] < 3.0, late


async def test_with_drop_never_each_frame_goes_out(pool: Pool) -> None:
    clip = clips.plain(60)
    async with open_way(pool, workflow=WORKFLOW, drop="never") as way:
        begun = time.monotonic()
        await way.feed(clip)
        status = await way.end()
        way.check(numbered(clip))
        assert time.monotonic() - begun >= 59 * SLOW_S
        assert status["frames"]["dropped"] == {}
