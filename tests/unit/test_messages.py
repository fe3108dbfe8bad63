"""Every message can be sent: it is in the union of one direction, and survives the wire."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from comfytrickle import messages as m

ALL = [
    kind
    for kind in vars(m).values()
    if isinstance(kind, type) and issubclass(kind, m.Message) and kind is not m.Message
]


def test_each_message_goes_one_way() -> None:
    down, up = set(get_args(m.ToWorker)), set(get_args(m.ToParent))
    assert down | up == set(ALL)
    assert not down & up


@pytest.mark.parametrize(
    "message",
    [
        m.ConfigureStream(m.StreamConfig("s", {}, resume_at=m.ResumePoint(1, 2, 3, 4))),
        m.ConfigureWarm(m.EngineConfig(), {"1": {"class_type": "A", "inputs": {}}}, 64, 32),
        m.Warm(1.5),
        m.Failed("node", "no", "3", "Blur", False),
        m.Status(3, m.State.READY, latency=m.Latency(total=m.Quantiles(1, 2, 3))),
    ],
)
def test_the_wire_keeps_them(message: m.Message) -> None:
    union = m.ToWorker if type(message) in get_args(m.ToWorker) else m.ToParent
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=union) == message
