"""Sound through a whole stream: passed on, encoded anew, made by a workflow, alone, in step."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc.sync import Heard, hear, offsets
from comfytrickle.trickle.publisher import Publisher
from tests.support.channel import until
from tests.support.live import Api, Live, Viewer
from tests.support.pool import Pool, running_pool
from tests.support.sound_clips import FPS, SoundClip, sound_clip, sound_codecs, sound_units

IN_STEP_S = 0.04
NAMES = {"mp2": "mp3"}  # one stream type for all layers of MPEG audio
PACK = """
import time

class Slow:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "ms": ("INT", {"default": 60})}}

    def execute(self, image, ms):
        time.sleep(ms / 1000)  # without the GIL, as a GPU's work
        return (image,)

class Halve:
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"audio": ("AUDIO",)}}

    def execute(self, audio):
        return ({**audio, "waveform": audio["waveform"] * 0.5},)

class Moody:
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "execute"
    pieces = 0

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"audio": ("AUDIO",)}}

    def execute(self, audio):
        self.pieces += 1
        if self.pieces > 5:
            raise RuntimeError("not in the mood")
        return (audio,)

class Loudness:
    RETURN_TYPES = ("STRING",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"audio": ("AUDIO",)}}

    def execute(self, audio):
        return (f"{float(audio['waveform'].abs().max()):.2f}",)

class Brightness:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "audio": ("AUDIO",)}}

    def execute(self, image, audio):
        return (image * 0.0 + (1.0 if audio["waveform"].abs().max() > 0.1 else 0.0),)

NODE_CLASS_MAPPINGS = {"Slow": Slow, "Halve": Halve, "Moody": Moody, "Loudness": Loudness,
                       "Brightness": Brightness}
"""
PICTURE: dict[str, Any] = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
}


def sound(node: str | None = None, piece_ms: float = 100.0) -> dict[str, Any]:
    """LoadAudioTensor -> ``node`` -> SaveAudioTensor."""
    graph: dict[str, Any] = {
        "a": {"class_type": "LoadAudioTensor", "inputs": {"buffer_size": piece_ms}},
        "s": {"class_type": "SaveAudioTensor", "inputs": {"audio": ["a" if not node else "n", 0]}},
    }
    if node:
        graph["n"] = {"class_type": node, "inputs": {"audio": ["a", 0]}}
    return graph


def slow(ms: int) -> dict[str, Any]:
    graph = {**PICTURE, "2": {"class_type": "Slow", "inputs": {"image": ["1", 0], "ms": ms}}}
    return {**graph, "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}}}


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    pack = folder / "sounds.py"
    pack.write_text(PACK)
    with running_pool(folder, "--devices", "cpu:1", "--nodes", str(pack)) as pool:
        yield pool


async def through(
    api: Api, live: Live, clip: SoundClip, *, pace_s: float = 0.0, **params: Any
) -> tuple[bytes, dict[str, Any]]:
    """What came out, and the stream's last status. ``pace_s``: from segment to segment."""
    async with live.viewer("out") as viewer:
        await api.start("s", live.url("in"), live.url("out"), **{"drop": "never", **params})
        publisher = await live.put("in", [])
        for segment in clip.segments:
            await feed(api, publisher, segment)
            await asyncio.sleep(pace_s)
        await publisher.close()
        await viewer.finished()
        status = await api.wait("s", lambda s: not s["running"])
    frames = status["frames"]
    assert status["exit_cause"] == "source_ended", status
    assert frames["in"] == frames["out"] + sum(frames["dropped"].values()), status
    return b"".join(viewer.data), status


async def feed(api: Api, publisher: Publisher, segment: bytes) -> None:
    """One more segment, and wait until it was read: a reader begins at the newest one."""
    await publisher.begin()
    await publisher.write(segment)
    fed = publisher.counters.bytes
    await api.wait("s", lambda s: s["bytes"]["in"] == fed)


def in_step(data: bytes, at_least: int) -> None:
    found = offsets(data, FPS)
    assert len(found) >= at_least, found
    assert all(abs(one.true) < IN_STEP_S for one in found), found


def loudest(heard: Heard) -> float:
    return float(np.abs(heard.samples).max())


