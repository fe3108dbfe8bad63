"""ComfyUI's judgement of a workflow: its validate_prompt, whose words are passed on."""

from __future__ import annotations

import asyncio
import difflib
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from comfytrickle.errors import NodeError
from comfytrickle.workflow.model import Workflow, is_link
from workers.comfyui.boot import ComfyUI
from workers.comfyui.calls import fitting, settle
from workers.comfyui.stream_nodes import is_bound

# From so many choices on, ComfyUI only says how many there are.
_LISTED_BY_COMFYUI = 20


def validate(comfyui: ComfyUI, workflow: Workflow) -> tuple[dict[str, Any], list[NodeError]]:
    """The workflow as ComfyUI would run it (API format, values converted), and all that is wrong
    with it. Empty: it can run.

    Also what ComfyUI would run without: an output node that it would leave out is an error here.
    """
    classes = comfyui.nodes.NODE_CLASS_MAPPINGS
    prompt = workflow.to_api()
    errors = [
        _missing_type(node.id, node.class_type, classes)
        for node in workflow.nodes.values()
        if node.class_type not in classes
    ]
    if errors:  # ComfyUI stops at the first
        return prompt, errors
    answer = _ask(comfyui, prompt)
    errors = [
        _node_error(node_id, found, problem, classes)
        for node_id, found in answer[3].items()
        for problem in found["errors"]
    ]
    if not errors and not answer[0]:
        errors = [_prompt_error(answer[1])]
    return prompt, sorted(errors + _of_the_stream(workflow), key=_place_in(workflow))


def _ask(comfyui: ComfyUI, prompt: dict[str, Any]) -> Any:
    validate_prompt = comfyui.execution.validate_prompt
    offered = {"prompt_id": uuid.uuid4().hex, "prompt": prompt, "partial_execution_list": None}
    # A loop of its own: a workflow is judged while another one runs.
    loop = asyncio.new_event_loop()
    try:
        return settle(validate_prompt(**fitting(validate_prompt, offered)), loop)
    finally:
        loop.close()


def _place_in(workflow: Workflow) -> Callable[[NodeError], tuple[int, str]]:
    """ComfyUI's own order changes from run to run."""
    places = {node_id: place for place, node_id in enumerate(workflow.nodes)}
    return lambda error: (places.get(error.node_id or "", -1), error.input_name or "")


def _missing_type(node_id: str, class_type: str, classes: Mapping[str, Any]) -> NodeError:
    names = [str(name) for name, cls in list(classes.items()) if not is_bound(cls)]
    near = _nearest(class_type, names)
    hint = f"; nearest: {near}" if near else ""
    return NodeError(
        "missing_node_type",
        f"this ComfyUI has no node type {class_type!r}{hint}",
        node_id,
        class_type,
        details=near,
    )


def _node_error(
    node_id: str, found: Mapping[str, Any], problem: Mapping[str, Any], classes: Mapping[str, Any]
) -> NodeError:
    extra = problem.get("extra_info") or {}
    class_type = str(found["class_type"])
    name = extra.get("input_name")
    details = str(problem.get("details") or "")
    if problem["type"] == "value_not_in_list":
        choices = _choices(classes.get(class_type), name)
        near = _nearest(str(extra.get("received_value")), choices)
        if len(choices) > _LISTED_BY_COMFYUI and near:
            details += f"; nearest: {near}"
    message = str(problem["message"])
    return NodeError(
        str(problem["type"]),
        f"{message}: {details}" if details else message,
        node_id,
        class_type,
        None if name is None else str(name),
        details,
    )


def _prompt_error(problem: Any) -> NodeError:
    """What belongs to no node; a text in the oldest versions."""
    if not isinstance(problem, Mapping):
        return NodeError("invalid_prompt", str(problem))
    details = str(problem.get("details") or "")
    message = str(problem.get("message") or "the workflow is refused")
    text = f"{message}: {details}" if details else message
    return NodeError(str(problem.get("type") or "invalid_prompt"), text, details=details)


def _of_the_stream(workflow: Workflow) -> list[NodeError]:
    """What ComfyUI cannot know: the stream's picture has to be one."""
    if workflow.frame_output is None:
        return []
    output = workflow.nodes[workflow.frame_output]
    images = output.inputs.get("images")
    if images is None or is_link(images):
        return []
    return [
        NodeError(
            "bad_linked_input",
            "images: must be linked to an image",
            output.id,
            output.class_type,
            "images",
        )
    ]


def _choices(cls: Any, name: Any) -> list[str]:
    """Of an input that is a list of them; its class has said so while it was judged."""
    declared = cls.INPUT_TYPES() if cls is not None else {}
    for part in ("required", "optional"):
        info = declared.get(part, {}).get(name)
        if info:
            options = info[1].get("options") if len(info) > 1 else None
            listed = info[0] if isinstance(info[0], list | tuple) else options
            return [str(choice) for choice in listed or ()]
    return []


def _nearest(wanted: str, names: list[str]) -> str:
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(wanted.lower(), by_lower, n=3, cutoff=0.6)
    return ", ".join(by_lower[name] for name in near)
