"""Nodes for whole streams: what they did is seen in files, since they run in another process."""

import time
from pathlib import Path


class StreamingModel:
    """A model that takes long to load: each time adds a line to the file ``path``."""

    RETURN_TYPES = ("PROBE_MODEL",)
    FUNCTION = "run"
    CATEGORY = "streaming"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"path": ("STRING", {}), "gain": ("FLOAT", {"default": 1.0})}}

    def run(self, path, gain):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{gain}\n")
        return ({"gain": gain},)


class StreamingSlow:
    """Takes half a second as soon as the file ``path`` is there, and then makes ``path.began``."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "streaming"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "path": ("STRING", {})}}

    def run(self, image, path):
        if Path(path).exists():
            Path(f"{path}.began").touch()
            time.sleep(0.5)
        return (image,)


NODE_CLASS_MAPPINGS = {kind.__name__: kind for kind in (StreamingModel, StreamingSlow)}
