"""Where a workflow comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

# A file in API format by its path, the workflow itself, or None: pass-through.
WorkflowSource: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | None"


def read_workflow(source: WorkflowSource) -> Any:
    """As it goes to the server. Raises OSError, ValueError (the file is not JSON)."""
    if not isinstance(source, str | os.PathLike):
        return None if source is None else dict(source)
    try:
        return json.loads(Path(source).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{source}: not JSON: {error}") from error
