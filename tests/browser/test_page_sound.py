"""What the page tells of sound: of a stream that has nothing else, and where it is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.browser import Chromium
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool
from tests.support.sound_clips import sound_clip


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:1") as pool:
        yield pool


async def test_a_stream_of_sound_alone_waits_for_no_picture(
    browser: Chromium, api: Api, live: Live
) -> None:
    clip = await asyncio.to_thread(sound_clip, "aac", 3, video=False)
    async with browser.visit(api.pool.url) as seat:
        await api.start("hum", live.url("in"), live.url("out"))
        publisher = await live.put("in", [])
        for segment in clip.segments:  # one by one: a reader begins at the newest
            await publisher.begin()
            await publisher.write(segment)
            fed = publisher.counters.bytes
            await api.wait("hum", lambda s, n=fed: s["bytes"]["in"] == n)
        units = (await api.wait("hum", lambda s: (s["audio"]["out"] or 0) > 90))["audio"]["out"]
        card = seat.page.locator("[data-stream=hum]")
        await card.get_by_text("Sound alone", exact=True).wait_for()
        await card.locator("dd", has_text=f"→ {units}").wait_for()
        assert "fps" not in await card.inner_text()
        await seat.shot("sound-alone-card")
        await card.click()
        await seat.see("Sound alone: no picture comes with it.")
        await seat.page.locator(".tile", has_text=f"{units}units out").wait_for()
        assert "Latency" not in await seat.page.locator(".tiles").inner_text()
        assert not await seat.page.get_by_text("Waiting for pictures").is_visible()
        await seat.shot("sound-alone")
        sentence = await seat.evaluate(
            """async (status) => {
              const { healthOf } = await import("/web/js/words.js");
              return healthOf(status).sentence;
            }""",
            {**await api.status("hum"), "health": "ok"},
        )
        assert sentence == "Sound comes in and goes out; there is no picture with it."
        await publisher.close()


async def test_what_met_an_error_may_be_sound(browser: Chromium, api: Api, live: Live) -> None:
    async with live.source("in"), browser.visit(api.pool.url) as seat:
        await api.start("hurt", live.url("in"), live.url("out"))
        error = {"kind": "node", "message": "no", "node_id": "2", "time": "2026-01-01T00:00:00Z"}
        hurt = {**await api.status("hurt"), "changes": [], "last_error": error}
        told = await seat.evaluate(
            """async (status) => {
              const { storyView } = await import("/web/js/story.js");
              const { healthOf } = await import("/web/js/words.js");
              const story = storyView("hurt");
              const errors = [1, 7].map((n) => {
                story.update({ ...status, node_errors: n });
                return story.element.textContent;
              });
              return [...errors, healthOf({ ...status, health: "degraded" }).sentence];
            }""",
            hurt,
        )
        assert "1 frame or piece of sound met an error" in told[0]
        assert "7 frames or pieces of sound met an error" in told[1]
        assert "frames or pieces of sound are damaged" in told[2]


async def test_who_chooses_a_workflow_for_sound_learns_that_the_page_plays_none(
    browser: Chromium, shared_pool: Pool
) -> None:
    async with browser.visit(shared_pool.url) as seat:
        await seat.go("#/start/channel/volume")
        await seat.see("This workflow can run.")
        note = seat.page.locator(".verdict", has_text="which this page does not play")
        await note.wait_for()
        await seat.shot("form-sound")
        await seat.page.get_by_label("Example workflow").select_option("blur")
        await note.wait_for(state="detached")
        await seat.see("This workflow can run.")
