"""Nodes that take their worker down, or fail: what the API says, and what the others notice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import rogue_nodes
from tests.support.live import Api, Live, consecutive
from tests.support.pool import Pool, running_pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    packs = folder / "packs"
    packs.mkdir()
    (packs / "broken.py").write_text("import no_such_module_anywhere\n")
    (packs / "wrong.py").write_text("def half(:\n")
    (packs / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    nodes = ("--nodes", str(Path(rogue_nodes.__file__)), "--nodes", str(packs))
    with running_pool(folder, "--devices", "cpu:2", "--restart-budget", "0", *nodes) as pool:
        yield pool


def through(node: str, after: int = 20) -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "7": {"class_type": node, "inputs": {"image": ["1", 0], "after": after}},
        "9": {"class_type": "SaveTensor", "inputs": {"images": ["7", 0]}},
    }


async def test_packs_that_do_not_load_are_said_and_hurt_nobody(api: Api) -> None:
    nodes = (await api.get("/nodes"))[1]
    assert {"LoadTensor", "SaveTensor", "ImageInvert", *rogue_nodes.NODE_CLASS_MAPPINGS} <= set(
        nodes
    )
    ours = nodes["RogueRaise"]
    assert ours["input"]["required"]["image"] == ["IMAGE"]
    assert ours["input"]["required"]["after"][1]["max"] == 1_000_000
    assert ours["input_order"] == {"required": ["image", "after"]}
    assert (ours["output"], ours["output_is_list"]) == (["IMAGE"], [False])
    assert (ours["name"], ours["display_name"]) == ("RogueRaise", "Rogue (raises)")
    assert ours["category"] == "rogue" and ours["output_node"] is False
    assert nodes["SaveTensor"]["output_node"] is True
    failed = (await api.get("/nodes/failed"))[1]
    reasons = {Path(path).name: reason for path, reason in failed["failed"].items()}
    assert failed["count"] == 3 and set(reasons) == {"broken.py", "wrong.py", "leaves.py"}
    assert "no_such_module_anywhere" in reasons["broken.py"]
    assert "SyntaxError" in reasons["wrong.py"] and "SystemExit" in reasons["leaves.py"]
    assert (await api.get("/health"))[1]["status"] == "IDLE"


@pytest.mark.parametrize(
    ("node", "ending", "logged"),
    [
        pytest.param("RogueExit", (37, None, "nonzero"), "rogue: about to leave", id="exit"),
        pytest.param("RogueSegfault", (-11, "SIGSEGV", "signalled"), "Fatal Python", id="segv"),
    ],
)
async def test_a_node_that_kills_its_worker(
    api: Api, live: Live, node: str, ending: tuple[int, str | None, str], logged: str
) -> None:
    async with live.viewer("out") as viewer, live.source("in") as source:
        await api.start("other", live.url("in"), live.url("out"))
        await api.wait("other", lambda s: (s["frame_count"] or 0) > 5)
        pid = (await api.start("rogue", live.url("in"), live.url("x"), prompt=through(node)))["pid"]
        dead = await api.wait("rogue", lambda s: not s["running"])
        assert (dead["state"], dead["health"]) == ("exited", "failed")
        assert (dead["exit_code"], dead["exit_signal"], dead["exit_cause"]) == ending
        error = dead["last_error"]
        assert (ending[1] or "exit code 37") in error["message"]
        assert logged in error["log_tail"] and logged in (await api.get("/stream/rogue/logs"))[1]
        if ending[1]:
            assert "rogue_nodes.py" in error["log_tail"] and "in misbehave" in error["log_tail"]
        assert dead["ended_at"] and not psutil.pid_exists(pid)
        health = (await api.get("/health"))[1]
        assert (health["status"], health["slots"]) == ("OK", {"total": 2, "free": 1})
        seen = (await api.status("other"))["frame_count"]
        await api.wait("other", lambda s: s["frame_count"] > seen + 10)
        last = await source.end()
        await viewer.finished()
    consecutive(await asyncio.to_thread(viewer.counters), last)


async def test_a_node_that_fails_now_and_then(api: Api, live: Live) -> None:
    async with live.viewer("out") as viewer, live.source("in") as source:
        await api.start("r", live.url("in"), live.url("out"), prompt=through("RogueRaise", 0))
        status = await api.wait("r", lambda s: (s["node_errors"] or 0) >= 5 and s["last_error"])
        assert (status["running"], status["state"]) == (True, "streaming")
        assert status["health"] == "degraded"
        assert status["frames"]["dropped"]["error"] == status["node_errors"]
        error = status["last_error"]
        assert (error["kind"], error["node_id"], error["node_type"]) == ("node", "7", "RogueRaise")
        assert "not to my taste" in error["message"] and error["time"]
        logged = (await api.get("/stream/r/logs"))[1]
        assert "RuntimeError" in logged and "in misbehave" in logged
        last = await source.end()
        await viewer.finished()
        ended = await api.wait("r", lambda s: not s["running"])
    counters = [n for n in await asyncio.to_thread(viewer.counters) if n is not None]
    assert counters[-1] in (last, last - 1)
    assert [n for n in range(counters[0], last + 1) if n not in counters], "none is missing?"
    assert ended["frames"]["in"] == ended["frames"]["out"] + ended["node_errors"]
    assert len(counters) == ended["frames"]["out"] == len(set(counters))
    assert ended["exit_cause"] == "source_ended"


async def test_a_node_that_always_fails_is_mended_live(api: Api, live: Live) -> None:
    async with live.source("in"):
        bad = through("RogueRaiseAlways", 0)
        await api.start("r", live.url("in"), live.url("out"), prompt=bad, on_error_after=10_000)
        status = await api.wait("r", lambda s: (s["node_errors"] or 0) > 5)
        assert status["running"] and status["health"] in ("degraded", "stalled")
        assert (
            status["frame_count"] == 0
            and status["last_error"]["node_type"] == bad["7"]["class_type"]
        )
        assert (await api.post("/stream/r/params", {"prompt": None, "prompts": ""}))[0] == 200
        good = through("RogueRaise", 1_000_000)
        assert (await api.post("/stream/r/params", {"prompt": good}))[1]["revision"] == 1
        await api.wait("r", lambda s: (s["frame_count"] or 0) > 10)
