"""What the page tells of itself, of texts, of sound, and of what is not there yet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import rogue_nodes
from tests.support.browser import PHONE, Chromium, Picture
from tests.support.live import Api, Live
from tests.support.pool import Pool, free_port, running_pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    nodes = str(Path(rogue_nodes.__file__))
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2", "--nodes", nodes) as p:
        yield p


def same(before: Picture, after: Picture) -> bool:
    return after.difference(before.pixels) < 20.0


async def test_the_page_says_when_it_is_not_live_and_when_it_is_again(
    browser: Chromium, tmp_path: Path
) -> None:
    async with browser.visit("about:blank#", allowed=("Failed to load", "net::")) as seat:
        header = seat.page.locator("#service")
        with running_pool(tmp_path, "--devices", "cpu:1") as pool:
            seat.url = pool.url
            await seat.go()
            await seat.find("heading", "Nothing is running yet").wait_for()
            await header.get_by_text("0 of 1 place taken").wait_for()
        await seat.see("Not connected to the control plane")
        await header.get_by_text("Not connected").wait_for()
        assert "place" not in await header.inner_text(), "it tells of what is past"
        await seat.shot("gone")
        port = int(pool.url.rsplit(":", 1)[1])
        with running_pool(tmp_path, "--devices", "cpu:3", port=port):
            await seat.see("Connected again")
            await header.get_by_text("0 of 3 places taken").wait_for()
            await seat.page.locator("#banner").wait_for(state="hidden")


def telling(length: int = 0) -> dict[str, Any]:
    inputs = {"image": ["1", 0], "length": length}
    return {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "5": {"class_type": "RogueTell", "inputs": inputs},
        "6": {"class_type": "SaveTextTensor", "inputs": {"data": ["5", 0]}},
        "9": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
    }


async def test_what_a_workflow_says_is_shown_as_it_comes(
    browser: Chromium, api: Api, live: Live
) -> None:
    async with (
        live.source("in"),
        browser.visit(api.pool.url, size=PHONE, permissions=["clipboard-read", "clipboard-write"])
        as seat,
    ):  # fmt: skip
        await api.start("mute", live.url("in"), live.url("out1"))
        await api.start("tell", live.url("in"), live.url("out2"), prompt=telling())
        await seat.go("#/stream/mute")
        await seat.page.locator(".health", has_text="Running well").wait_for()
        log = seat.find("log", "Texts")
        assert not await log.is_visible(), "it said nothing"
        await seat.go("#/stream/tell")
        last = "() => document.querySelector('.said li:last-child .text')?.textContent"
        first = await seat.until(last, "no text comes")
        await seat.until(f"() => ({last})() !== {json.dumps(first)}", "no other text comes")
        await seat.find("button", "Hold").click()
        held = str(await seat.evaluate(last))
        assert re.fullmatch(r"frame \d+", held)
        row = log.locator("li").last
        assert "node 6" in await row.inner_text()
        assert re.search(r"\d\d:\d\d:\d\d", await row.inner_text())
        await row.get_by_role("button", name="Copy the text of node 6").click()
        assert await seat.evaluate("() => navigator.clipboard.readText()") == held
        told = (await api.get("/stream/tell/text"))[1].splitlines()
        await api.wait("tell", lambda s: s["frame_count"] > 60)
        assert any(json.loads(line)["text"] == held for line in told)
        assert await seat.evaluate(last) == held, "it is not held"
        await seat.find("button", "Go on").click()
        await seat.until(f"() => ({last})() !== {json.dumps(held)}", "it does not go on")
        await seat.see("not shown: the newest of each second are")
        link = seat.find("link", "The last 500")
        assert await link.get_attribute("href") == f"{api.pool.url}/stream/tell/text"
        assert await seat.overflow() <= 0, "the line above is wider than the window"
        change = {"params": {"prompt": telling(30_000)}}
        assert (await api.post("/stream/tell/params", change))[0] == 200
        await seat.page.locator(".said", has_text=re.compile('"{900}')).wait_for()
        await seat.find("button", "Hold").click()
        assert await seat.overflow() <= 0, "a long text is wider than the window"
        height = "() => document.querySelector('.said').clientHeight"
        assert await seat.evaluate(height) <= 300, "it is higher than its place"
        await seat.shot("phone-texts")


SOUND = [
    ({"in": None}, {}, None),
    ({"in": 0, "out": 0}, {"audio": None}, "none comes in."),
    (
        {"in": 1200, "out": 1198, "silence": 2},
        {"audio": {"codec_in": "aac", "tracks": 1, "way": "passed on"}},
        "AAC is passed on as it came; 1,200 units in, 1,198 out; 2 units of silence fill gaps.",
    ),
    (
        {"in": 9, "out": 5, "unheard": 1, "dropped": {"damaged": 3, "late": 0}},
        {"audio": {"codec_in": "opus", "tracks": 2, "way": "workflow"}},
        "Opus, 2 tracks, goes through the workflow; 9 units in, 5 out; 1 piece went out without the"
        " workflow, which is too slow; 3 damaged.",
    ),
    (
        {"in": 0, "out": 7},
        {"audio": {"codec_in": None, "tracks": 0, "way": "workflow"}},
        "Silence goes through the workflow; 0 units in, 7 out.",
    ),
    (
        {"in": 9, "out": 0, "dropped": {"off": 9}},
        {"audio": {"codec_in": "aac", "tracks": 1, "way": "off"}},
        "AAC is not wanted, and left out.",
    ),
]


async def test_how_the_sound_goes_is_said_in_words(browser: Chromium, api: Api, live: Live) -> None:
    async with live.source("in"), browser.visit(api.pool.url) as seat:
        say = """async ({audio, detail}) => {
          const { soundInWords } = await import("/web/js/sound.js");
          return soundInWords({ audio, detail, frames: { in: 30 } });
        }"""
        for audio, detail, words in SOUND:
            full = {"out": 0, "silence": 0, "unheard": 0, "dropped": {}, **audio}
            assert await seat.evaluate(say, {"audio": full, "detail": detail}) == words
        await api.start("quiet", live.url("in"), live.url("out"))
        await seat.go("#/stream/quiet")
        await seat.see("Sound: none comes in.")


async def test_while_nothing_comes_the_words_stand_free(
    browser: Chromium, api: Api, live: Live
) -> None:
    async with browser.visit(api.pool.url, allowed=("WebSocket",)) as seat:
        await api.start("early", live.url("in"), live.url("out"))
        await seat.go("#/stream/early")
        await seat.see("Waiting for pictures: the source channel is not there yet.")
        assert not await seat.page.locator(".seam").is_visible()
        await seat.shot("waiting")
        async with live.source("in"):
            await seat.until_pictures(same, "no pictures")
            await seat.page.locator(".nothing").wait_for(state="hidden")
            assert await seat.page.locator(".seam").is_visible()


async def test_a_source_out_of_reach_is_why_it_ended(
    browser: Chromium, api: Api, live: Live
) -> None:
    async with browser.visit(api.pool.url, allowed=("WebSocket",)) as seat:
        url = f"http://127.0.0.1:{free_port()}/in"
        await api.start("astray", url, live.url("out"), appear_timeout_s=1)
        await seat.go("#/stream/astray")
        await seat.see("It could not go on, and said why.")
        await seat.page.locator(
            ".result", has_text=f"At its source: the source could not be reached: {url}"
        ).wait_for()
        await seat.find("tab", "Story").click()
        story = await seat.page.locator(".story").inner_text()
        assert "could not be reached" in story and "It could not go on, and said why." in story
        assert "broke off" not in story and "never appeared" not in story
        await seat.shot("astray")
