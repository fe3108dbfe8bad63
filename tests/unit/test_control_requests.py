from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytrickle.errors import InvalidInput, InvalidWorkflow
from comfytrickle.messages import EncodeConfig
from control_plane.shapes import bodies
from control_plane.shapes.requests import URL_KEYS, read_params, read_start, read_workflow

PASS = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
}
INVERT = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}
URLS = {"subscribe_url": "http://host:1/in", "publish_url": "https://host/out"}


def classes(workflow: dict[str, Any] | None) -> list[str]:
    assert workflow is not None
    return [node["class_type"] for node in workflow.values()]


def start(params: Any = None, **body: Any) -> Any:
    return read_start({**URLS, "params": params, **body})


# --- what each family of callers sends --------------------------------------------------------


def test_a_comfystream_trickle_start() -> None:
    asked = read_start(
        {
            **URLS,
            "control_url": None,
            "events_url": None,
            "gateway_request_id": "gw-1",
            "model_id": "comfystream",
            "params": {"prompts": INVERT, "width": 512, "height": 384},
        }
    )
    assert asked.stream_id == "gw-1"
    assert (asked.width, asked.height) == (512, 384)
    assert classes(asked.workflow) == ["LoadTensor", "ImageInvert", "SaveTensor"]
    assert asked.ignored == ["model_id"]


def test_a_runner_start() -> None:
    asked = read_start(
        {
            **URLS,
            "control_url": "",
            "events_url": "http://host/events",
            "gateway_request_id": "",
            "manifest_id": "m-7",
            "params": {"prompt": json.dumps(INVERT), "strength": 0.5},
        }
    )
    assert asked.stream_id == "m-7"
    assert asked.urls["control_url"] is None
    assert asked.urls["events_url"] == "http://host/events"
    assert classes(asked.workflow)[1] == "ImageInvert"
    assert asked.ignored == ["params.strength"]


@pytest.mark.parametrize("params", [None, {}, "", "{}", {"prompt": ""}, {"prompts": None}])
def test_no_workflow_means_the_pass_through(params: Any) -> None:
    asked = start(params)
    assert classes(asked.workflow) == ["LoadTensor", "SaveTensor"]
    assert (asked.width, asked.height, asked.max_framerate) == (None, None, None)
    assert asked.appear_timeout_s == 120.0
    assert (asked.drop, asked.encode, asked.stream_id) == ("latest", EncodeConfig(), None)
    assert (asked.on_error, asked.on_error_after) == ("restart", 30)


@pytest.mark.parametrize(
    "prompt", [INVERT, json.dumps(INVERT), [INVERT], [json.dumps(INVERT)], {"prompt": INVERT}]
)
@pytest.mark.parametrize("name", ["prompt", "prompts"])
def test_every_way_to_write_a_workflow(name: str, prompt: Any) -> None:
    assert classes(start({name: prompt}).workflow)[1] == "ImageInvert"


def test_both_names_may_agree_but_not_differ() -> None:
    assert classes(start({"prompt": INVERT, "prompts": INVERT}).workflow)[1] == "ImageInvert"
    assert classes(start({"prompt": "", "prompts": INVERT}).workflow)[1] == "ImageInvert"
    with pytest.raises(InvalidInput, match="differ"):
        start({"prompt": INVERT, "prompts": PASS})


def test_no_prompt_in_a_list_is_refused() -> None:
    with pytest.raises(InvalidInput):
        start({"prompts": []})


def test_a_workflow_that_cannot_run_names_its_nodes() -> None:
    broken = {**INVERT, "3": {"class_type": "SaveTensor", "inputs": {"images": ["9", 0]}}}
    with pytest.raises(InvalidWorkflow) as caught:
        start({"prompts": broken})
    assert caught.value.field == "params.prompts"
    assert "3" in caught.value.node_errors()


# --- ids --------------------------------------------------------------------------------------


