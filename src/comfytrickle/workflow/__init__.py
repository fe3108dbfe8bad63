"""The workflow model: API-format graphs, checked for shape and converted for live use. Pure."""

from comfytrickle.workflow.model import Link, Node, Workflow
from comfytrickle.workflow.parse import DEFAULT_WORKFLOW, parse_prompt

__all__ = ["DEFAULT_WORKFLOW", "Link", "Node", "Workflow", "parse_prompt"]
