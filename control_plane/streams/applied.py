"""What the changes of a live stream came to, in words. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from comfytrickle.messages import StreamConfig

APPLIED_KEPT = 50  # knobs that are turned make many
_SAID = 8  # of one change
_SHOWN = 60  # characters of a value
_FIELDS = ("width", "height", "max_framerate", "on_error", "on_error_after", "while_loading")


class Applied(msgspec.Struct, frozen=True):
    """One change that took effect. ``at``: time.time(); ``what``: a line for each thing."""

    at: float
    revision: int
    what: tuple[str, ...]


def describe(before: StreamConfig, after: StreamConfig) -> tuple[str, ...]:
    """A line for each thing that differs: ``width: 320 -> 640``, ``sigma of node 2 (ImageBlur):
    1 -> 5``. Empty when nothing does."""
    lines = [
        f"{name}: {_value(old)} -> {_value(new)}"
        for name in _FIELDS
        for old, new in [(getattr(before, name), getattr(after, name))]
        if old != new
    ]
    lines += _of_workflow(before.workflow, after.workflow)
    more = len(lines) - _SAID
    return (*lines[:_SAID], f"and {more} more") if more > 0 else tuple(lines)


def _of_workflow(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    kinds = [{i: node.get("class_type") for i, node in w.items()} for w in (before, after)]
    if kinds[0] != kinds[1]:
        yield f"another workflow, of {len(after)} nodes"
        return
    for node_id, node in after.items():
        old = before[node_id].get("inputs") or {}
        new = node.get("inputs") or {}
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                where = f"{name} of node {node_id} ({node.get('class_type')})"
                yield f"{where}: {_value(old.get(name))} -> {_value(new.get(name))}"


def _value(value: Any) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
