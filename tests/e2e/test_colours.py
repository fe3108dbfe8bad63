"""Colours through the whole pool: what goes in comes out, as YUV and as tags."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import av
import numpy as np
import numpy.typing as npt
import pytest

from comfytrickle.testsrc.clip import Clip, Part, make_clip
from comfytrickle.testsrc.encoder import ColourSpec, Matrix
from tests.support import clips
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool

BARS = 7


class Picture(NamedTuple):
    patches: npt.NDArray[np.float64]  # [7, 3]: mean Y, U and V in the middle of each bar
    tags: tuple[int, int, int, int]  # matrix, primaries, transfer, range


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:1") as pool:
        yield pool


def plane(frame: av.VideoFrame, index: int) -> npt.NDArray[np.uint8]:
    one = frame.planes[index]
    flat: npt.NDArray[np.uint8] = np.frombuffer(cast(Any, one), np.uint8)
    return flat.reshape(one.height, one.line_size)[:, : one.width]


def picture(frame: av.VideoFrame) -> Picture:
    assert frame.format.name in ("yuv420p", "yuvj420p")
    patches = np.empty((BARS, 3))
    for component in range(3):
        values = plane(frame, component)
        height, width = values.shape
        # The upper rows of the bars, where the ball of the pattern is not, at the first frames.
        rows = values[height * 9 // 16 : height * 10 // 16 - 1]
        for bar in range(BARS):
            middle = (2 * bar + 1) * width // (2 * BARS)
            patches[bar, component] = rows[:, middle - 2 : middle + 2].mean()
    tags = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
    return Picture(patches, tuple(int(tag) for tag in tags))  # type: ignore[arg-type]


def pictures(data: bytes) -> list[Picture]:
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        return [picture(frame) for frame in container.decode(video=0)]


def shown(patches: npt.NDArray[np.float64], matrix: Matrix) -> npt.NDArray[np.float64]:
    """What a viewer shows of limited-range YUV: RGB [7, 3], 0..255. ITU-R BT.601, BT.709."""
    kr, kb = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    y = (patches[:, 0] - 16) / 219
    u, v = ((patches[:, i] - 128) / 224 for i in (1, 2))
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], axis=1), 0, 1) * 255


async def through(api: Api, live: Live, clip: Clip) -> tuple[list[Picture], list[Picture]]:
    """The clip's pictures before and after a pass-through stream."""
    sent = await asyncio.to_thread(pictures, clip.data)
    async with live.viewer("out") as viewer:
        # All of the clip comes at once: on a busy machine it would be an overload.
        params: dict[str, Any] = {"encode": {"crf": 10}, "drop": "never"}
        await api.start("c", live.url("in"), live.url("out"), **params)
        publisher = await live.put("in", [segment.data for segment in clip.segments])
        await api.wait("c", lambda s: (s["frame_count"] or 0) >= len(clip.counters) // 2)
        await publisher.close()
        await viewer.finished()
    got = await asyncio.to_thread(pictures, b"".join(viewer.data))
    assert len(got) == len(sent) == len(clip.counters)
    assert np.ptp(sent[0].patches[:, 1]) > 60, "the patches are not of different colours"
    assert [p.tags for p in got] == [p.tags for p in sent]
    return sent, got


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
async def test_tagged_video(api: Api, live: Live, matrix: Matrix, full_range: bool) -> None:
    sent, got = await through(api, live, clips.coloured(matrix, full_range, tagged=True))
    for before, after in zip(sent, got, strict=True):
        assert np.abs(before.patches - after.patches).max() < 3.0
    code = {"bt601": 6, "bt709": 1}[matrix]
    assert got[0].tags == (code, code, code, 2 if full_range else 1)


@pytest.mark.parametrize(("matrix", "lines"), [("bt601", clips.HEIGHT), ("bt709", 720)])
async def test_untagged_video_of_its_size(api: Api, live: Live, matrix: Matrix, lines: int) -> None:
    """BT.601 below 720 lines and BT.709 from there, limited: what players take untagged for."""
    colour = ColourSpec(matrix, full_range=False, tagged=False)
    width = clips.WIDTH if lines == clips.HEIGHT else 1280
    clip = make_clip(Part(clips.spec(width, lines, colour=colour, crf=10.0), 6))
    sent, got = await through(api, live, clip)
    for before, after in zip(sent, got, strict=True):
        assert np.abs(before.patches - after.patches).max() < 3.0
    assert got[0].tags == (2, 2, 2, 0)


@pytest.mark.parametrize(
    ("matrix", "full_range"), [("bt709", False), ("bt601", True), ("bt709", True)]
)
async def test_untagged_video_that_is_something_else(
    api: Api, live: Live, matrix: Matrix, full_range: bool
) -> None:
    """Nobody can know, so a player shows wrong colours, some of them beyond RGB and so clipped.
    It shows the same wrong colours after us."""
    sent, got = await through(api, live, clips.coloured(matrix, full_range, tagged=False))
    for before, after in zip(sent, got, strict=True):
        difference = shown(before.patches, "bt601") - shown(after.patches, "bt601")
        assert np.abs(difference).max() < 6.0
    assert got[0].tags == (2, 2, 2, 0)
