"""A node pack whose nodes do one thing each that an engine has to get right."""
# ruff: noqa: RUF012

import asyncio

import torch


class _Probe:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "probe"
    INPUTS = {"required": {"image": ("IMAGE",)}}

    @classmethod
    def INPUT_TYPES(cls):
        return cls.INPUTS


class ProbeLazy(_Probe):
    """One of two pictures; the other is never computed."""

    INPUTS = {
        "required": {
            "first": ("IMAGE", {"lazy": True}),
            "second": ("IMAGE", {"lazy": True}),
            "use_second": ("BOOLEAN", {"default": False}),
        }
    }

    def check_lazy_status(self, use_second, first=None, second=None):
        return ["second" if use_second else "first"]

    def run(self, use_second, first=None, second=None):
        return (second if use_second else first,)


class ProbeRows(_Probe):
    """A picture as the list of its halves, upper and lower."""

    OUTPUT_IS_LIST = (True,)

    def run(self, image):
        return (list(image.chunk(2, dim=1)),)


class ProbeJoin(_Probe):
    """A list of halves, the other way round, as one picture again."""

    INPUT_IS_LIST = True

    def run(self, image):
        assert isinstance(image, list)
        return (torch.cat(image[::-1], dim=1),)


class ProbeAsync(_Probe):
    async def run(self, image):
        await asyncio.sleep(0)
        return (1.0 - image,)


class ProbeExpand(_Probe):
    """Becomes two ImageInvert nodes: the same picture again."""

    INPUTS = {
        "required": {"image": ("IMAGE",)},
        "hidden": {"unique_id": "UNIQUE_ID"},
    }

    def run(self, image, unique_id):
        once, twice = f"{unique_id}.once", f"{unique_id}.twice"
        graph = {
            once: {"class_type": "ImageInvert", "inputs": {"image": image}},
            twice: {"class_type": "ImageInvert", "inputs": {"image": [once, 0]}},
        }
        return {"result": ([twice, 0],), "expand": graph}


class ProbeFail(_Probe):
    """Raises when the picture's first value is what it is told."""

    INPUTS = {"required": {"image": ("IMAGE",), "at": ("FLOAT", {"default": 1.0})}}

    def run(self, image, at):
        if abs(float(image[0, 0, 0, 0]) - at) < 1e-6:
            raise ValueError(f"this picture begins with {at}")
        return (image,)


class ProbeModel(_Probe):
    """A model that takes long to load: how often it was is counted."""

    RETURN_TYPES = ("PROBE_MODEL",)
    INPUTS = {"required": {"gain": ("FLOAT", {"default": 1.0})}}
    LOADED = []

    def run(self, gain):
        self.LOADED.append(gain)
        return ({"gain": gain},)


class ProbeApply(_Probe):
    INPUTS = {"required": {"image": ("IMAGE",), "model": ("PROBE_MODEL",)}}

    def run(self, image, model):
        return (image * model["gain"],)


class ProbeOnce(_Probe):
    """Another picture at each call of any instance: no two ways of running it agree."""

    CALLS = []

    def run(self, image):
        self.CALLS.append(1)
        return (image * 0 + len(self.CALLS) / 100,)


class ProbeChecked(_Probe):
    """Says itself what is wrong with its input."""

    INPUTS = {"required": {"image": ("IMAGE",), "even": ("INT", {"default": 2})}}

    @classmethod
    def VALIDATE_INPUTS(cls, even):
        return True if even % 2 == 0 else f"{even} is odd"

    def run(self, image, even):
        return (image,)


NODE_CLASS_MAPPINGS = {
    kind.__name__: kind
    for kind in (
        ProbeLazy,
        ProbeRows,
        ProbeJoin,
        ProbeAsync,
        ProbeExpand,
        ProbeFail,
        ProbeModel,
        ProbeApply,
        ProbeOnce,
        ProbeChecked,
    )
}
NODE_DISPLAY_NAME_MAPPINGS = {"ProbeLazy": "Probe: lazy"}