@pytest.mark.parametrize("codec", ["aac", "opus", "mp2"])
async def test_it_passes_on_as_it_came(api: Api, live: Live, codec: str) -> None:
    clip = sound_clip(codec)
    data, status = await through(api, live, clip)
    assert sound_units(data) == clip.units
    in_step(data, 3)
    audio = {"in": len(clip.units), "out": len(clip.units), "silence": 0, "unheard": 0}
    assert status["audio"] == {**audio, "dropped": {}}
    assert status["detail"]["audio"] == {
        "codec_in": NAMES.get(codec, codec),
        "tracks": 1,
        "way": "passed on",
    }


@pytest.mark.parametrize(("codec", "wanted"), [("aac", "opus"), ("mp2", "aac"), ("opus", "aac")])
async def test_it_leaves_in_the_codec_that_is_asked_for(
    api: Api, live: Live, codec: str, wanted: str
) -> None:
    data, status = await through(api, live, sound_clip(codec), encode={"audio": wanted})
    assert sound_codecs(data) == {wanted}
    heard = hear(data)
    assert heard.rate == 48_000 and (heard.gaps, heard.overlaps) == (0.0, 0.0)
    in_step(data, 3)
    assert status["detail"]["audio"]["way"] == "encoded"


async def test_what_is_that_already_is_not_encoded(api: Api, live: Live) -> None:
    clip = sound_clip("aac", 2)
    data, _ = await through(api, live, clip, encode={"audio": "aac"})
    assert sound_units(data) == clip.units


async def test_a_stream_can_be_without_sound(api: Api, live: Live) -> None:
    clip = sound_clip("aac", 2)
    data, status = await through(api, live, clip, encode={"audio": "none"})
    assert sound_codecs(data) == set()
    assert status["audio"]["dropped"] == {"off": len(clip.units)} and status["audio"]["out"] == 0
    assert status["frames"]["out"] == clip.frames


async def test_a_workflow_makes_it(api: Api, live: Live) -> None:
    clip = sound_clip("aac")
    data, status = await through(api, live, clip, prompt={**PICTURE, **sound("Halve")})
    heard, before = hear(data), hear(clip.data)
    assert loudest(heard) == pytest.approx(loudest(before) / 2, rel=0.1)
    assert (heard.gaps, heard.overlaps) == (0.0, 0.0)
    in_step(data, 3)
    assert len(heard.samples) / heard.rate == pytest.approx(4.0, abs=0.2)
    assert status["detail"]["audio"]["way"] == "workflow" and status["node_errors"] == 0


async def test_a_workflow_changes_what_becomes_of_it_while_it_runs(api: Api, live: Live) -> None:
    """Pass on, make, pass on: nothing is missing at the seams."""
    clip = sound_clip("aac", 8)
    async with live.viewer("out") as viewer:
        await api.start("s", live.url("in"), live.url("out"), drop="never", prompt=PICTURE)
        publisher = await live.put("in", [])
        for number, segment in enumerate(clip.segments):
            prompt = {2: {**PICTURE, **sound("Halve")}, 5: PICTURE}.get(number)
            if prompt is not None:
                await changed(api, prompt)
            await feed(api, publisher, segment)
            frames = 30 * (number + 1) - 10
            await api.wait("s", lambda s, n=frames: (s["frame_count"] or 0) >= n)
        await publisher.close()
        await viewer.finished()
    data = b"".join(viewer.data)
    in_step(data, 7)
    heard = hear(data)
    assert heard.gaps < 0.01 and heard.overlaps < 0.09  # two units at each seam
    peaks = [loudest_in(heard, second) for second in (1, 3, 4, 7)]
    assert peaks[1] < 0.7 * peaks[0] and peaks[2] < 0.7 * peaks[0] and peaks[3] > 0.8 * peaks[0]


async def changed(api: Api, prompt: dict[str, Any]) -> None:
    code, answer = await api.post("/stream/s/params", {"prompt": prompt})
    assert code == 200, answer


