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
    flags = ("--devices", "cpu:1", "--keep-finished", "0")
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
        await seat.page.locator(".verdict", has_text="line 1 column 35").wait_for()
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
        await problem_of(seat, "Source channel", "must be http:// or https://", "Subscribe_url: ")

        await seat.page.get_by_label("Source channel").fill(live.url("in"))
        await seat.page.get_by_label("Width").fill("321")
        await seat.page.get_by_label("Height").fill("240")
        await start.click()
        await problem_of(seat, "Width", "must be even (4:2:0 video), not 321")
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


async def problem_of(seat: Seat, label: str, words: str, begins: str = "") -> None:
    """The field is marked, and described by what is wrong with it."""
    control = seat.page.get_by_label(label)
    described = await control.get_attribute("aria-describedby")
    await seat.page.locator(f"#{described}", has_text=begins + words).wait_for()
    assert await control.get_attribute("aria-invalid") == "true"


async def test_the_camera_of_the_browser_is_the_source(browser: Chromium, api: Api) -> None:
    async with browser.visit(api.pool.url) as seat:
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
        await seat.see("There is no such stream (any more).")  # --keep-finished 0


async def test_the_token_is_asked_for_and_kept(
    browser: Chromium, live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYTRICKLE_AUTH_TOKEN", "säsam öffne dich")
    with running_pool(tmp_path, "--devices", "cpu:1") as pool:
        async with (
            live.source("in"),
            browser.visit(pool.url, allowed=("status of 401",)) as seat,
        ):
            dialog = seat.find("dialog", "This control plane wants a token")
            await dialog.wait_for()
            await dialog.get_by_label("Token").fill("wrong")
            await seat.find("button", "Use it").click()
            await seat.see("That token is not the right one.")
            await seat.shot("token")
            await dialog.get_by_label("Token").fill("säsam öffne dich")
            await seat.find("button", "Use it").click()
            await seat.see("0 of 1 place taken")
            await seat.go("#/start")
            await seat.page.get_by_label("Source channel").fill(live.url("in"))
            await seat.page.get_by_label("Example workflow").select_option("invert")
            await seat.see("This workflow can run.")
            await seat.find("button", "Start", exact=True).click()
            await seat.until_pictures(
                lambda b, a: a.difference(b.inverted) < 20, "no pictures with the token"
            )
            await seat.page.reload()
            await seat.until_pictures(lambda b, a: a.painted > 2, "not kept over a reload")
            await seat.find("tab", "Log").click()
            await seat.page.locator(".log", has_text="ready after").wait_for()
            assert await seat.page.context.cookies() == []
