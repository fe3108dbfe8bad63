"""Nodes that see how they are run: how often, by which thread, when they are stopped."""
# ruff: noqa: RUF012

import sys
import threading

import torch

try:
    from comfy_execution.graph_utils import ExecutionBlocker
except ImportError:  # where it was before 2025-07
    from comfy_execution.graph import ExecutionBlocker


class _Running:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "running"
    INPUTS = {"required": {"image": ("IMAGE",)}}

    @classmethod
    def INPUT_TYPES(cls):
        return cls.INPUTS


class RunningBlock(_Running):
    """Blocks what is behind it for a picture that begins with 1."""

    def run(self, image):
        return (ExecutionBlocker(None) if float(image[0, 0, 0, 0]) == 1.0 else image,)


class RunningInstead(_Running):
    """A constant node: a grey picture, or none at all."""

    INPUTS = {"required": {"block": ("BOOLEAN", {"default": False})}}
    CALLS = []

    def run(self, block):
        self.CALLS.append(block)
        return (ExecutionBlocker(None) if block else torch.full((1, 6, 8, 3), 0.5),)


class RunningPieces(_Running):
    """A constant list of pictures, for an executor alone; how often it ran is counted."""

    INPUTS = {"required": {"level": ("FLOAT", {"default": 0.5})}}
    OUTPUT_IS_LIST = (True,)
    CALLS = []

    def run(self, level):
        self.CALLS.append(level)
        return ([torch.full((1, 6, 8, 3), level), torch.full((1, 6, 8, 3), level / 2)],)


class RunningSum(_Running):
    """The picture and all pieces, added."""

    INPUTS = {"required": {"image": ("IMAGE",), "pieces": ("IMAGE",)}}
    INPUT_IS_LIST = True

    def run(self, image, pieces):
        return (image[0] + sum(pieces),)


class RunningEither(_Running):
    INPUTS = {
        "required": {
            "image": ("IMAGE",),
            "other": ("IMAGE", {"lazy": True}),
            "wanted": ("BOOLEAN", {"default": False}),
        }
    }

    def check_lazy_status(self, image, wanted, other=None):
        return ["other"] if wanted and other is None else []

    def run(self, image, wanted, other=None):
        return (other if wanted else image,)


class RunningWait(_Running):
    """Says that it runs, then waits until it may go on."""

    RUNS = threading.Event()
    MAY_GO_ON = threading.Event()

    def run(self, image):
        self.RUNS.set()
        assert self.MAY_GO_ON.wait(60)
        return (image,)


class RunningText(_Running):
    RETURN_TYPES = ("STRING",)

    def run(self, image):
        return (f"it begins\nwith {float(image[0, 0, 0, 0]):g}",)


class RunningExit(_Running):
    def run(self, image):
        sys.exit("enough")


NODE_CLASS_MAPPINGS = {
    kind.__name__: kind
    for kind in (
        RunningBlock,
        RunningInstead,
        RunningPieces,
        RunningSum,
        RunningEither,
        RunningWait,
        RunningText,
        RunningExit,
    )
}