def loudest_in(heard: Heard, second: int) -> float:
    part = heard.samples[second * heard.rate : second * heard.rate + heard.rate // 2]
    return float(np.abs(part).max())


async def test_a_slow_workflow_loses_no_sound(api: Api, live: Live) -> None:
    """Pictures take twice as long as they may: every second one goes out, and all of the sound."""
    clip = sound_clip("aac", 6)
    data, status = await through(api, live, clip, pace_s=1.0, drop="latest", prompt=slow(60))
    assert status["frames"]["dropped"]["latest"] > clip.frames // 4
    assert sound_units(data) == clip.units
    assert hear(data).gaps == 0.0
    in_step(data, 5)


async def test_sound_through_a_slow_workflow(api: Api, live: Live) -> None:
    clip = sound_clip("aac", 6)
    prompt = {**slow(60), **sound("Halve")}
    data, status = await through(api, live, clip, pace_s=1.0, drop="latest", prompt=prompt)
    heard = hear(data)
    assert (heard.gaps, heard.overlaps) == (0.0, 0.0) and status["audio"]["unheard"] == 0
    assert len(heard.samples) / heard.rate == pytest.approx(6.0, abs=0.2)
    in_step(data, 5)


async def test_gaps_are_filled(api: Api, live: Live) -> None:
    """The source is silent, in that it sends nothing, for three seconds."""
    clip = sound_clip("aac", 7, silent=(2.0, 5.0))
    data, status = await through(api, live, clip)
    heard = hear(data)
    assert heard.gaps < 0.05 and status["audio"]["silence"] >= 130  # of 141 units of 21 ms
    quiet = heard.samples[int(2.6 * heard.rate) : int(4.9 * heard.rate)]
    assert float(np.abs(quiet).max()) < 0.01
    got = sound_units(data)
    assert [unit for unit in clip.units if unit not in got] == []
    in_step(data, 3)


async def test_sound_alone(api: Api, live: Live) -> None:
    clip = sound_clip("aac", 5, video=False)
    async with live.viewer("out") as viewer:
        await api.start("s", live.url("in"), live.url("out"))
        publisher = await live.put("in", [])
        for segment in clip.segments[:3]:
            await feed(api, publisher, segment)
        fed = sum(pts < clip.units[0][0] + 2 * CLOCK for pts, _ in clip.units)
        status = await api.wait("s", lambda s: (s["audio"]["out"] or 0) >= fed)
        assert (status["state"], status["health"]) == ("streaming", "ok"), status
        for segment in clip.segments[3:]:
            await feed(api, publisher, segment)
        await publisher.close()
        await viewer.finished()
    assert sound_units(b"".join(viewer.data)) == clip.units
    assert 4 <= len(viewer.data) <= 6, "a segment a second"
    for data in viewer.data:
        assert sound_codecs(data) == {"aac"} and sound_units(data), "each can be read alone"


async def test_sound_alone_survives_its_worker(api: Api, live: Live) -> None:
    """The next worker goes on with the unit after the last one that was sent."""
    clip = sound_clip("aac", 6, video=False)
    async with live.viewer("out") as viewer:
        started = await api.start("s", live.url("in"), live.url("out"))
        publisher = await live.put("in", [])
        for segment in clip.segments[:3]:
            await feed(api, publisher, segment)
        fed = sum(pts < clip.units[0][0] + 2 * CLOCK for pts, _ in clip.units)
        await api.wait("s", lambda s: (s["audio"]["out"] or 0) >= fed)
        os.kill(started["pid"], signal.SIGKILL)
        await api.wait("s", lambda s: s["restarts"] == 1 and s["source"] == "live")
        for number, segment in enumerate(clip.segments[3:], start=3):
            await publisher.begin()
            await publisher.write(segment)
            due = sum(pts < clip.units[0][0] + number * CLOCK for pts, _ in clip.units)
            await until(lambda n=due: len(sound_units(b"".join(viewer.data))) >= n)  # type: ignore[misc]
        await publisher.close()
        await viewer.finished()
    got = sound_units(b"".join(viewer.data))
    assert [pts for pts, _ in got] == sorted({pts for pts, _ in got}), "none twice"
    assert [unit for unit in clip.units if unit not in got] == []


async def test_sound_alone_through_a_workflow(api: Api, live: Live) -> None:
    clip = sound_clip("opus", 4, video=False)
    data, _ = await through(api, live, clip, prompt=sound("Halve"), encode={"audio": "opus"})
    heard, before = hear(data), hear(clip.data)
    assert sound_codecs(data) == {"opus"} and (heard.gaps, heard.overlaps) == (0.0, 0.0)
    assert loudest(heard) == pytest.approx(loudest(before) / 2, rel=0.1)
    assert heard.begins == pytest.approx(before.begins, abs=0.03)


async def test_pictures_pass_through_a_workflow_that_is_for_sound(api: Api, live: Live) -> None:
    clip = sound_clip("aac", 3)
    data, status = await through(api, live, clip, prompt=sound("Halve"))
    assert status["frames"]["out"] == clip.frames
    assert Viewer.read([data]) == list(range(clip.frames))
    in_step(data, 2)


async def test_a_source_without_sound_is_heard_as_silence(api: Api, live: Live) -> None:
    clip = sound_clip("aac", 5, silent=(0.0, 5.0))
    assert clip.units == []
    data, status = await through(api, live, clip, prompt={**PICTURE, **sound("Halve")})
    assert status["frames"]["out"] == clip.frames and status["last_error"] is None
    heard = hear(data)
    assert loudest(heard) < 0.01 and len(heard.samples) > 2 * heard.rate


async def test_what_is_made_for_a_source_without_a_track_is_told(api: Api, live: Live) -> None:
    async with live.source("in"):
        prompt = {**PICTURE, **sound("Halve")}
        await api.start("mute", live.url("in"), live.url("out"), prompt=prompt)
        status = await api.wait("mute", lambda s: s["audio"]["out"])
        assert status["audio"]["in"] == 0
        assert status["detail"]["audio"] == {"codec_in": None, "tracks": 0, "way": "workflow"}


async def test_a_picture_that_follows_the_sound(api: Api, live: Live) -> None:
    """White while it beeps, else black; it lags by a piece at most."""
    node = {"class_type": "Brightness", "inputs": {"image": ["1", 0], "audio": ["a", 0]}}
    prompt = {
        "1": PICTURE["1"],
        "a": sound(piece_ms=50.0)["a"],
        "b": node,
        "3": {"class_type": "SaveTensor", "inputs": {"images": ["b", 0]}},
    }
    clip = sound_clip("aac", 5)
    data, _ = await through(api, live, clip, prompt=prompt)
    assert sound_units(data) == clip.units, "the sound itself passes by"
    levels = [int(luma.mean()) > 128 for luma in Viewer.lumas([data])]
    assert 0.02 < sum(levels) / len(levels) < 0.6
    assert sum(not a and b for a, b in itertools.pairwise(levels)) >= 3


async def test_texts_of_what_is_heard(api: Api, live: Live) -> None:
    prompt: dict[str, Any] = {
        **PICTURE,
        "a": sound(piece_ms=1000.0)["a"],
        "l": {"class_type": "Loudness", "inputs": {"audio": ["a", 0]}},
        "t": {"class_type": "SaveTextTensor", "inputs": {"data": ["l", 0]}},
    }
    clip = sound_clip("aac", 4)
    data, _ = await through(api, live, clip, prompt=prompt)
    assert sound_units(data) == clip.units, "nothing is made of it, so it passes on"
    code, answer = await api.get("/stream/s/text")
    assert code == 200
    texts = [float(json.loads(line)["text"]) for line in answer.splitlines()]
    assert len(texts) >= 4 and all(0.3 < text < 0.8 for text in texts[:4]), answer


async def test_a_node_that_fails_costs_no_sound(api: Api, live: Live) -> None:
    clip = sound_clip("aac", 4)
    prompt = {**PICTURE, **sound("Moody")}
    data, status = await through(api, live, clip, prompt=prompt, on_error_after=1000)
    heard = hear(data)
    assert (heard.gaps, heard.overlaps) == (0.0, 0.0) and len(
        heard.samples
    ) / heard.rate == pytest.approx(4.0, abs=0.2)
    in_step(data, 3)
    assert status["node_errors"] >= 30
    error = status["last_error"]
    assert (error["node_id"], error["node_type"]) == ("n", "Moody")
    assert "not in the mood" in error["message"]
