"""The page with streams on it: started from the form, looked at, changed, stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import rogue_nodes
from tests.support.browser import PHONE, Chromium, Picture, Seat
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool
from tests.support.streams import example

CODEC_LOSS = 20.0  # levels: encoded twice and once more as JPEG, at a low rate


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    nodes = str(Path(rogue_nodes.__file__))
    flags = ("--devices", "cpu:2", "--nodes", nodes, "--keep-finished-s", "60")
    with running_pool(tmp_path_factory.mktemp("pool"), *flags) as pool:
        yield pool


def negative(before: Picture, after: Picture) -> bool:
    return after.difference(before.inverted) < CODEC_LOSS


def same(before: Picture, after: Picture) -> bool:
    return after.difference(before.pixels) < CODEC_LOSS


async def start_by_form(seat: Seat, live: Live, name: str, workflow: str) -> None:
    await seat.find("link", "Start a stream", exact=True).click()
    await seat.page.get_by_label("Source channel").fill(live.url("in"))
    await seat.page.get_by_label("Sink channel").fill(live.url("out"))
    await seat.page.get_by_label("Name").fill(name)
    await seat.page.get_by_label("Example workflow").select_option(workflow)
    await seat.see("This workflow can run.")
    await seat.find("button", "Start", exact=True).click()
    await seat.find("heading", name, level=1).wait_for()


async def test_a_newcomer_is_told_what_to_do(browser: Chromium, shared_pool: Pool) -> None:
    async with browser.visit(shared_pool.url) as seat:
        await seat.find("heading", "Nothing is running yet").wait_for()
        await seat.see("./scripts/launch_pool.sh --demo")
        await seat.see("0 of 2 places taken")
        await seat.shot("empty")
        await seat.find("link", "Start a stream on it").click()
        await seat.see("This workflow can run.")
        assert await seat.page.get_by_label("Source channel").input_value() == (
            "http://127.0.0.1:2939/in"
        )
        assert "ImageInvert" in await seat.page.locator("textarea").input_value()


async def test_a_stream_from_its_start_to_its_stop(browser: Chromium, api: Api, live: Live) -> None:
    async with live.source("in"), browser.visit(api.pool.url) as seat:
        await start_by_form(seat, live, "first", "invert")
        before, after = await seat.until_pictures(negative, "it is not the negative")
        assert before.size == after.size == (192, 128)
        status = await api.status("first")
        assert status["publish_url"] == live.url("out") and status["engine"] == "embedded"

        later = await seat.until_pictures(
            lambda b, a: b.painted > before.painted + 10 and b.difference(before.pixels) > 0.3,
            "the pictures stand still",
        )
        assert negative(*later), "and after a while it is the negative no more"
        await seat.see("Running well")
        await seat.until(
            "() => [...document.querySelectorAll('.plot')].every((p) => p.dataset.points > 3)",
            "the plots have no points",
        )
        await seat.until(f"() => Object.values(({_DRAWN})()).every(Boolean)", "a plot has no line")
        await seat.shot("stream")
        await seat.find("button", "Switch to dark colours").click()
        assert await seat.evaluate(_GROUND) == "rgb(17, 22, 21)"
        await seat.until(f"() => Object.values(({_DRAWN})()).every(Boolean)", "nor in the dark")
        await seat.shot("stream-dark")

        await seat.page.get_by_label("Example workflow").select_option("passthrough")
        await seat.see("This workflow can run.")
        await seat.find("button", "Apply").click()
        await seat.see("Params applied: revision 1 runs.")
        await seat.until_pictures(same, "the other workflow is not seen in the picture")

        await seat.find("tab", "Log").click()
        await seat.page.locator(".log", has_text="ready after").wait_for()
        await seat.find("tab", "Details").click()
        await seat.see(f"process {status['pid']}")
        await seat.find("button", "Stop").click()
        await seat.see("It was stopped, and all that was on its way came out.")
        assert (await api.status("first"))["exit_cause"] == "requested"
        await seat.find("tab", "Story").click()
        assert await seat.page.locator(".story li strong").all_inner_texts() == [
            "Asked for", "Ready", "Changed", "Ended",
        ]  # fmt: skip
        await seat.find("link", "← All streams").click()
        await seat.find("heading", "Ended lately").wait_for()
        await seat.page.locator("[data-stream=first]", has_text="Ended").wait_for()


_GROUND = "() => getComputedStyle(document.body).backgroundColor"

# For each plot, whether a line was drawn: pixels of the colour of one of its lines.
_DRAWN = """() => Object.fromEntries([...document.querySelectorAll(".plot")].map((plot) => {
  const canvas = plot.querySelector("canvas");
  // Not from the plot's own canvas: Chromium would complain of that in the console.
  const often = { willReadFrequently: true };
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", often);
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  const probe = document.createElement("canvas").getContext("2d", often);
  const drawn = [...plot.querySelectorAll(".key")].some((key) => {
    const name = /var\\((.*)\\)/.exec(getComputedStyle(key).getPropertyValue("--key"))?.[1];
    const style = getComputedStyle(name ? document.documentElement : key);
    probe.fillStyle = style.getPropertyValue(name ?? "--key");
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
    let found = 0;
    for (let at = 0; at < data.length; at += 4) {
      const off = Math.abs(data[at] - r) + Math.abs(data[at + 1] - g) + Math.abs(data[at + 2] - b);
      if (data[at + 3] > 100 && off < 24) found += 1;
    }
    return found > 3;
  });
  return [plot.dataset.title, drawn];
}))"""


async def test_knobs_change_the_picture_while_it_runs(
    browser: Chromium, api: Api, live: Live
) -> None:
    graph = example("blur")
    graph["2"]["inputs"].update(blur_radius=1, sigma=0.1)
    refused = ("status of 400",)  # the browser's own note
    async with live.source("in"), browser.visit(api.pool.url, allowed=refused) as seat:
        await api.start("knobs", live.url("in"), live.url("out"), prompt=graph)
        await seat.go("#/stream/knobs")
        await seat.until_pictures(same, "it is not sharp yet")
        radius = seat.page.get_by_label("blur radius", exact=True)
        await radius.fill("31")
        await seat.page.get_by_label("sigma", exact=True).fill("10")
        await seat.until_pictures(lambda b, a: not same(b, a), "it is not blurred")
        ran = (await api.get("/stream/knobs/params"))[1]
        assert ran["params"]["prompt"]["2"]["inputs"]["blur_radius"] == 31
        assert ran["revision"] >= 1
        await seat.page.get_by_text(f"Revision {ran['revision']} runs.").first.wait_for()
        text = json.loads(await seat.page.locator("textarea").input_value())
        assert text == ran["params"]["prompt"], "the text shows another workflow than runs"
        refusal = seat.page.get_by_text("Not applied: blur radius of node 2: 99 > 31.")
        await radius.fill("99")
        await refusal.wait_for()
        assert (await api.status("knobs"))["params_revision"] == ran["revision"]
        value = (
            "() => [...document.querySelectorAll('[data-node=\"2\"] input')].map((e) => e.value)"
        )
        await seat.until(f"() => ({value})().slice(0, 2).join() === '31,31'", "it does not go back")
        await seat.page.get_by_label("sigma", exact=True).fill("2")
        await seat.page.get_by_text(f"Revision {ran['revision'] + 1} runs.").first.wait_for()
        assert not await refusal.is_visible(), "the old message is still there"
        now = (await api.get("/stream/knobs/params"))[1]["params"]["prompt"]["2"]["inputs"]
        assert (now["blur_radius"], now["sigma"]) == (31, 2)
        await seat.find("tab", "Story").click()
        changed = seat.page.locator(".story li", has_text="Changed").last
        await changed.get_by_text("sigma of node 2 (ImageBlur): 10 → 2").wait_for()
        assert f"Revision {ran['revision'] + 1}." in await changed.inner_text()


async def test_the_story_of_a_stream_in_trouble(browser: Chromium, api: Api, live: Live) -> None:
    graph = {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "2": {"class_type": "RogueExit", "inputs": {"image": ["1", 0], "after": 30}},
        "3": {"class_type": "RogueRaise", "inputs": {"image": ["2", 0], "after": 0}},
        "4": {"class_type": "SaveTensor", "inputs": {"images": ["3", 0]}},
    }
    async with live.source("in"), browser.visit(api.pool.url, allowed=("WebSocket",)) as seat:
        await api.start("rogue", live.url("in"), live.url("out"), prompt=graph)
        await api.wait("rogue", lambda s: s["restarts"] >= 1, 60)
        await seat.go("#/stream/rogue")
        await seat.find("tab", "Story").click()
        await seat.see("A worker died")
        await seat.page.locator(
            ".story", has_text="Its program broke off with an error (exit code 37)."
        ).wait_for()
        await seat.page.locator(".story", has_text="In node 3 (RogueRaise)").wait_for()
        details = seat.page.locator(".story details").first
        await details.locator("summary").click()
        await details.get_by_text("rogue: about to leave").wait_for()
        await seat.shot("story")
        await api.wait("rogue", lambda s: not s["running"], 60)
        await seat.page.locator(".health", has_text="Failed").wait_for()
        await seat.find("link", "← All streams").click()
        await seat.page.locator("[data-stream=rogue] .why").wait_for()


async def test_light_or_dark_is_the_systems_choice_until_somebody_chooses(
    browser: Chromium, shared_pool: Pool
) -> None:
    async with browser.visit(shared_pool.url, color_scheme="dark") as seat:
        assert await seat.evaluate(_GROUND) == "rgb(17, 22, 21)"
        await seat.find("heading", "Nothing is running yet").wait_for()
        await seat.shot("empty-dark")
        await seat.page.emulate_media(color_scheme="light")
        await seat.until(f"() => ({_GROUND})() === 'rgb(245, 245, 241)'", "it stays dark")
        await seat.find("button", "Switch to dark colours").click()
        assert await seat.evaluate(_GROUND) == "rgb(17, 22, 21)"
        await seat.page.reload()
        assert await seat.evaluate(_GROUND) == "rgb(17, 22, 21)"


async def test_several_streams_at_a_glance(browser: Chromium, api: Api, live: Live) -> None:
    async with live.source("in"), browser.visit(api.pool.url) as seat:
        await api.start("one", live.url("in"), live.url("out1"), prompt=example("invert"))
        await api.start("two", live.url("in"), live.url("out2"), prompt=example("mirror"))
        for name in ("one", "two"):
            card = seat.page.locator(f"[data-stream={name}]")
            await card.get_by_text("Running well").wait_for()
            await seat.until(f"() => document.querySelector('[data-stream={name}] canvas')"
                             ".dataset.painted > 1", "its card shows no picture")  # fmt: skip
            assert "embedded on cpu:" in await card.inner_text()
        await seat.see("2 of 2 places taken")
        await seat.shot("overview")
        await seat.page.locator("[data-stream=two]").click()
        await seat.find("heading", "two", level=1).wait_for()
        assert await seat.page.title() == "two · comfytrickle"


async def test_on_a_phone_nothing_is_wider_than_the_window(
    browser: Chromium, api: Api, live: Live
) -> None:
    async with (
        live.source("in"),
        browser.visit(api.pool.url, size=PHONE, has_touch=True, is_mobile=True) as seat,
    ):
        await seat.find("heading", "Nothing is running yet").wait_for()
        assert await seat.overflow() <= 0
        await api.start("a-stream-with-a-rather-long-name-as-gateways-give-them-0123456789",
                        live.url("in"), live.url("out"), prompt=example("edges"))  # fmt: skip
        await seat.page.locator(".card:not(.ended)").get_by_text("Running well").wait_for()
        assert await seat.overflow() <= 0, "the cards"
        await seat.shot("phone-overview")
        await seat.page.locator(".card:not(.ended)").click()
        await seat.until_pictures(lambda b, a: a.painted > 2, "no picture")
        for tab in ("Story", "Log", "Details", "Change"):
            await seat.find("tab", tab).click()
            await seat.page.locator("[role=tabpanel] > *").first.wait_for()
            assert await seat.overflow() <= 0, tab
        await seat.see("This workflow can run.")
        await seat.shot("phone-stream")
        await seat.go("#/start")
        await seat.find("heading", "Start a stream").wait_for()
        assert await seat.overflow() <= 0, "the form"
        await seat.shot("phone-start")


async def test_it_can_be_used_with_the_keyboard_alone(
    browser: Chromium, api: Api, live: Live
) -> None:
    async with live.source("in"), browser.visit(api.pool.url) as seat:
        await api.start("keys", live.url("in"), live.url("out"), prompt=example("invert"))
        await seat.go("#/stream/keys")
        await seat.until_pictures(lambda b, a: a.painted > 1, "no picture to divide")
        slider = seat.page.get_by_label("How much of the picture")
        await slider.focus()
        for _ in range(10):
            await seat.page.keyboard.press("ArrowLeft")
        assert await slider.input_value() == "40"
        clip = "() => getComputedStyle(document.querySelector('.after')).clipPath"
        assert await seat.evaluate(clip) == "inset(0px 0px 0px 40%)"
        await seat.find("tab", "Change").focus()
        await seat.page.keyboard.press("ArrowRight")
        assert await seat.evaluate("() => document.activeElement.textContent") == "Story"
        assert await seat.find("tab", "Story").get_attribute("aria-selected") == "true"
        await seat.page.locator(".story").wait_for()
        await seat.page.keyboard.press("End")
        await seat.page.locator(".facts-list").wait_for()
        await seat.find("button", "After").focus()
        await seat.page.keyboard.press("Enter")
        await seat.page.locator(".before").wait_for(state="hidden")
        await seat.find("button", "Stop").focus()
        await seat.page.keyboard.press("Enter")
        await seat.see("It was stopped")
        said = "() => document.querySelector('#said').textContent"
        await seat.until(f"() => ({said})().includes('Ended')", "its end is not said aloud")
