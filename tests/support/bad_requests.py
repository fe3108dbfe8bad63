"""Requests that must be refused, and what the refusal has to name."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

SOURCE, SINK = "http://127.0.0.1:9/in", "http://127.0.0.1:9/out"

GRAPH: dict[str, Any] = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {
        "class_type": "ImageBlur",
        "inputs": {"image": ["1", 0], "blur_radius": 3, "sigma": 1.0},
    },
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}


class Bad(NamedTuple):
    """``node``: in ``node_errors``, with the type of its first error."""

    name: str
    body: Any
    field: str = ""
    said: tuple[str, ...] = ()
    node: tuple[str, str] | None = None
    status: int = 400


def start(**fields: Any) -> dict[str, Any]:
    return {"subscribe_url": SOURCE, "publish_url": SINK, "gateway_request_id": "bad"} | fields


def params(**fields: Any) -> dict[str, Any]:
    return start(params=fields)


def graph(changes: dict[str, Any] | None = None, drop: str | None = None) -> dict[str, Any]:
    """GRAPH in a start, with other inputs (or another node) at some ids, or without a node."""
    out = copy.deepcopy(GRAPH)
    for node_id, change in (changes or {}).items():
        if "class_type" in change:
            out[node_id] = change
        else:
            out[node_id]["inputs"].update(change)
    if drop is not None:
        del out[drop]
    return params(prompt=out)


def missing_input() -> dict[str, Any]:
    out = copy.deepcopy(GRAPH)
    del out["2"]["inputs"]["sigma"]
    return params(prompt=out)


UI_FORMAT = {"nodes": [{"id": 1, "type": "LoadTensor"}], "links": [], "version": 0.4}
MASK = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 64, "height": 64}}
CYCLE = {
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["4", 0]}},
    "4": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}},
}
TWO = [GRAPH, GRAPH]

BODIES = [
    Bad("empty", b"", said=("empty",)),
    Bad("cut short", b'{"subscribe_url": "http://h/x",\n "params": ', said=("line 2, column 12",)),
    Bad("a trailing comma", b'{"a": 1,}', said=("line 1, column 9",)),
    Bad("not UTF-8", b'{"a": "\xff"}', said=("UTF-8", "byte 7")),
    Bad("a list", b"[]", said=("a list",)),
    Bad("a string", b'"x"', said=("a string",)),
    Bad("null", b"null", said=("null",)),
    Bad("200000 deep", b"[" * 200_000, said=("nested too deeply",)),
    Bad("form data", b"subscribe_url=http://h/x", said=("line 1, column 1",)),
    Bad("9 MiB", b'{"x": "' + b"y" * (9 << 20) + b'"}', said=("too large",), status=413),
]
FIELDS = [
    Bad("source a number", start(subscribe_url=7), "subscribe_url", ("a number",)),
    Bad("source a list", start(subscribe_url=[SOURCE]), "subscribe_url", ("a list",)),
    Bad("source rtmp", start(subscribe_url="rtmp://h/x"), "subscribe_url", ("http", "rtmp://h/x")),
    Bad("source a file", start(subscribe_url="file:///etc/x"), "subscribe_url", ("http",)),
    Bad("source no scheme", start(subscribe_url="h:80/x"), "subscribe_url", ("http",)),
    Bad("sink no host", start(publish_url="http:///x"), "publish_url", ("host",)),
    Bad("sink bad port", start(publish_url="http://h:99999/x"), "publish_url", ("ort",)),
    Bad("sink with a space", start(publish_url="http://h/a b"), "publish_url", ("space",)),
    Bad("sink is the source", start(publish_url=SOURCE), "publish_url", ("same", "own output")),
    Bad("control ws", start(control_url="ws://h/x"), "control_url", ("http",)),
    Bad("events a boolean", start(events_url=True), "events_url", ("a boolean",)),
    Bad("data an object", start(data_url={}), "data_url", ("an object",)),
    Bad("id a list", start(gateway_request_id=["a"]), "gateway_request_id", ("a list",)),
    Bad("id an object", start(stream_id={"a": 1}), "stream_id", ("an object",)),
    Bad("id of 201", start(gateway_request_id="x" * 201), "gateway_request_id", ("200",)),
    Bad("id control", start(gateway_request_id="a\nb"), "gateway_request_id", ("printable",)),
    Bad("params a list", start(params=[]), "params", ("a list",)),
    Bad("params a number", start(params=3), "params", ("a number",)),
    Bad("params broken", start(params='{"width": '), "params", ("line 1, column 11",)),
]
SIZES = [
    Bad("width alone", params(width=64), "params.height", ("both",)),
    Bad("height alone", params(height=64), "params.width", ("both",)),
    Bad("width odd", params(width=63, height=64), "params.width", ("even",)),
    Bad("height odd", params(width=64, height=33), "params.height", ("even",)),
    Bad("tiny", params(width=14, height=64), "params.width", ("16", "4096")),
    Bad("huge", params(width=64, height=4098), "params.height", ("16", "4096")),
    Bad("enormous", params(width=10**30, height=64), "params.width", ("4096",)),
    Bad("negative", params(width=-64, height=64), "params.width", ("16",)),
    Bad("zero", params(width=0, height=0), "params.width", ("16",)),
    Bad("a word", params(width="wide", height=64), "params.width", ("wide",)),
    Bad("a fraction", params(width=64.5, height=64), "params.width", ("whole",)),
    Bad("a boolean", params(width=True, height=64), "params.width", ("a boolean",)),
    Bad("a list", params(width=[64], height=64), "params.width", ("a list",)),
    Bad("rate 0", params(max_framerate=0), "params.max_framerate", ("0.1",)),
    Bad("rate NaN", params(max_framerate="nan"), "params.max_framerate", ("240",)),
    Bad("drop", params(drop="oldest"), "params.drop", ("latest", "never")),
    Bad("preset", params(encode={"preset": "best"}), "params.encode.preset", ("superfast",)),
    Bad("bitrate", params(encode={"bitrate": 1}), "params.encode.bitrate", ("10000",)),
    Bad("gop", params(encode={"gop_s": 0}), "params.encode.gop_s", ("0.1",)),
    Bad("encode", params(encode=[]), "params.encode", ("a list",)),
]
PROMPTS = [
    Bad("none", params(prompts=[]), "params.prompts", ("empty",)),
    Bad("two", params(prompts=TWO), "params.prompts", ("2", "one")),
    Bad("a number", params(prompt=5), "params.prompt", ("int",)),
    Bad("text", params(prompt="a cat"), "params.prompt", ("API format", "'a cat'")),
    Bad("cut short", params(prompt='{"1": {'), "params.prompt", ("JSON", "column 8")),
    Bad("no nodes", params(prompt={}), "params.prompt", ("no nodes",)),
    Bad("both names", params(prompt=GRAPH, prompts={}), "params.prompts", ("differ",)),
    Bad("UI format", params(prompt=UI_FORMAT), "params.prompt", ("UI format", "Export (API)")),
]


def flow(name: str, body: Any, said: tuple[str, ...], node: tuple[str, str]) -> Bad:
    return Bad(name, body, "params.prompt", said, node)


WORKFLOWS = [
    flow("no input", graph(drop="1"), ("LoadTensor",), ("", "no_input")),
    flow("no output", graph(drop="3"), ("SaveTensor",), ("", "no_output")),
    flow("two inputs", graph({"4": GRAPH["1"]}), ("1, 4",), ("1", "multiple_inputs")),
    flow("two outputs", graph({"4": GRAPH["3"]}), ("3, 4",), ("3", "multiple_outputs")),
    flow(
        "a cycle", graph(CYCLE), ("2 (ImageInvert)", "4 (ImageInvert)"), ("2", "dependency_cycle")
    ),
    flow(
        "no such node",
        graph({"2": {"class_type": "ImageBlurr", "inputs": {}}}),
        ("ImageBlurr", "nearest: ImageBlur"),
        ("2", "missing_node_type"),
    ),
    flow("link to nowhere", graph({"3": {"images": ["9", 0]}}), ("9",), ("3", "bad_linked_input")),
    flow("no such output", graph({"3": {"images": ["2", 4]}}), ("4",), ("3", "bad_linked_input")),
    flow("an input missing", missing_input(), ("sigma",), ("2", "required_input_missing")),
    flow(
        "too big",
        graph({"2": {"blur_radius": 1000}}),
        ("blur_radius", "1000"),
        ("2", "value_bigger_than_max"),
    ),
    flow("too small", graph({"2": {"sigma": 0}}), ("sigma",), ("2", "value_smaller_than_min")),
    flow("no number", graph({"2": {"sigma": "much"}}), ("sigma",), ("2", "invalid_input_type")),
    flow(
        "a mask for an image",
        graph({"4": MASK, "3": {"images": ["4", 0]}}),
        ("MASK", "IMAGE"),
        ("3", "return_type_mismatch"),
    ),
    flow(
        "a node that is none",
        params(prompt={**GRAPH, "2": 5}),
        ("object",),
        ("2", "invalid_prompt"),
    ),
    flow(
        "no class",
        params(prompt={**GRAPH, "2": {"inputs": {}}}),
        ("class_type",),
        ("2", "invalid_prompt"),
    ),
]

ALL = [*BODIES, *FIELDS, *SIZES, *PROMPTS, *WORKFLOWS]
