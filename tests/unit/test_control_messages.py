"""Messages of a control channel, however they are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytrickle.messages import EncodeConfig
from control_plane.channels.control_messages import MAX_BYTES, BadMessage, Messages
from control_plane.channels.stream_control import merge
from control_plane.shapes.requests import ParamsRequest

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
_objects = st.dictionaries(st.text(min_size=1, max_size=5), _values, min_size=1, max_size=4)


@given(
    st.lists(_objects, max_size=5),
    st.sampled_from(["", "\n", "\r\n", "  \n"]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_cut_gives_the_same(
    objects: list[object], between: str, plain: bool, rng: object
) -> None:
    data = between.join(json.dumps(o, ensure_ascii=plain) for o in objects).encode()
    messages, found = Messages(), []
    while data:
        cut = rng.randint(1, len(data))  # type: ignore[attr-defined]
        found += messages.feed(data[:cut])
        data = data[cut:]
    assert found + messages.end() == objects


def test_a_message_is_complete_before_its_segment_is() -> None:
    messages = Messages()
    assert messages.feed(b'{"width": 64, "hei') == []
    assert messages.feed(b'ght": 48}') == [{"width": 64, "height": 48}]
    assert messages.feed(b'{"keep":"alive"}\n{"a": "}"}') == [{"a": "}"}]
    assert messages.end() == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a": 1', "not valid JSON"),
        (b"[1, 2]", "a JSON object is expected, not '[1, 2]'"),
        (b'{"a": 1} nonsense }', "a JSON object is expected"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"{a: 1}", "not valid JSON"),
        (b'{"a":' + b"[" * 100_000 + b"}", "nested too deeply"),
        (b'{"a": "' + b"x" * MAX_BYTES, "more than"),
    ],
)
def test_what_is_no_message_is_named(data: bytes, says: str) -> None:
    messages = Messages()
    with pytest.raises(BadMessage) as refused:
        messages.feed(data)
        messages.end()
    assert says in str(refused.value)


def test_what_came_before_a_bad_one_counts() -> None:
    messages = Messages()
    assert messages.feed(b'{"width": 64}\n') == [{"width": 64}]
    with pytest.raises(BadMessage):
        messages.feed(b"nonsense }")


def test_later_values_win() -> None:
    first = ParamsRequest(workflow={"1": {}}, width=64, height=48, encode=EncodeConfig(crf=20))
    second = ParamsRequest(width=128, height=96, max_framerate=5.0, ignored=["x"])
    merged = merge([first, second, ParamsRequest()])
    assert (merged.workflow, merged.width, merged.height) == ({"1": {}}, 128, 96)
    assert (merged.max_framerate, merged.encode) == (5.0, EncodeConfig(crf=20))
