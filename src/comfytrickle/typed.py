"""The name by which a person called this program, where another one has taken its place since."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "COMFYTRICKLE_COMMAND"  # set by scripts/launch_pool.sh and ``comfytrickle serve``


def typed_name(environ: Mapping[str, str]) -> str | None:
    """For usage lines; None: it was called by its own."""
    return environ.get(VARIABLE) or None
