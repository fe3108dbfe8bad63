"""V3 nodes: a schema, class methods, and a class that is cloned for each call."""

import types

from comfy_api.latest import _io as io


class ComfyExtension:
    async def get_node_list(self):
        raise NotImplementedError


ui = types.SimpleNamespace()

__all__ = ["ComfyExtension", "io", "ui"]
