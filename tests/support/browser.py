"""A headless Chromium that looks at the page, and what tests read from it.

async with open_browser() as browser, browser.visit(pool.url) as seat:
    await seat.go("#/start")
    ...
# here it is checked that the page has complained of nothing
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PATIENCE_S = 30.0  # a busy machine draws slowly

# No sandbox: tests run as root in a container. The camera is Chromium's own moving test picture.
FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
DESK, PHONE = (1360, 900), (360, 740)


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


# The picture of one side: mean (R, G, B) of each field of a grid, and how often it was painted.
_PICTURE = """([side, columns, rows]) => {
  const canvas = document.querySelector(`.compare canvas[data-side=${side}]`);
  if (!canvas || !canvas.dataset.painted) return null;
  const often = { willReadFrequently: true };
  const small = new OffscreenCanvas(columns, rows).getContext("2d", often);
  small.imageSmoothingQuality = "high";
  small.drawImage(canvas, 0, 0, columns, rows);
  return {
    painted: Number(canvas.dataset.painted),
    size: [canvas.width, canvas.height],
    pixels: [...small.getImageData(0, 0, columns, rows).data].filter((_, n) => n % 4 < 3),
  };
}"""


@dataclass(frozen=True)
class Picture:
    painted: int
    size: tuple[int, int]
    pixels: list[int]  # R, G, B by turns

    def difference(self, other: list[int]) -> float:
        """Mean, in levels of 0..255."""
        pairs = zip(self.pixels, other, strict=True)
        return sum(abs(a - b) for a, b in pairs) / len(self.pixels)

    @property
    def inverted(self) -> list[int]:
        return [255 - level for level in self.pixels]


@dataclass
class Seat:
    """One who looks at the page. ``complaints``: errors and warnings of its console."""

    page: Page
    url: str
    shots: Path
    complaints: list[str] = field(default_factory=list)

    async def go(self, where: str = "") -> None:
        await self.page.goto(f"{self.url}/{where}")

    def find(self, role: Any, name: str, **more: Any) -> Locator:
        return self.page.get_by_role(role, name=name, **more)

    async def see(self, text: str) -> None:
        await self.page.get_by_text(text).first.wait_for(timeout=PATIENCE_S * 1000)

    async def evaluate(self, expression: str, argument: Any = None) -> Any:
        return await self.page.evaluate(expression, argument)

    async def until(self, expression: str, what: str, patience: float = PATIENCE_S) -> Any:
        """Until it is true. (Playwright's own wait needs what the policy of the page forbids.)"""
        deadline = time.monotonic() + patience
        while not (value := await self.evaluate(expression)):
            assert time.monotonic() < deadline, f"{what}; the console: {self.complaints}"
            await asyncio.sleep(0.05)
        return value

    async def picture(self, side: str) -> Picture | None:
        found = await self.evaluate(_PICTURE, [side, 16, 12])
        if found is None:
            return None
        return Picture(found["painted"], tuple(found["size"]), found["pixels"])

    async def pictures(self) -> tuple[Picture, Picture]:
        """Both, of one frame."""
        found = await self.evaluate(
            f"(g) => [['in', ...g], ['out', ...g]].map({_PICTURE})", [16, 12]
        )
        one, two = (Picture(f["painted"], tuple(f["size"]), f["pixels"]) for f in found)
        return one, two

    async def until_pictures(self, wanted: Any, what: str) -> tuple[Picture, Picture]:
        """Until ``wanted(before, after)``."""
        await self.until("() => Boolean(document.querySelector('.compare canvas[data-side=out]')"
                         "?.dataset.painted)", f"no picture: {what}")  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(*(both := await self.pictures())):
            assert time.monotonic() < deadline, f"{what}: {both}"
            await asyncio.sleep(0.05)
        return both

    async def shot(self, name: str) -> None:
        """For a person to look at: all of the page."""
        await self.page.screenshot(path=self.shots / f"{name}.png", full_page=True)

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window; 0 or less: it fits."""
        return int(
            await self.evaluate(
                "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )


class Chromium:
    def __init__(self, browser: Browser, shots: Path) -> None:
        self._browser = browser
        self._shots = shots

    @asynccontextmanager
    async def visit(
        self, url: str, *, size: tuple[int, int] = DESK, allowed: tuple[str, ...] = (), **more: Any
    ) -> AsyncIterator[Seat]:
        """A fresh profile at that page. At the end its console must be empty, but for messages
        that have one of the ``allowed`` words in them."""
        width, height = size
        context = await self._browser.new_context(
            viewport={"width": width, "height": height}, **more
        )
        context.set_default_timeout(PATIENCE_S * 1000)
        page = await context.new_page()
        seat = Seat(page, url, self._shots)

        def heard(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                seat.complaints.append(f"{message.type}: {message.text}")

        page.on("console", heard)
        page.on("pageerror", lambda error: seat.complaints.append(f"exception: {error}"))
        try:
            await seat.go()
            yield seat
        finally:
            await context.close()
        left = [c for c in seat.complaints if not any(word in c for word in allowed)]
        assert left == [], f"the page's console is not empty: {left}"


@asynccontextmanager
async def open_browser(executable: str, shots: Path) -> AsyncIterator[Chromium]:
    """``shots``: for screenshots, unless COMFYTRICKLE_SHOTS names another folder."""
    shots = Path(os.environ.get("COMFYTRICKLE_SHOTS") or shots)
    shots.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield Chromium(browser, shots)
        finally:
            await browser.close()
