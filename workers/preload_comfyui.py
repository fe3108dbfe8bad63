"""What ComfyUI imports and what does no harm before CUDA: imported by the fork server once, so that
each worker with a ComfyUI workspace finds it in memory.

Imported by name in the fork server, before workers.preload, never by other code. What is not
installed, or does not import here, is left out: whether that matters is for the worker to say, when
ComfyUI asks for it.
"""

from __future__ import annotations

import importlib

# By cost: most of ComfyUI's own start is these (measured with -X importtime).
_MODULES = (
    "transformers.models.clip.tokenization_clip",
    "transformers.models.t5.tokenization_t5_fast",
    "transformers.modeling_utils",
    "torchvision",
    "torchvision.transforms",
    "scipy.ndimage",
    "scipy.stats",
    "scipy.optimize",
    "torchsde",
    "kornia",
    "spandrel",
    "einops",
    "safetensors.torch",
    "yaml",
    "PIL.Image",
    "PIL.ImageOps",
    "PIL.ImageSequence",
    "pydantic",
    "sqlalchemy",
    "alembic",
)

for _name in _MODULES:
    try:
        importlib.import_module(_name)
    except Exception:  # noqa: BLE001 - foreign code may raise anything while it is imported
        continue
