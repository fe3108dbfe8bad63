"""The comfyui engine: the user's real ComfyUI, with its nodes, its validation and its executor."""

from __future__ import annotations

from typing import Any

import torch

from comfytrickle.errors import NodeError
from comfytrickle.messages import EngineConfig
from comfytrickle.workflow.model import Workflow
from workers.comfyui.boot import boot
from workers.comfyui.judged import JudgedWorkflow
from workers.comfyui.memory import Collector, free_device_memory
from workers.comfyui.node_info import object_info
from workers.comfyui.outlook import outlook
from workers.comfyui.validation import validate
from workers.comfyui.workspace import find_workspace, no_workspace
from workers.engine.constants import Constants
from workers.engine.needed import output_nodes
from workers.engine.refusals import refuse


class ComfyUIEngine:
    """See workers.engine.protocol.Engine. One for a process: ComfyUI is its modules.

    ``device`` is where pictures are between nodes: the GPU when all stays there, else the CPU,
    also when models are on the GPU.
    """

    def __init__(self, config: EngineConfig) -> None:
        """Raises WorkerError: no ComfyUI at config.workspace, one that cannot be imported, a
        device that cannot be used."""
        if config.workspace is None:
            raise no_workspace()
        torch.set_num_threads(config.threads)
        self._comfyui = boot(find_workspace(config.workspace), config)
        self.device = self._comfyui.device
        self._constants = Constants()
        self._collector = Collector()
        self._closed = False

    @property
    def version(self) -> str | None:
        """ComfyUI's, where it says."""
        return self._comfyui.version

    def check(self, workflow: Workflow) -> list[NodeError]:
        return validate(self._comfyui, workflow)[1]

    def outlook(self, workflow: Workflow) -> dict[str, Any]:
        return outlook(self._comfyui, workflow)

    def output_nodes(self, workflow: Workflow) -> frozenset[str]:
        return output_nodes(workflow, self._comfyui.nodes.NODE_CLASS_MAPPINGS)

    def load(self, workflow: Workflow) -> JudgedWorkflow:
        prompt, errors = validate(self._comfyui, workflow)
        refuse(errors)
        return JudgedWorkflow(self._comfyui, workflow, prompt, self._constants, self._collector)

    def object_info(self) -> dict[str, Any]:
        return object_info(self._comfyui.nodes)

    def failed_packs(self) -> dict[str, str]:
        return dict(self._comfyui.failed)

    def interrupt(self) -> None:
        """End what runs just now, at the next node or the next step of a sampler. Any thread."""
        self._comfyui.nodes.interrupt_processing(True)

    def close(self) -> None:
        """Idempotent."""
        if self._closed:
            return
        self._closed = True
        free_device_memory(self._comfyui.model_management)
        self._comfyui.close()
