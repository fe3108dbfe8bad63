"""The demo's workflow, and what its own reference makes of a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from comfytrickle.errors import InvalidInput

RGB = npt.NDArray[np.uint8]

# The measure is the mean absolute difference of sampled pixels, in levels of 0..255. Encoding
# twice costs 2 to 4; the pattern and its negative are more than 100 apart.
CODEC_LOSS = 12.0
_SAMPLES = 64  # per direction


@dataclass(frozen=True, slots=True)
class DemoWorkflow:
    """A graph in API format; ``reference`` maps source pixels to expected ones, where known."""

    name: str
    graph: dict[str, Any]
    reference: Callable[[RGB], RGB] | None = None


def invert() -> DemoWorkflow:
    """The default: the negative, which nobody overlooks."""
    graph = {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
    }
    return DemoWorkflow("invert", graph, lambda rgb: 255 - rgb)


def from_file(path: Path) -> DemoWorkflow:
    """A workflow of the user's. Raises InvalidInput when it is not a JSON object."""
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput("workflow", f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInput("workflow", f"{path}: not JSON: {error}") from error
    if not isinstance(graph, dict):
        raise InvalidInput("workflow", f"{path}: not a JSON object")
    return DemoWorkflow(path.name, graph)


def difference(a: RGB, b: RGB) -> float | None:
    """Mean absolute difference on a grid of samples, in levels; None for different sizes."""
    if a.shape != b.shape:
        return None
    y = np.linspace(0, a.shape[0] - 1, _SAMPLES).astype(np.intp)[:, None]
    x = np.linspace(0, a.shape[1] - 1, _SAMPLES).astype(np.intp)
    return float(np.abs(a[y, x].astype(np.int16) - b[y, x]).mean())
