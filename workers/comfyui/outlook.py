"""How a workflow will run, as far as can be told before it is loaded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from comfytrickle.workflow.model import Workflow
from workers.comfyui.boot import ComfyUI
from workers.comfyui.parts import divide
from workers.engine.constant_part import describe
from workers.engine.resident import resident_detail
from workers.engine.ways import why_not_resident


def blank_detail(comfyui: ComfyUI) -> dict[str, Any]:
    """Of a loaded workflow, before anything is known of it (see JudgedWorkflow)."""
    return {
        "engine": "comfyui",
        "comfyui_version": comfyui.version or "unknown",
        "memory": comfyui.memory,
        "graph": "executor",
        "reasons": [],
        "live_nodes": 0,
        "constant_nodes": 0,
        "checked": False,
    }


def outlook(comfyui: ComfyUI, workflow: Workflow) -> dict[str, Any]:
    """The detail that it will have once it is loaded, unless a node then returns what only the
    executor can follow. Runs no node; asks each IS_CHANGED."""
    classes = comfyui.nodes.NODE_CLASS_MAPPINGS
    detail = blank_detail(comfyui)
    reasons = why_not_resident(workflow, classes)
    if not reasons:
        return detail | resident_detail(describe(workflow, classes).plan(), "comfyui")
    parts = divide(workflow, classes)
    return detail | {
        "reasons": [asdict(reason) for reason in reasons],
        "live_nodes": len(parts.needed - parts.constant),
        "constant_nodes": len(parts.constant),
    }
