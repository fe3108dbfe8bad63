"""The page of a control plane that wants a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Chromium, Seat
from tests.support.live import Live
from tests.support.pool import running_pool

# What the banner says from now on, and what it says now.
_HEAR_THE_BANNER = """() => {
  const banner = document.querySelector("#banner");
  window.heard = banner.hidden ? [] : [banner.textContent];
  new MutationObserver(() => banner.hidden || window.heard.push(banner.textContent))
    .observe(banner, { attributes: true, childList: true });
}"""
SAYING = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "6": {"class_type": "SaveTextTensor", "inputs": {"data": "hello"}},
    "9": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
}


async def write_change(seat: Seat, workflow: Any) -> None:
    await seat.find("tab", "Change").click()
    await seat.see("This workflow can run.")  # the fields are filled
    await seat.page.locator("textarea").fill(json.dumps(workflow))
    await seat.find("button", "Apply").click()
    await seat.see("revision 1 runs.")


def first_line(path: Path) -> str:
    return path.read_text().splitlines()[0]


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
            await seat.evaluate(_HEAR_THE_BANNER)
            await seat.until("() => performance.now() > 3000", "time stands still")
            assert await seat.page.locator("#service").inner_text() == ""
            await dialog.get_by_label("Token").fill("wrong")
            await seat.find("button", "Use it").click()
            await seat.see("That token is not the right one.")
            await seat.shot("token")
            await dialog.get_by_label("Token").fill("säsam öffne dich")
            await seat.find("button", "Use it").click()
            await seat.see("0 of 1 place taken")
            assert await seat.evaluate("() => window.heard") == [], "nothing was lost"
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
            await write_change(seat, SAYING)
            async with seat.page.expect_download() as saving:  # a link could not send the token
                await seat.find("link", "The last 500").click()
            assert '"text":"hello"' in first_line(await (await saving.value).path())