def test_the_first_id_wins() -> None:
    body = {
        "manifest_id": "5",
        "request_id": "4",
        "gateway_request_id": "3",
        "stream_id": "2",
    }
    assert bodies.stream_id("0", "1", body) == "0"
    assert bodies.stream_id(None, "1", body) == "1"
    for expected in ("2", "3", "4", "5"):
        assert bodies.stream_id("", None, body) == expected
        del body[next(k for k, v in body.items() if v == expected)]
    assert bodies.stream_id(None, None, body) is None
    assert bodies.stream_id(body={"request_id": 17}) == "17"


@pytest.mark.parametrize("bad", ["a\nb", "x" * 201, " ", {"a": 1}, True, 1.5])
def test_a_wrong_id_is_refused_by_its_source(bad: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        bodies.stream_id(body={"gateway_request_id": bad})
    assert caught.value.field == "gateway_request_id"


# --- urls -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        "ftp://host/x",
        "file:///etc/passwd",
        "host/x",
        "http://",
        "http:///x",
        "http://host:99999/",
        "http://ho st/",
        "http://host/\r\nX: y",
        "http://[::1",
        5,
        ["http://host/x"],
    ],
)
@pytest.mark.parametrize("key", ["subscribe_url", "publish_url", "control_url", "data_url"])
def test_only_http_urls_with_a_host(key: str, bad: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        start(**{key: bad})
    assert caught.value.field == key


@pytest.mark.parametrize("good", ["http://127.0.0.1:9/a-b", "HTTPS://h/x?y=1", "http://[::1]:80/"])
def test_urls_pass_unchanged(good: str) -> None:
    assert start(subscribe_url=good).urls["subscribe_url"] == good


@pytest.mark.parametrize("key", ["subscribe_url", "publish_url"])
@pytest.mark.parametrize("absent", [None, ""])
def test_either_video_channel_may_be_missing(key: str, absent: Any) -> None:
    asked = start(**{key: absent})
    assert asked.urls == dict.fromkeys(URL_KEYS) | {k: v for k, v in URLS.items() if k != key}


def test_both_may_be_missing() -> None:
    assert read_start({}).urls == dict.fromkeys(URL_KEYS)


# --- numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "read"), [(512, 512), ("512", 512), (512.0, 512), (" 64 ", 64)])
def test_sizes(value: Any, read: int) -> None:
    asked = start({"width": value, "height": value})
    assert (asked.width, asked.height) == (read, read)


@pytest.mark.parametrize(
    "bad", [15, 14, 4098, 513, "wide", 512.5, True, [512], "nan", "inf", 10**30, "1" * 5000, -512]
)
def test_wrong_sizes_name_the_field(bad: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        start({"width": bad, "height": 512})
    assert caught.value.field == "params.width"
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("missing", [None, ""])
def test_width_and_height_come_together(missing: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        start({"width": 512, "height": missing})
    assert caught.value.field == "params.height"


def test_our_own_keys() -> None:
    asked = start(
        {
            "max_framerate": "24",
            "appear_timeout_s": "1.5",
            "idle_timeout_s": 30,
            "drop": "never",
            "on_error": "passthrough",
            "on_error_after": "5",
            "encode": {"preset": "fast", "bitrate": "2000000", "crf": 20, "gop_s": 0.5, "x": 1},
        }
    )
    assert (asked.max_framerate, asked.drop) == (24.0, "never")
    assert (asked.on_error, asked.on_error_after) == ("passthrough", 5)
    assert (asked.appear_timeout_s, asked.idle_timeout_s) == (1.5, 30.0)
    assert asked.encode == EncodeConfig(preset="fast", bitrate=2_000_000, crf=20.0, gop_s=0.5)
    assert asked.ignored == ["params.encode.x"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"max_framerate": 0}, "params.max_framerate"),
        ({"max_framerate": 1000}, "params.max_framerate"),
        ({"appear_timeout_s": -1}, "params.appear_timeout_s"),
        ({"idle_timeout_s": 0}, "params.idle_timeout_s"),
        ({"appear_timeout_s": "soon"}, "params.appear_timeout_s"),
        ({"drop": "oldest"}, "params.drop"),
        ({"drop": 1}, "params.drop"),
        ({"on_error": "ignore"}, "params.on_error"),
        ({"on_error": True}, "params.on_error"),
        ({"on_error_after": 0}, "params.on_error_after"),
        ({"on_error_after": 10_001}, "params.on_error_after"),
        ({"on_error_after": 2.5}, "params.on_error_after"),
        ({"on_error_after": "often"}, "params.on_error_after"),
        ({"encode": 5}, "params.encode"),
        ({"encode": {"preset": "warp"}}, "params.encode.preset"),
        ({"encode": {"bitrate": 1}}, "params.encode.bitrate"),
        ({"encode": {"crf": 52}}, "params.encode.crf"),
        ({"encode": {"gop_s": 0}}, "params.encode.gop_s"),
        ([], "params"),
        ("[1]", "params"),
        ("{", "params"),
    ],
)
def test_wrong_params_name_the_field(params: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        start(params)
    assert caught.value.field == field


# --- params of a live stream ------------------------------------------------------------------


@pytest.mark.parametrize("nested", [True, False])
def test_a_change_flat_or_nested(nested: bool) -> None:
    params = {"prompts": INVERT, "width": "256", "height": 256, "seed": 3}
    change = read_params({"params": params} if nested else params)
    assert classes(change.workflow)[1] == "ImageInvert"
    assert (change.width, change.height) == (256, 256)
    assert change.ignored == ["params.seed" if nested else "seed"]
    assert change.changes_frames


def test_what_is_not_said_stays() -> None:
    change = read_params({"params": {"prompt": "", "width": None}, "stream_id": "a", **URLS})
    assert (change.workflow, change.width, change.drop, change.encode) == (None, None, None, None)
    assert not change.changes_frames and change.ignored == []
    assert read_params({"stream_id": "a", "max_framerate": 5}).max_framerate == 5.0
    assert (change.on_error, change.on_error_after) == (None, None)


@pytest.mark.parametrize("nested", [True, False])
def test_what_follows_from_a_failing_node_can_be_changed(nested: bool) -> None:
    params = {"on_error": "stop", "on_error_after": "7"}
    change = read_params({"params": params} if nested else params)
    assert (change.on_error, change.on_error_after, change.ignored) == ("stop", 7, [])
    assert change.changes_frames
    assert read_params({"on_error_after": 1}).changes_frames
    for name, wrong in (("on_error", "never"), ("on_error_after", 0)):
        with pytest.raises(InvalidInput) as caught:
            read_params({"params": {name: wrong}} if nested else {name: wrong})
        assert caught.value.field == ("params." if nested else "") + name


# --- JSON -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"[1]", "a list"),
        (b"null", "null"),
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b'{"a":', "line 1, column 6"),
        (b'{"a": NaN}', "line 1, column 7"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_wrong_json_says_where(data: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        bodies.decode_object(data)


def test_a_byte_order_mark_is_no_error() -> None:
    assert bodies.decode_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_a_workflow_to_validate_is_found_wherever_it_is() -> None:
    for body in (
        INVERT,
        {"prompt": INVERT},
        {"workflow": INVERT},
        {"params": {"prompts": json.dumps(INVERT)}},
    ):
        assert classes(read_workflow(body).to_api())[1] == "ImageInvert"
    odd = {**INVERT, "prompt": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}}
    assert "prompt" in read_workflow(odd).to_api()  # a node's own name
    with pytest.raises(InvalidInput):
        read_workflow({})


TEXT = st.text(alphabet='ab1{}[]":, ', max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [
        "params",
        "prompt",
        "prompts",
        "width",
        "height",
        "encode",
        "drop",
        "stream_id",
        "max_framerate",
    ]
)


@given(st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=4), max_size=5))
def test_any_body_is_read_or_refused_with_a_reason(body: dict[str, Any]) -> None:
    for read in (lambda b: read_start({**URLS, **b}), read_params, read_workflow):
        try:
            read(body)
        except InvalidInput as error:
            assert error.message
