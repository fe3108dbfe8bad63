"""Outputs by what a node and its whole ancestry are; the last prompt's stay until the next one."""
# ruff: noqa: BLE001

import logging

import nodes
from comfy_execution.calling import call_rows
from comfy_execution.graph_utils import is_link
from comfy_execution.inputs import declared, gather, has_own


class Caches:
    def __init__(self):
        self.outputs = {}  # key -> outputs
        self.objects = {}  # (node id, class type) -> instance
        self.ui = {}

    def keep(self, keys, nodes_kept):
        self.outputs = {key: self.outputs[key] for key in keys if key in self.outputs}
        self.objects = {name: o for name, o in self.objects.items() if name in nodes_kept}


def _frozen(value):
    if isinstance(value, dict):
        return tuple(sorted((str(name), _frozen(item)) for name, item in value.items()))
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return object()
    return value


class Keys:
    """Keys of the nodes of one prompt. Equal by identity first: one NaN is equal to itself."""

    def __init__(self, node_of, async_nodes):
        self._node_of = node_of
        self._async_nodes = async_nodes
        self._changed = {}
        self._keys = {}

    async def key(self, node_id):
        if node_id not in self._keys:
            node = self._node_of(node_id)
            cls = nodes.NODE_CLASS_MAPPINGS[node["class_type"]]
            parts = [node["class_type"], _frozen(await self._is_changed(node_id, node, cls))]
            if any(kind == "UNIQUE_ID" for _, kind, _ in declared(cls).values()):
                parts.append(node_id)
            for name, value in sorted(node["inputs"].items()):
                if is_link(value):
                    parts.append((name, value[1], await self.key(value[0])))
                else:
                    parts.append((name, _frozen(value)))
            self._keys[node_id] = tuple(parts)
        return self._keys[node_id]

    async def _is_changed(self, node_id, node, cls):
        function = "fingerprint_inputs" if hasattr(cls, "GET_SCHEMA") else "IS_CHANGED"
        if not has_own(cls, function):
            return False
        if "is_changed" not in node:
            columns, _ = gather(node, cls, {}, {})
            try:
                result = await call_rows(cls, function, columns, None, self._async_nodes)
                node["is_changed"] = result  # in the caller's own dict, and believed from then on
            except Exception as error:
                logging.warning(f"WARNING: {error}")
                node["is_changed"] = float("nan")
        return node["is_changed"]
