"""A node pack that does its worst, for --nodes. What: deeds.py; when: nodes.py."""

from __future__ import annotations

from .nodes import NODE_CLASS_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS"]
