"""Viewers in a process of their own: read what comes, count it, look at nothing.

    python -m benchmarks.viewers URL...

Says "watching" when each has its first picture; ends, with how many each got, when its input does.
"""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp


class Viewer:
    def __init__(self) -> None:
        self.pictures = 0
        self.bytes = 0
        self.began = asyncio.Event()

    async def watch(self, session: aiohttp.ClientSession, url: str) -> None:
        async with session.ws_connect(url, max_msg_size=0) as ws:
            async for message in ws:
                if message.type is aiohttp.WSMsgType.BINARY:
                    self.pictures += 1
                    self.bytes += len(message.data)
                    self.began.set()


async def main(urls: list[str]) -> None:
    viewers = [Viewer() for _ in urls]
    async with aiohttp.ClientSession() as session:
        tasks = [
            asyncio.create_task(viewer.watch(session, url))
            for viewer, url in zip(viewers, urls, strict=True)
        ]
        await asyncio.gather(*(viewer.began.wait() for viewer in viewers))
        print("watching", flush=True)
        before = [viewer.pictures for viewer in viewers]
        await asyncio.to_thread(sys.stdin.read)
        print(json.dumps([v.pictures - b for v, b in zip(viewers, before, strict=True)]))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
