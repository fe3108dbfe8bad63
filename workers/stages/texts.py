"""Texts that a workflow gives beside its picture, made ready for the stream's data channel."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from comfytrickle.messages import TextLine
from workers.engine.protocol import RunContext
from workers.nodes.io import text_to_save

MAX_BYTES = 60_000  # of a text as JSON: a line of the data channel has less than 64 KiB


def lines_of(context: RunContext, pts: int) -> list[TextLine]:
    """What reached SaveTextTensor nodes in one run, ``pts``: of the frame, in 90 kHz ticks."""
    now = time.time()
    return [
        _line(node_id, inputs, pts, now)
        for node_id, inputs in context.taken.items()
        if "data" in inputs  # else it is sound
    ]


def _line(node_id: str, inputs: dict[str, Any], pts: int, now: float) -> TextLine:
    data = inputs["data"]
    whole = text_to_save(
        data if isinstance(data, str) else str(data), bool(inputs.get("remove_linebreaks", True))
    ).encode("utf-8", "replace").decode()  # fmt: skip  # JSON has no lone surrogates
    text = whole
    while (size := len(msgspec.json.encode(text))) > MAX_BYTES:
        text = text[: max(1, len(text) * MAX_BYTES // size) - 1]
    return TextLine(text, node_id, pts, now, truncated=len(text) < len(whole))
