"""Whole streams through a ComfyUI: every frame is counted, and looked at.

In workspaces that the tests write, and in a copy of the one that COMFYUI_WORKSPACE names. How they
end, and what fails: test_comfyui_stream_ends.py.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfytrickle.testsrc import counter
from tests.support.comfyui_streams import (
    CLIP,
    FRAME,
    INVERT,
    Comfy,
    Graph,
    feed,
    finish,
    graph,
    inverted,
    make_workspace,
    node,
    running_comfy,
    seconds_to_the_first_byte,
)
from tests.support.pool import Pool, running_pool
from tests.support.streams import OutFrame, numbered, open_way, until

SHORT = 3  # segments of the clip


@pytest.fixture(scope="module", params=["written", "real"])
def comfy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Comfy]:
    with running_comfy(tmp_path_factory.mktemp("pool"), request.param, beside=True) as running:
        yield running


async def foreseen(pool: Pool, workflow: Graph, engine: str) -> dict[str, Any]:
    """The detail of /workflow/validate."""
    body = {"prompt": workflow, "engine": engine}
    status, answer = await asyncio.to_thread(pool.post, "/workflow/validate", body)
    assert (status, answer["valid"]) == (200, True), answer
    return dict(answer["detail"])


async def test_every_frame_through_the_resident_graph(comfy: Comfy) -> None:
    begun = time.monotonic()
    async with open_way(comfy.pool, drop="never", workflow=INVERT) as way:
        await feed(way, 0, 8)
        status = await finish(way, 80)
        frames = way.check(numbered(CLIP)[:80])
    print(f"start to the first byte, cold: {seconds_to_the_first_byte(way, begun):.2f} s")
    assert inverted(frames)
    detail = await foreseen(comfy.pool, INVERT, "new")
    assert (detail["graph"], detail["checked"], detail["reasons"]) == ("resident", False, [])
    assert detail["engine"] == "comfyui" and detail["live_nodes"] >= 1
    assert detail | {"checked": True} == {key: status["detail"][key] for key in detail}


FALLING_BACK: dict[str, tuple[Graph, tuple[str, str, str]]] = {
    "lazy": (
        graph(
            n2=node("ImageInvert", image=FRAME),
            n8=node("ProbeLazy", first=FRAME, second=["2", 0], use_second=True),
        ),
        ("8", "ProbeLazy", "lazy inputs"),
    ),
    "list": (  # the halves swapped, and again
        graph(
            n2=node("ProbeRows", image=FRAME),
            n3=node("ProbeJoin", image=["2", 0]),
            n4=node("ProbeRows", image=["3", 0]),
            n5=node("ProbeJoin", image=["4", 0]),
            n8=node("ImageInvert", image=["5", 0]),
        ),
        ("2", "ProbeRows", "OUTPUT_IS_LIST"),
    ),
    "async": (graph(n8=node("ProbeAsync", image=FRAME)), ("8", "ProbeAsync", "async functions")),
    "expand": (
        graph(n2=node("ProbeExpand", image=FRAME), n8=node("ImageInvert", image=["2", 0])),
        ("2", "ProbeExpand", "subgraph"),
    ),
}


@pytest.mark.parametrize("kind", FALLING_BACK)
async def test_what_the_executor_runs_is_right_and_said(comfy: Comfy, kind: str) -> None:
    if kind == "async" and not comfy.async_nodes:
        pytest.skip("this ComfyUI has no asynchronous nodes")
    workflow, (node_id, node_type, why) = FALLING_BACK[kind]
    async with open_way(comfy.pool, drop="never", workflow=workflow) as way:
        await feed(way, 0, SHORT)
        status = await finish(way, 10 * SHORT)
        frames = way.check(numbered(CLIP)[: 10 * SHORT])
    assert inverted(frames) and not status["node_errors"]
    detail = status["detail"]
    assert (detail["graph"], detail["checked"]) == ("executor", False)
    reasons = detail["reasons"]
    assert any(
        (reason["node_id"], reason["node_type"]) == (node_id, node_type) and why in reason["why"]
        for reason in reasons
    ), reasons
    if kind != "expand":  # that may show only when it runs
        ahead = await foreseen(comfy.pool, workflow, "new")
        assert {key: detail[key] for key in ahead} == ahead


async def test_three_engines_at_once(comfy: Comfy) -> None:
    """Two ComfyUIs and the embedded engine, each with a workflow that only it has or shows."""
    workflows = {
        "new": INVERT,
        "old": graph(
            n3=node("ProbeModel", gain=1.0), n8=node("ProbeApply", image=FRAME, model=["3", 0])
        ),
        "embedded": graph(n8=node("ImageFlip", image=FRAME, flip_method="x-axis: vertically")),
    }

    async def one(engine: str) -> tuple[list[OutFrame], dict[str, Any]]:
        params = {"drop": "never", "engine": engine}
        async with open_way(comfy.pool, workflow=workflows[engine], **params) as way:
            begun.append(engine)
            await until(lambda: len(begun) == len(workflows), "the other streams")
            await feed(way, 0, SHORT)
            status = await finish(way, 10 * SHORT)
            return way.sink.decode(), status

    begun: list[str] = []
    both = await asyncio.gather(*(one(engine) for engine in workflows))
    said = {engine: status["detail"] for engine, (_, status) in zip(workflows, both, strict=True)}
    seen = {engine: frames for engine, (frames, _) in zip(workflows, both, strict=True)}
    numbers = [n for n, _ in numbered(CLIP)[: 10 * SHORT]]
    for engine in ("new", "old"):
        assert [frame.counter for frame in seen[engine]] == numbers
        assert all(counter.is_inverted(f.luma) == (engine == "new") for f in seen[engine])
    upright = [counter.read(frame.luma[::-1]) for frame in seen["embedded"]]
    assert upright == numbers
    assert [said[engine]["engine"] for engine in workflows] == ["comfyui", "comfyui", "embedded"]
    assert said["old"]["comfyui_version"] == "unknown"
    assert (said["old"]["graph"], said["old"]["constant_nodes"]) == ("resident", 1)
    version = comfy.folder / "comfyui_version.py"
    if version.exists():
        assert said["new"]["comfyui_version"] in version.read_text(encoding="utf-8")


async def test_a_change_of_workflow_keeps_the_loaded_model(comfy: Comfy, tmp_path: Path) -> None:
    path = tmp_path / "loads"
    model = {
        "n5": node("StreamingModel", path=str(path), gain=1.0),
        "n6": node("ProbeApply", image=FRAME, model=["5", 0]),
    }
    first = graph(**model, n8=node("ImageInvert", image=["6", 0]))
    twice = graph(
        **model, n7=node("ImageInvert", image=["6", 0]), n8=node("ImageInvert", image=["7", 0])
    )
    async with open_way(comfy.pool, drop="never", workflow=first) as way:
        await feed(way, 0, 2)
        await way.came(20)
        url = f"/stream/{way.name}/params"
        status, answer = await asyncio.to_thread(comfy.pool.post, url, {"prompt": twice})
        assert (status, answer["revision"]) == (200, 1), answer
        await feed(way, 2, 4)
        await finish(way, 40)
        frames = way.check(numbered(CLIP)[:40])
    assert [counter.is_inverted(frame.luma) for frame in frames] == [True] * 20 + [False] * 20
    assert path.read_text(encoding="utf-8") == "1.0\n"


@pytest.mark.parametrize("which", ["written", "real"])
async def test_a_warm_worker_has_the_workflow_loaded(which: str, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "ComfyUI", which)
    loads = tmp_path / "loads"
    workflow = graph(
        n5=node("StreamingModel", path=str(loads), gain=1.0),
        n6=node("ProbeApply", image=FRAME, model=["5", 0]),
        n8=node("ImageInvert", image=["6", 0]),
    )
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(workflow), encoding="utf-8")
    flags = ["--workspace", f"new={workspace}", "--devices", "cpu:1", "--warm-size", "192x128"]
    warm = ["--warm", "1", "--warm-workflow", f"new={file}"]
    with running_pool(tmp_path, *flags, *warm) as pool:
        await until(loads.exists, "the warm worker")
        await until(lambda: is_warm(pool), "the warm worker's word of it")
        before = loads.read_text(encoding="utf-8")
        begun = time.monotonic()
        async with open_way(pool, drop="never", workflow=workflow) as way:
            await feed(way, 0, 1)
            seconds = seconds_to_the_first_byte(way, begun)
            loaded = loads.read_text(encoding="utf-8")
            await finish(way, 10)
            frames = way.check(numbered(CLIP)[:10])
    print(f"start to the first byte, warm: {seconds:.2f} s")
    assert inverted(frames)
    assert before == loaded == "1.0\n"  # the stream took the model that was there
    assert seconds < 10


def is_warm(pool: Pool) -> bool:
    status, health = pool.get("/health")
    return status == 200 and any(each["workflow"] and each["ready"] for each in health["warm"])
