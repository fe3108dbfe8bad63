"""What a change of a live stream came to, in words."""

from __future__ import annotations

from typing import Any

import msgspec

from comfytrickle.messages import StreamConfig, UpdateParams
from control_plane.streams.applied import describe
from control_plane.streams.stream import Stream


def graph(sigma: float = 1.0, **more: Any) -> dict[str, Any]:
    blur = {"class_type": "ImageBlur", "inputs": {"image": ["1", 0], "sigma": sigma, **more}}
    return {"1": {"class_type": "LoadTensor", "inputs": {}}, "2": blur}


CONFIG = StreamConfig("one", graph(), width=320, height=240)


def test_each_thing_that_differs_is_a_line() -> None:
    after = msgspec.structs.replace(CONFIG, workflow=graph(2.5, name="x" * 99), width=640)
    assert describe(CONFIG, after) == (
        "width: 320 -> 640",
        "sigma of node 2 (ImageBlur): 1.0 -> 2.5",
        f'name of node 2 (ImageBlur): none -> "{"x" * 56}...',
    )
    assert describe(CONFIG, CONFIG) == ()


def test_another_workflow_is_one_line_and_many_lines_are_cut() -> None:
    other = msgspec.structs.replace(CONFIG, workflow={"1": graph()["1"]}, max_framerate=10.0)
    assert describe(CONFIG, other) == (
        "max_framerate: none -> 10.0",
        "another workflow, of 1 nodes",
    )
    many = msgspec.structs.replace(CONFIG, workflow=graph(**{f"k{n}": n for n in range(20)}))
    lines = describe(CONFIG, many)
    assert len(lines) == 9 and lines[-1] == "and 12 more"


def test_a_stream_remembers_what_was_applied() -> None:
    stream = Stream(CONFIG)
    stream.take_params(UpdateParams(revision=1, width=640, height=480))
    stream.take_params(UpdateParams(revision=2, width=640, height=480))  # nothing is new
    stream.take_params(UpdateParams(revision=3, workflow=graph(4.0)))
    assert [(a.revision, a.what) for a in stream.applied] == [
        (1, ("width: 320 -> 640", "height: 240 -> 480")),
        (3, ("sigma of node 2 (ImageBlur): 1.0 -> 4.0",)),
    ]
