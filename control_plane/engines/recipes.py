"""What a warm worker has ready, and for which streams that is of use. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Size = tuple[int, int]  # width, height


@dataclass(frozen=True, slots=True)
class Recipe:
    """The engine is built; with a ``workflow``, that is loaded and has run frames of ``size``."""

    engine: str
    digest: str | None = None  # of the workflow
    size: Size | None = None
    workflow: dict[str, Any] | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        if self.digest is None:
            return self.engine
        size = "" if self.size is None else f" at {self.size[0]}x{self.size[1]}"
        return f"{self.engine}, workflow {self.digest[:12]}{size}"


@dataclass(frozen=True, slots=True)
class Need:
    """What a stream is about to run. ``size`` None: the source's own."""

    engine: str
    digest: str
    size: Size | None = None


def misfit(recipe: Recipe, need: Need) -> int | None:
    """How far the one is from the other; 0 is best, None is of no use.

    Even a worker with another workflow has imported what its engine imports.
    """
    if recipe.engine != need.engine:
        return None
    if recipe.digest == need.digest:
        return 0 if recipe.size == need.size else 1
    return 2 if recipe.digest is None else 3
