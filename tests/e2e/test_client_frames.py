"""Frames to a stream and pictures of it through the Python client, content-checked."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfytrickle.client import AsyncClient, AsyncStream, Ended, Refused, Sent
from comfytrickle.client.async_pictures import KEEP
from comfytrickle.testsrc.pattern import Pattern
from tests.support.negatives import INVERT, PATTERN, check_negative
from tests.support.pool import Pool, running_pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:3") as pool:
        yield pool


async def shoot(stream: AsyncStream, wanted: asyncio.Event) -> list[Sent]:
    """Frames from 0 on until ``wanted``."""
    sent = []
    async with stream.camera() as camera:
        while not wanted.is_set():
            n = len(sent)
            sent.append(await camera.send(PATTERN.render(n), pts=3000 * n))
            await asyncio.sleep(1 / 30)
    return sent


async def test_frames_go_there_and_come_back(client: AsyncClient) -> None:
    stream = await client.start(INVERT, width=128, height=128, drop="never")
    await stream.wait_ready()
    enough = asyncio.Event()
    sending = asyncio.create_task(shoot(stream, enough))
    pictures = []
    async for picture in stream.frames(fps=60):
        pictures.append(picture)
        if len(pictures) == 20:
            break
    enough.set()
    sent = await asyncio.wait_for(sending, 30)
    assert all(one.accepted and one.reason is None for one in sent)
    assert [one.seq for one in sent] == list(range(len(sent)))
    for picture in pictures:
        check_negative(picture)
    seqs = [picture.seq for picture in pictures]
    assert seqs == sorted(set(seqs))
    status = await stream.status()
    assert status["frames"]["in"] <= len(sent) and status["subscribe_url"] is None
    assert (await stream.stop())["state"] == "exited"


async def test_jpegs_sizes_and_sides(client: AsyncClient) -> None:
    """A JPEG goes in as it is; what comes out is no wider than asked for, with both sides."""
    file = io.BytesIO()
    Image.fromarray(Pattern(200, 100).render(0)).save(file, "JPEG", quality=95)
    async with await client.start(INVERT) as stream:
        await stream.wait_ready()
        async with stream.camera() as camera:

            async def send() -> None:
                while True:
                    await camera.send(file.getvalue())
                    await asyncio.sleep(1 / 30)

            sending = asyncio.create_task(send())
            snapshot = await stream.snapshot("in", width=64, quality=50)
            async for picture in stream.frames("both", 60, 100, 95):
                if picture.width == 200:  # those before were made for the snapshot
                    break
            sending.cancel()
            await asyncio.wait({sending})
        assert (picture.side, picture.width, picture.height) == ("both", 200, 50)
        rgb = picture.rgb().astype(int)
        assert np.abs(rgb[:, :100] - (255 - rgb[:, 100:])).mean() < 6
        with Image.open(io.BytesIO(snapshot)) as image:
            assert (image.format, image.size) == ("JPEG", (64, 32))


async def test_a_slow_reader_gets_the_newest(client: AsyncClient) -> None:
    stream = await client.start(INVERT, width=128, height=128, drop="never")
    await stream.wait_ready()
    async with stream.frames(fps=60) as pictures:
        async with stream.camera(end=True) as camera:
            for n in range(45):
                await camera.send(PATTERN.render(n), pts=3000 * n)
                await asyncio.sleep(1 / 30)
        ended = await stream.wait_ended(30)
        late = [picture async for picture in pictures]
        assert [picture async for picture in pictures] == []  # it stays over
    assert (ended["exit_cause"], ended["frames"]["out"]) == ("source_ended", 45)
    assert 1 <= len(late) <= KEEP
    for picture in late:
        check_negative(picture)
        assert picture.pts is not None and picture.pts >= 3000 * 20


async def test_a_camera_is_told_what_is_wrong(client: AsyncClient) -> None:
    async with await client.start() as stream:
        await stream.wait_ready()
        async with stream.camera() as camera:
            with pytest.raises(Refused, match="no JPEG") as refused:
                await camera.send(b"nonsense")
            assert (refused.value.status, refused.value.field) == (400, "payload")
            with pytest.raises(Refused) as refused:
                await camera.send(np.zeros((8, 16, 3), np.uint8))
            assert refused.value.field == "height"
            with pytest.raises(TypeError):
                await camera.send(np.zeros((16, 16), np.uint8))
            with pytest.raises(Refused, match="has a sender already") as refused:
                async with stream.camera():
                    pass
            assert refused.value.status == 409
            # Whole outside, rubbish inside: taken, and then refused by the worker.
            file = io.BytesIO()
            Image.fromarray(PATTERN.render(0)).save(file, "JPEG")
            head = file.getvalue()[: len(file.getvalue()) // 8]
            assert (await camera.send(head)).accepted
            await until(lambda: camera.refused == 1)
            assert camera.refusal
            frames = [PATTERN.render(n) for n in range(3)]
            sent = await asyncio.gather(*(camera.send(frame) for frame in frames))
            assert all(one.accepted or one.reason == "busy" for one in sent)
            await stream.stop()
            with pytest.raises(Ended, match="exited"):
                while True:
                    await camera.send(frames[0])
                    await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="inside its with block"):
            await stream.camera().send(frames[0])


async def until(wanted: Any, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not wanted():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
