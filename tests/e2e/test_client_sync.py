"""The client without await: in scripts, and in a notebook, where a loop runs already."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from comfytrickle.client import Client, Ended, Refused, Stream, Unreachable
from tests.support.negatives import INVERT, PATTERN, check_negative
from tests.support.pool import Pool, free_port, running_pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


def there_and_back(stream: Stream) -> list[int]:
    """The numbers of five pictures, each checked, while another thread sends."""
    enough = threading.Event()

    def send() -> tuple[int, str | None]:
        with stream.camera() as camera:
            for n in itertools.count():
                assert camera.send(PATTERN.render(n), pts=3000 * n).accepted
                if enough.wait(1 / 30):
                    break
            return camera.refused, camera.refusal

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        try:
            pictures = itertools.islice(stream.frames(fps=60), 5)
            found = [check_negative(picture) for picture in pictures]
        finally:
            enough.set()
        assert sending.result() == (0, None)
    return found


async def test_in_a_notebook(shared_pool: Pool) -> None:
    """A loop runs in this thread; the client blocks it, and works."""
    turns = 0

    async def notebook() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(notebook())
    await asyncio.sleep(0)
    with Client(shared_pool.url) as client:
        with client.start(INVERT, width=128, height=128, drop="never") as stream:
            stream.wait_ready()
            found = there_and_back(stream)
            assert found == sorted(set(found))
            assert set(client.list()) == {stream.id}
            assert stream.params(max_framerate=20)["revision"] == 1
            assert stream.running_params()["params"]["max_framerate"] == 20
            assert "ready after" in stream.logs()
            assert stream.status()["width"] == 128
        assert stream.status()["exit_cause"] == "requested"
    before = turns
    await asyncio.sleep(0)
    other.cancel()
    await asyncio.wait({other})
    assert turns >= before > 0


def test_every_other_call(shared_pool: Pool) -> None:
    with Client(shared_pool.url) as client:
        assert client.url == shared_pool.url and client.health()["status"] in ("IDLE", "OK")
        assert "ImageInvert" in client.nodes() and client.validate(INVERT)["valid"]
        assert client.request("GET", "/ready") == {"ready": True}
        names = [event.name for event in itertools.islice(client.events(), 2)]
        assert sorted(names) == ["health", "streams"]
        stream = client.start()
        assert client.stream(stream.id).wait_ready()["state"] == "ready"
        with concurrent.futures.ThreadPoolExecutor(1) as pool, stream.camera() as camera:

            def snapshot() -> bytes:
                return stream.snapshot()

            taken = pool.submit(snapshot)
            n = 0
            while not taken.done():  # another thread uses the client at the same time
                n += 1
                camera.send(PATTERN.render(n))
                time.sleep(1 / 30)
            assert taken.result()[:2] == b"\xff\xd8"
            lines = stream.follow_logs()
            assert stream.id in next(lines)
            camera.end()
            assert stream.wait_ended(30)["exit_cause"] == "source_ended"
            assert len(list(lines)) == len(stream.logs().splitlines()) - 1
            with pytest.raises(Ended):
                for _ in range(1000):
                    camera.send(PATTERN.render(0))
        assert stream.id in client.list(ended=True) and stream.id not in client.list()
        assert stream.stop()["message"] == "stream had ended already"


def test_errors_are_the_same(shared_pool: Pool) -> None:
    with Client(shared_pool.url) as client:
        with pytest.raises(Refused, match="no stream") as refused:
            client.stream("none").status()
        assert refused.value.status == 404
        with pytest.raises(Refused):
            list(client.stream("none").frames())
        with pytest.raises(Refused), client.stream("none").camera():
            pass
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable):
        client.list()


def test_closing_ends_what_is_open(shared_pool: Pool) -> None:
    """Pictures that are watched, a camera, events: none keeps its connection or the thread."""
    client = Client(shared_pool.url)
    stream = client.start()
    stream.wait_ready()
    camera = stream.camera().__enter__()
    pictures = iter(stream.frames(fps=60).__enter__())
    events = client.events()
    next(events)
    assert camera.send(PATTERN.render(0)).accepted
    client.close()
    for call in (lambda: camera.send(PATTERN.render(0)), lambda: next(pictures), stream.status):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    events.close()
    with Client(shared_pool.url) as another:  # the stream goes on
        assert another.stream(stream.id).stop()["message"] == "stream stopped"
