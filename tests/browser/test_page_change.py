"""Knobs that hold what is no value, and changes that somebody else makes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.browser import Chromium, Seat
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool
from tests.support.streams import example

HINT = "What you turn is applied at once."


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:1") as pool:
        yield pool


async def said(seat: Seat, words: str) -> None:
    """Beside the knobs."""
    beside = "document.querySelector('section:has(> .knobs) > p[role=status]')?.textContent"
    await seat.until(f"() => {beside} === {json.dumps(words)}", f"it does not say {words!r}")


async def value(seat: Seat, label: str, wanted: str) -> None:
    box = f"[...document.querySelectorAll('.knobs label')].find((l) => l.textContent === '{label}')"
    await seat.until(f"() => {box}?.control.value === '{wanted}'", f"{label} is not {wanted}")


async def radius_of(api: Api) -> int:
    params = (await api.get("/stream/knobs/params"))[1]["params"]
    return int(params["prompt"]["2"]["inputs"]["blur_radius"])


async def test_what_is_no_value_is_not_sent(browser: Chromium, api: Api, live: Live) -> None:
    async with live.source("in"), browser.visit(api.pool.url, allowed=("of 400",)) as seat:
        await api.start("knobs", live.url("in"), live.url("out"), prompt=example("blur"))
        await seat.go("#/stream/knobs")
        radius = seat.page.get_by_label("blur radius", exact=True)
        await radius.fill("7")
        await said(seat, "Revision 1 runs.")
        assert await radius.get_attribute("step") == "1"
        await radius.fill("12.5")
        await said(seat, "Not applied: blur radius of node 2: a whole number is needed, not 12.5.")
        await seat.shot("knob-not-whole")
        await radius.blur()
        await value(seat, "blur radius", "7")

        await radius.fill("99")
        await said(seat, "Not applied: blur radius of node 2: 99 > 31.")
        await radius.fill("")
        await said(seat, HINT)
        assert await radius.get_attribute("aria-invalid") is None
        await radius.blur()
        await value(seat, "blur radius", "7")
        await radius.fill("9")
        await said(seat, "Revision 2 runs.")
        assert await radius_of(api) == 9


async def test_what_runs_is_told_also_when_somebody_else_changed_it(
    browser: Chromium, api: Api, live: Live
) -> None:
    async with live.source("in"), browser.visit(api.pool.url) as seat:
        graph = example("blur")
        await api.start("knobs", live.url("in"), live.url("out"), prompt=graph)
        await seat.go("#/stream/knobs")
        await seat.page.get_by_label("blur radius", exact=True).fill("7")
        await said(seat, "Revision 1 runs.")
        graph["2"]["inputs"]["blur_radius"] = 3
        assert (await api.post("/stream/knobs/params", {"params": {"prompt": graph}}))[0] == 200
        await said(seat, "Revision 2 runs: it was changed elsewhere.")
        await value(seat, "blur radius", "3")

        await seat.page.get_by_label("Most frames").fill("20")  # not applied yet
        graph["2"]["inputs"]["blur_radius"] = 5
        assert (await api.post("/stream/knobs/params", {"params": {"prompt": graph}}))[0] == 200
        await seat.see("What you have typed is still here.")
        await value(seat, "blur radius", "5")
        assert await seat.page.get_by_label("Most frames").input_value() == "20"
        await seat.page.get_by_label("sigma", exact=True).fill("2")
        await said(seat, "Revision 4 runs.")
        assert await radius_of(api) == 5, "a knob took back what somebody else had changed"
