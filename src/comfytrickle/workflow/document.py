"""From what a caller sent to one JSON object that should be a graph.

Accepted: an API-format graph, a JSON string of one, a list with exactly one of either, and
ComfyUI's own ``{"prompt": graph, ...}`` request body. Nothing (None, "") is the default workflow.
"""

from __future__ import annotations

import json
from typing import Any

from comfytrickle.errors import InvalidInput
from comfytrickle.workflow.model import LOAD_TENSOR, MAX_BYTES, SAVE_TENSOR

_SHOWN_TEXT = 40  # characters
_UNWRAPPINGS = 4  # '[{"prompt": "{...}"}]' is the deepest that makes sense


def default_graph() -> dict[str, Any]:
    """The pass-through: what came in goes out."""
    return {
        "1": {"class_type": LOAD_TENSOR, "inputs": {}, "_meta": {"title": "Frame in"}},
        "2": {
            "class_type": SAVE_TENSOR,
            "inputs": {"images": ["1", 0]},
            "_meta": {"title": "Frame out"},
        },
    }


def read_document(value: object, field: str) -> dict[Any, Any]:
    """The graph as an object, not yet looked into. Raises InvalidInput."""
    for _ in range(_UNWRAPPINGS + 1):
        if value is None:
            return default_graph()
        if isinstance(value, str):
            value = _decode(value, field)
        elif isinstance(value, list):
            value = _only_one(value, field)
        elif isinstance(value, dict):
            _refuse_ui_format(value, field)
            if not _is_request_body(value):
                return value
            value = value["prompt"]
        else:
            raise InvalidInput(
                field,
                "must be a workflow in API format (an object, a JSON string, or a list with one "
                f"of either), not {type(value).__name__}",
            )
    raise InvalidInput(field, "the workflow is wrapped in too many lists, strings or objects")


def _decode(text: str, field: str) -> object:
    if not text.strip():
        return None
    # Characters are a lower bound of bytes; the exact size is checked on the canonical form.
    if len(text) > MAX_BYTES:
        raise too_large(field)
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidInput(field, "the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        if text.lstrip()[0] not in "{[":
            raise InvalidInput(
                field,
                f"must be a workflow in API format (a JSON object), not the text {_shown(text)}",
            ) from None
        at = f"line {error.lineno}, column {error.colno}"
        raise InvalidInput(field, f"not valid JSON at {at}: {error.msg}") from None
    except ValueError as error:  # a number of thousands of digits
        raise InvalidInput(field, f"not valid JSON: {error}") from None


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}...")


def _only_one(items: list[Any], field: str) -> object:
    if len(items) != 1:
        count = "is empty" if not items else f"has {len(items)} workflows"
        raise InvalidInput(field, f"the list {count}; exactly one workflow is expected")
    return items[0]


def _refuse_ui_format(graph: dict[Any, Any], field: str) -> None:
    if isinstance(graph.get("nodes"), list):
        raise InvalidInput(
            field,
            "this is a workflow in ComfyUI's UI format (it has `nodes` and `links`); "
            'in ComfyUI use Workflow > Export (API), or "Save (API Format)" in the old menu, '
            "and send that file",
        )


def _is_request_body(graph: dict[Any, Any]) -> bool:
    inner = graph.get("prompt")
    if isinstance(inner, dict):
        return not isinstance(inner.get("class_type"), str)
    return isinstance(inner, str | list)


def too_large(field: str) -> InvalidInput:
    return InvalidInput(field, f"the workflow is larger than {MAX_BYTES // 2**20} MiB of JSON")
