"""The page's files and who may call: what stands in the tree, and what headers decide."""

from __future__ import annotations

import base64
import configparser
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from comfytrickle.workflow import parse_prompt
from control_plane.api import routes_page
from control_plane.api.answers import errors_as_json
from control_plane.api.callers import SUBPROTOCOL, refuse_other_sites, require_token
from control_plane.page import page_files
from control_plane.page.example_files import read_examples

ROOT = Path(__file__).parents[2]
WEB = ROOT / "control_plane" / "page" / "web"
TOKEN = "pass ö/+="
GIVEN = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")


def test_the_page_refers_to_its_own_files_alone() -> None:
    files = {f"/web/{file.path}" for file in page_files.read_page()}
    assert "/web/index.html" in files
    for path in WEB.rglob("*"):
        if path.suffix not in (".html", ".css", ".js") or "vendor" in path.parts:
            continue
        text = path.read_text()
        assert not re.findall(r"""(?:src|href)=["']https?:|url\(['"]?https?:|@import""", text), path
        assert " style=" not in text and "innerHTML" not in text, path
        for target in re.findall(r"""(?:src|href)="(/[^"]+)""", text):
            assert target in files, f"{path}: there is no {target}"
        for target in re.findall(r"""from "(\.[^"]+)";""", text):
            found = (path.parent / target).resolve()
            assert found.is_file(), f"{path}: there is no {target}"
        assert len(text.splitlines()) <= 300, path


def test_every_example_is_served_with_what_it_shows() -> None:
    examples = read_examples()
    folder = ROOT / "examples" / "workflows"
    assert set(examples) == {path.stem for path in folder.rglob("*.json")}
    for example in examples.values():
        assert example.shows, f"{example.name} is not in the README of the examples"
        parse_prompt(example.workflow)
    assert examples["invert"].shows == "a negative" and not examples["invert"].models
    assert examples["sd_turbo"].models


def test_all_that_is_served_is_packed() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    folder = ROOT / "control_plane" / "page"
    patterns = parser["options.package_data"]["control_plane.page"].split()
    packed = {path for pattern in patterns for path in folder.glob(pattern)}
    for path in (*WEB.rglob("*"), *(folder / "example_workflows").glob("**/*")):
        assert path.is_dir() or path in packed, f"{path} is in no pattern of setup.cfg"


_CSS = (WEB / "css" / "base.css").read_text()
_GROUNDS = ("ground", "paper", "sunk")
_PAIRS = [
    *((ink, ground) for ink in ("text", "soft", "accent", "bad", "warn") for ground in _GROUNDS),
    *((ink, ground) for ink in ("ok", "wait") for ground in ("ground", "paper")),
    *(("text", ground) for ground in ("tint", "warn-tint")),
    ("soft", "tint"),
    ("bad", "bad-tint"),
    ("text", "bad-tint"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
]


@pytest.mark.parametrize("theme", [":root {", ':root[data-theme="dark"] {'])
def test_text_has_contrast(theme: str) -> None:
    """At least 4.5 to 1, as WCAG 2 reckons it (1.4.3)."""
    block = _CSS.split(theme, 1)[1].split("}", 1)[0]
    colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6});", block))
    for ink, ground in _PAIRS:
        light, dark = sorted((_luminance(colours[name]) for name in (ink, ground)), reverse=True)
        ratio = (light + 0.05) / (dark + 0.05)
        assert ratio >= 4.5, f"{ink} on {ground}: {ratio:.2f}"


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@asynccontextmanager
async def serving(*middlewares: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """An application with the page and a few paths, as the control plane puts them together."""

    async def anything(request: web.Request) -> web.StreamResponse:
        if request.method == "GET" and request.headers.get("Upgrade"):
            socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
            await socket.prepare(request)
            await socket.close()
            return socket
        return web.json_response({"method": request.method})

    app = web.Application(middlewares=[errors_as_json, *middlewares])
    routes_page.add_page(app)
    for path in ("/stream/start", "/api/health", "/webs", "/stream/a/frames"):
        app.router.add_route("*", path, anything)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield session, f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_files_are_typed_guarded_and_sent_again_only_when_they_changed() -> None:
    async with serving() as (session, _):
        async with session.get("/") as reply:
            assert reply.status == 200 and reply.content_type == "text/html"
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "script-src 'self'" in policy
            assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            etag = reply.headers["ETag"]
            page = await reply.text()
        async with session.get("/", headers={"If-None-Match": etag}) as reply:
            assert (reply.status, await reply.read()) == (304, b"")
        async with session.get("/", headers={"If-None-Match": '"other"'}) as reply:
            assert (reply.status, await reply.text()) == (200, page)
        async with session.get("/web/js/main.js") as reply:
            assert (reply.status, reply.content_type) == (200, "text/javascript")
            assert "Content-Security-Policy" in reply.headers
        for path in ("/web/../app.py", "/web/%2e%2e/app.py", "/web/", "/web/js/none.js"):
            async with session.get(path) as reply:
                assert reply.status == 404, path


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 200),
        ("/web/js/main.js", {}, 200),
        ("/api/health", {}, 200),
        ("/webs", {}, 401),
        ("/stream/start", {}, 401),
        ("/stream/start", {"Authorization": "Bearer wrong"}, 401),
        ("/stream/start", {"Authorization": TOKEN}, 401),
        ("/stream/start", {"Authorization": "Bearer pass"}, 401),
        # the subprotocol is for WebSockets alone
        ("/stream/start", {"Sec-WebSocket-Protocol": f"bearer.{GIVEN}"}, 401),
    ],
)
async def test_the_token_guards_all_but_the_page_and_the_probes(
    path: str, headers: dict[str, str], status: int
) -> None:
    async with (
        serving(require_token(TOKEN)) as (session, _),
        session.get(path, headers=headers) as reply,
    ):
        assert reply.status == status


async def test_a_websocket_may_bring_the_token_as_a_subprotocol() -> None:
    async with serving(require_token("right"), refuse_other_sites) as (session, _):
        right = base64.urlsafe_b64encode(b"right").decode().rstrip("=")
        async with session.ws_connect(
            "/stream/a/frames", protocols=(SUBPROTOCOL, f"bearer.{right}")
        ) as socket:
            assert socket.protocol == SUBPROTOCOL
        for wrong in ("bearer.", "bearer.cmlnaA", "bearer.!", "cmlnaHQ", "bearer.cmln"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect("/stream/a/frames", protocols=(SUBPROTOCOL, wrong))
            assert caught.value.status == 401, wrong


async def test_pages_of_other_sites_steer_and_watch_nothing() -> None:
    async with serving(refuse_other_sites) as (session, host):
        for site, status in (("cross-site", 403), ("same-origin", 200), ("none", 200)):
            async with session.post("/stream/start", headers={"Sec-Fetch-Site": site}) as reply:
                assert reply.status == status, site
        async with session.get("/stream/start", headers={"Sec-Fetch-Site": "cross-site"}) as reply:
            assert reply.status == 200  # a link; no script of theirs reads the answer
        async with session.ws_connect("/stream/a/frames", origin=f"http://{host}"):
            pass
        async with session.ws_connect("/stream/a/frames"):
            pass
        for origin in ("http://evil.example", f"http://evil.{host}", "null", "http://127.0.0.1:1"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect("/stream/a/frames", origin=origin)
            assert caught.value.status == 403, origin
