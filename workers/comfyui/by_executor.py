"""A loaded workflow whose frames, or pieces of sound, ComfyUI's own executor runs."""

from __future__ import annotations

from typing import Any

import torch

from comfytrickle.workflow.model import SAVE_AUDIO_TENSOR, SAVE_TENSOR, Workflow
from comfytrickle.workflow.sound import piece_s
from workers.comfyui.boot import ComfyUI
from workers.comfyui.executor import Executor, Prompt
from workers.comfyui.folding import Folding, FramePrompt
from workers.comfyui.parts import divide
from workers.comfyui.stream_nodes import Passage, StreamNodes
from workers.engine.constants import Constants
from workers.engine.failures import NeedsExecutor, bad_image
from workers.engine.protocol import Audio, NodeFailed, RunContext
from workers.engine.resident import heard
from workers.engine.sound import silence


class ExecutorGraph:
    """Frames through PromptExecutor; its loading computes the constant part.

    ``live_nodes``, ``constant_nodes``: how many of the workflow's nodes run for each frame, and
    how many were folded.
    """

    def __init__(
        self, comfyui: ComfyUI, workflow: Workflow, prompt: Prompt, constants: Constants
    ) -> None:
        """``prompt``: the workflow as validation left it. Raises NodeFailed when a constant node
        raises."""
        self._comfyui = comfyui
        self._output_id = workflow.frame_output or workflow.sound_output or ""
        self._piece_s = piece_s(workflow.nodes.values())
        self._passage = Passage()
        self._names = StreamNodes(comfyui.nodes.NODE_CLASS_MAPPINGS, self._passage)
        self._lease = constants.lease()
        self._constants = Executor(comfyui, self._names)  # holds the instances of constant nodes
        self._frames = Executor(comfyui, self._names)
        try:
            self._prompt = self._fold(workflow, prompt)
        except BaseException:
            self.close()
            raise
        self.live_nodes = self._prompt.live_nodes
        self.constant_nodes = self._prompt.constant_nodes

    def run(self, image: torch.Tensor, context: RunContext | None = None) -> torch.Tensor:
        """One frame (see workers.engine.protocol.LoadedWorkflow)."""
        passage = self._passage
        passage.frame = image
        if self._piece_s:
            latest = None if context is None else context.sound
            passage.sound = silence(self._piece_s) if latest is None else latest
        try:
            output = self._run("picture", SAVE_TENSOR, context)
            problem = bad_image(output)
            if problem is not None:
                raise NodeFailed(self._output_id, SAVE_TENSOR, problem)
        finally:
            passage.clear()
        return output  # type: ignore[no-any-return]  # bad_image has looked at it

    def hear(self, audio: Audio, context: RunContext | None = None) -> Audio | None:
        """One piece of sound (see workers.engine.protocol.LoadedWorkflow)."""
        self._passage.sound = audio
        try:
            output = self._run("sound", SAVE_AUDIO_TENSOR, context)
            return heard(self._output_id, output) if self._output_id else None
        finally:
            self._passage.clear()

    def close(self) -> None:
        """Idempotent."""
        self._constants.close()
        self._frames.close()
        self._names.close()
        self._passage.clear()
        self._passage.constants.clear()
        self._lease.close()

    def _run(self, what: str, class_type: str, context: RunContext | None) -> Any:
        """What reached the output of that type, None when the workflow has none."""
        passage = self._passage
        self._frames.run(self._prompt.prompt, self._prompt.outputs, self._prompt.keep)
        if context is not None:
            context.taken.update(passage.taken)
        if not self._output_id:
            return None
        if class_type not in passage.saved:
            message = f"no {what} reached it: ComfyUI blocked the way"
            raise NodeFailed(self._output_id, class_type, message)
        return passage.saved[class_type]

    def _fold(self, workflow: Workflow, prompt: Prompt) -> FramePrompt:
        own: frozenset[str] = frozenset()
        while True:
            parts = divide(workflow, self._comfyui.nodes.NODE_CLASS_MAPPINGS, own)
            folding = Folding(workflow, prompt, parts, self._names, self._passage)
            try:
                with torch.inference_mode():
                    look = self._comfyui.nodes.before_node_execution
                    folding.take_shared(self._lease, self._comfyui.device, look)
                break
            except NeedsExecutor as error:
                own |= {error.node_id}  # one more each time
        folding.run_constants(self._constants)
        return folding.frame_prompt()
