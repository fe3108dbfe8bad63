"""What is wrong with a start is shown where it is wrong; the camera; the token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Chromium, Seat
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool
from tests.support.streams import example

REFUSED = ("status of 400", "status of 409", "status of 503")  # the browser's own notes


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    flags = ("--devices", "cpu:1", "--keep-finished", "1")
    with running_pool(tmp_path_factory.mktemp("pool"), *flags) as pool:
        yield pool


async def write(seat: Seat, workflow: Any) -> None:
    text = workflow if isinstance(workflow, str) else json.dumps(workflow, indent=2)
    await seat.page.locator("textarea").fill(text)


async def test_a_workflow_is_checked_while_it_is_written(
    browser: Chromium, shared_pool: Pool, tmp_path: Path
) -> None:
    async with browser.visit(shared_pool.url, allowed=REFUSED) as seat:
        await seat.go("#/start")
        await seat.see("Empty: every frame passes unchanged.")
        text = seat.page.locator("textarea")
        await write(seat, '{"1": {"class_type": "LoadTensor",}}')
        await seat.page.locator(".verdict", has_text="line 1, column 35").wait_for()
        assert await text.get_attribute("aria-invalid") == "true"

        graph = example("blur")
        graph["2"]["inputs"]["blur_radius"] = 99
        graph["4"] = {"class_type": "ImageBlurr", "inputs": {}}
        graph["3"]["inputs"]["images"] = ["4", 0]
        await write(seat, graph)
        wrong = seat.page.locator(".node-errors li[data-node='4']")
        await wrong.wait_for()
        assert "Node 4 (ImageBlurr)" in await wrong.inner_text()
        assert "there is no node type 'ImageBlurr' here; nearest: ImageBlur" in (
            await wrong.inner_text()
        )
        await seat.shot("form-errors")
        await wrong.get_by_role("button", name="Show it in the text").click()
        chosen = "() => { const t = document.querySelector('textarea');" \
                 " return t.value.slice(t.selectionStart, t.selectionEnd); }"  # fmt: skip
        assert await seat.evaluate(chosen) == '"4"'

        graph["3"]["inputs"]["images"] = ["2", 0]
        del graph["4"]
        await write(seat, graph)
        await seat.page.locator(".node-errors li[data-node='2']", has_text="99 > 31").wait_for()
        graph["2"]["inputs"]["blur_radius"] = 3
        await write(seat, graph)
        await seat.see("This workflow can run.")
        assert await text.get_attribute("aria-invalid") is None

        exported = tmp_path / "exported.json"
        exported.write_text(json.dumps({
            "5": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
            "7": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}},
        }))  # fmt: skip
        await seat.page.get_by_label("From a file").set_input_files(exported)
        await seat.page.locator(".verdict", has_text="LoadImage -> LoadTensor").wait_for()


async def test_a_refused_start_is_shown_where_it_belongs(
    browser: Chromium, api: Api, live: Live
) -> None:
    async with browser.visit(api.pool.url, allowed=REFUSED) as seat:
        await seat.go("#/start")
        start = seat.find("button", "Start", exact=True)
        await start.click()
        await problem_of(seat, "Source channel", "Is needed")

        await seat.page.get_by_label("Source channel").fill("ftp://somewhere/in")
        await start.click()
        await problem_of(seat, "Source channel", "Source channel must be http:// or https://")

        await seat.page.get_by_label("Source channel").fill(live.url("in"))
        await seat.page.get_by_label("Width").fill("321")
        await seat.page.get_by_label("Height").fill("240")
        await start.click()
        await problem_of(seat, "Width", "Width must be even (4:2:0 video), not 321.")
        assert await seat.evaluate("() => document.activeElement.name") == "params.width"
        await seat.page.get_by_label("Width").fill("320")

        graph = example("invert")
        del graph["2"]["inputs"]["image"]
        await write(seat, graph)
        await start.click()
        await seat.page.locator(".node-errors li[data-node='2']").wait_for()
        assert await seat.evaluate("() => document.activeElement.tagName") == "TEXTAREA"
        await write(seat, "")

        await api.start("taken", live.url("other"), live.url("out"))
        await seat.page.get_by_label("Name").fill("taken")
        await start.click()
        await seat.page.locator(
            ".result", has_text="runs already, with another configuration"
        ).wait_for()
        await seat.page.get_by_label("Name").fill("")
        await start.click()
        await seat.page.locator(".result", has_text="Full: all 1 slots are taken").wait_for()
        await seat.shot("form-refused")
        assert list((await api.get("/streams"))[1]["streams"]) == ["taken"]


async def problem_of(seat: Seat, label: str, words: str) -> None:
    """The field is marked, and described by what is wrong with it."""
    control = seat.page.get_by_label(label)
    described = await control.get_attribute("aria-describedby")
    problem = seat.page.locator(f"#{described}", has_text=words)
    await problem.wait_for()
    assert (await problem.inner_text()).startswith(words)
    assert await control.get_attribute("aria-invalid") == "true"


MORE = {
    "When the workflow is too slow": ("params.drop", "never"),
    "When a node fails": ("params.on_error", "passthrough"),
    "After failed frames": ("params.on_error_after", "7"),
    "While another workflow loads": ("params.while_loading", "notice"),
    "Most frames": ("params.max_framerate", "12.5"),
    "Wait for the source": ("params.appear_timeout_s", "90"),
    "End without frames": ("params.idle_timeout_s", "45"),
    "Encoder preset": ("params.encode.preset", "veryfast"),
    "Quality": ("params.encode.crf", "30"),
    "Bit rate": ("params.encode.bitrate", "400000"),
    "Keyframe each": ("params.encode.gop_s", "0.5"),
}


async def fill(seat: Seat, label: str, value: str) -> None:
    control = seat.page.get_by_label(label).first
    if await control.evaluate("(e) => e.tagName") == "SELECT":
        await control.select_option(value)
    else:
        await control.fill(value)


async def values(seat: Seat) -> dict[str, str]:
    """Of all fields of the form, by their names."""
    fields = "[...document.querySelector('.start form').elements].filter((e) => e.name)"
    read = f"() => Object.fromEntries({fields}.map((e) => [e.name, e.value]))"
    found = await seat.evaluate(read)
    return dict(found)


async def test_every_setting_of_a_start_and_the_same_again(
    browser: Chromium, api: Api, live: Live
) -> None:
    async with live.source("in"), browser.visit(api.pool.url, allowed=REFUSED) as seat:
        await seat.go("#/start")
        await seat.page.get_by_label("Source channel").fill(live.url("in"))
        await seat.page.get_by_label("Sink channel").fill(live.url("out"))
        await seat.page.get_by_label("Name").fill("much")
        more = seat.page.get_by_text("More settings")
        quality = seat.page.get_by_label("Quality")
        assert not await quality.is_visible(), "it is not folded away"
        await more.click()
        for label, (_, value) in MORE.items():
            await fill(seat, label, value)
        await fill(seat, "Events", live.url("events"))
        await quality.fill("70")
        await more.click()
        await seat.find("button", "Start", exact=True).click()
        await problem_of(seat, "Quality", "Quality must be from 0 to 51, not 70.")
        assert await quality.is_visible(), "what is wrong is not shown"
        assert not (await api.get("/streams"))[1]["streams"]
        await quality.fill("30")
        await seat.find("button", "Start", exact=True).click()
        await seat.find("heading", "much", level=1).wait_for()
        params = (await api.get("/stream/much/params"))[1]["params"]
        expected = {
            "drop": "never", "on_error": "passthrough", "on_error_after": 7,
            "while_loading": "notice", "max_framerate": 12.5,
            "appear_timeout_s": 90, "idle_timeout_s": 45,
        }  # fmt: skip
        assert {key: params[key] for key in expected} == expected
        encode = {"preset": "veryfast", "crf": 30, "bitrate": 400_000, "gop_s": 0.5}
        assert {key: params["encode"][key] for key in encode} == encode

        assert not await seat.find("link", "Start again").is_visible()
        await seat.find("button", "Stop").click()
        await seat.find("link", "Start again").click()
        await seat.see("Filled in with what much ran with last.")
        found = await values(seat)
        for name, value in MORE.values():
            assert found[name] == value, name
        assert found["subscribe_url"] == live.url("in") and found["gateway_request_id"] == "much"
        assert found["publish_url"] == live.url("out")
        assert found["events_url"] == live.url("events")
        assert json.loads(found["params.prompt"]) == params["prompt"]
        await seat.shot("form-again")
        await seat.find("button", "Start", exact=True).click()
        await seat.find("heading", "much", level=1).wait_for()
        await api.wait("much", lambda s: s["running"] and (s["frame_count"] or 0) > 3)
        assert (await api.get("/stream/much/params"))[1]["params"] == params


async def test_the_camera_of_the_browser_is_the_source(browser: Chromium, api: Api) -> None:
    # A camera that is turned on again meets the connection of before, which is just closing (409),
    # and tries again.
    async with browser.visit(api.pool.url, allowed=("WebSocket",)) as seat:
        await seat.find("link", "Try it with my camera").click()
        await seat.see("Your pictures go to this control plane")
        await seat.page.get_by_label("Name").fill("mine")
        await seat.page.get_by_label("Width").fill("320")
        await seat.page.get_by_label("Height").fill("240")
        await seat.page.get_by_label("Example workflow").select_option("invert")
        await seat.see("This workflow can run.")
        await seat.find("button", "Start", exact=True).click()
        before, after = await seat.until_pictures(
            lambda b, a: a.difference(b.inverted) < 20 and a.painted > 3,
            "it is not the camera's negative",
        )
        assert before.size == after.size == (320, 240)
        _, g, b = before.pixels[:3]
        assert g > 100 > b, "Chromium's camera is green"
        await seat.until_pictures(
            lambda b, a: b.difference(before.pixels) > 0.3, "the camera's picture stands still"
        )
        await seat.see("ms from camera to screen")
        await seat.shot("camera")
        status = await api.wait("mine", lambda s: (s["frames"]["in"] or 0) > 10)
        assert status["subscribe_url"] is None and status["publish_url"] is None
        await seat.find("link", "← All streams").click()
        seen = status["frames"]["in"]
        await api.wait("mine", lambda s: s["frames"]["in"] > seen + 10)  # it goes on meanwhile
        await seat.page.locator("[data-stream=mine]").click()
        await seat.find("button", "Camera off").click()
        await seat.page.locator(".health", has_text="Waiting").wait_for()
        await seat.find("button", "Use my camera").click()
        await seat.page.locator(".health", has_text="Running well").first.wait_for()
        await seat.find("button", "Stop").click()
        await seat.find("link", "Start again").wait_for()
        await api.start("other", "http://127.0.0.1:9/in", "http://127.0.0.1:9/out")
        await api.post("/stream/other/stop?wait=30")
        await seat.see("There is no such stream (any more).")  # --keep-finished 1
