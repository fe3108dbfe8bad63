"""Which engine a configuration asks for."""

from __future__ import annotations

from comfytrickle.errors import InvalidInput
from comfytrickle.messages import EngineConfig
from workers.comfyui.engine import ComfyUIEngine
from workers.device import limit_device_memory
from workers.engine.embedded import EmbeddedEngine
from workers.engine.protocol import Engine


def build_engine(config: EngineConfig) -> Engine:
    """Build it in the calling thread, which is to use it from then on.

    Raises InvalidInput for a kind that does not exist here, WorkerError for one that cannot be
    built: no such device, no ComfyUI, one that cannot be imported.
    """
    if config.memory_limit is not None:
        limit_device_memory(config.device, config.memory_limit)
    if config.kind == "embedded":
        return EmbeddedEngine(config)
    if config.kind == "comfyui":
        return ComfyUIEngine(config)
    raise InvalidInput(
        "engine.kind", f"{config.kind!r} is not an engine; there are: embedded, comfyui"
    )
