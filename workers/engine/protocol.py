"""The seam between a stream and what runs its workflow: one Engine protocol, several engines.

An engine is built once per worker process and is used from one thread (the engine thread) only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from comfytrickle.errors import ComfytrickleError, NodeError

if TYPE_CHECKING:
    import torch

    from comfytrickle.workflow.model import Workflow


class NodeFailed(ComfytrickleError):
    """A node raised while a frame ran through it. ``out_of_memory``: it wanted more than there is,
    of the machine's or the device's. ``interrupted``: no fault of its own, see Engine.interrupt."""

    def __init__(
        self,
        node_id: str,
        node_type: str,
        message: str,
        traceback: str = "",
        *,
        out_of_memory: bool = False,
        interrupted: bool = False,
    ) -> None:
        super().__init__(f"node {node_id} ({node_type}): {message}")
        self.node_id = node_id
        self.node_type = node_type
        self.message = message
        self.traceback = traceback
        self.out_of_memory = out_of_memory
        self.interrupted = interrupted


class Audio(TypedDict):
    """Sound between nodes, as ComfyUI's AUDIO."""

    waveform: torch.Tensor  # float32 [1, channels, samples], nominally -1..1, on the CPU
    sample_rate: int  # Hz


@dataclass(slots=True)
class RunContext:
    """What passes beside the frame, or beside the piece of sound, in one run.

    ``taken``: id of a SaveTextTensor -> the inputs that reached it. ``sound``: what
    LoadAudioTensor gives beside a frame, the latest piece; None: silence.
    """

    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    sound: Audio | None = None


class LoadedWorkflow(Protocol):
    """A workflow with its nodes instantiated and its constant part computed. It runs frames or
    pieces of sound, never both: see workers.engine.split."""

    detail: dict[str, Any]  # how it runs and why, for the status

    def run(self, image: torch.Tensor, context: RunContext | None = None) -> torch.Tensor:
        """One frame through the graph. ``context`` receives what is beside the picture.

        ``image``: float32 [1, height, width, 3], 0..1, on the engine's device. It is valid only
        during the call (the caller reuses the buffer). Returns what reached SaveTensor, float
        [batch, height, width, channels], any size. Raises NodeFailed; the next call may succeed.
        """

    def hear(self, audio: Audio, context: RunContext | None = None) -> Audio | None:
        """One piece of the stream's sound through a sound part. ``context`` receives what is
        beside the sound.

        Returns what reached SaveAudioTensor (workers.engine.sound.read_sound), any rate and
        length, perhaps in the memory of ``audio``; None when the part has no SaveAudioTensor.
        Raises NodeFailed; the next call may succeed.
        """

    def close(self) -> None:
        """Drop the nodes and what they hold. Idempotent."""


class Engine(Protocol):
    """Runs workflows on one device."""

    device: torch.device

    def check(self, workflow: Workflow) -> list[NodeError]:
        """What is wrong with it: node types, inputs, ranges, VALIDATE_INPUTS. Empty: it can run."""

    def outlook(self, workflow: Workflow) -> dict[str, Any]:
        """How a workflow in which check found nothing would run, as far as can be told without
        loading it: the keys of LoadedWorkflow.detail."""

    def output_nodes(self, workflow: Workflow) -> frozenset[str]:
        """Ids of the nodes whose class says OUTPUT_NODE: they run though nobody reads them."""

    def load(self, workflow: Workflow) -> LoadedWorkflow:
        """Instantiate nodes and compute the constant part.

        Raises InvalidWorkflow (as check finds it) or NodeFailed (a constant node raised).
        """

    def object_info(self) -> dict[str, Any]:
        """The node catalogue in ComfyUI's /object_info shape."""

    def failed_packs(self) -> dict[str, str]:
        """Node packs that could not be loaded: path -> reason."""

    def interrupt(self) -> None:
        """Have what runs or loads just now end with NodeFailed (``interrupted``) as soon as the
        engine can look, which is between nodes at the earliest. What begins afterwards is not
        meant. From any thread. An engine that cannot does nothing."""

    def close(self) -> None:
        """Free device memory. Idempotent."""
