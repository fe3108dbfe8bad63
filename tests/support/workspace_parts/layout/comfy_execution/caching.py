"""Results by what a node and its whole ancestry are. They stay until a cache is told of a prompt
that has no such node."""
# ruff: noqa: BLE001

import logging

import nodes
from comfy_execution.at_once import at_once
from comfy_execution.calling import call_rows
from comfy_execution.graph_utils import is_link
from comfy_execution.inputs import declared, gather, has_own


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


class ChangedAsync:
    """What IS_CHANGED says of each node of a prompt."""

    def __init__(self, prompt_id, dynprompt, outputs_cache):
        self.dynprompt = dynprompt
        self.signatures = {}
        self._async_nodes = prompt_id is not None

    async def get(self, node_id):
        node = self.dynprompt.get_node(node_id)
        cls = nodes.NODE_CLASS_MAPPINGS[node["class_type"]]
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


class Changed:
    def __init__(self, dynprompt, outputs_cache):
        self.dynprompt = dynprompt
        self.signatures = {}
        self._asked = ChangedAsync(None, dynprompt, outputs_cache)

    def get(self, node_id):
        return at_once(self._asked.get(node_id))


async def signature(dynprompt, node_id, is_changed):
    """Compared by identity first: one NaN is equal to itself."""
    if node_id not in is_changed.signatures:
        is_changed.signatures[node_id] = await _signature(dynprompt, node_id, is_changed)
    return is_changed.signatures[node_id]


async def _signature(dynprompt, node_id, is_changed):
    node = dynprompt.get_node(node_id)
    cls = nodes.NODE_CLASS_MAPPINGS[node["class_type"]]
    changed = is_changed.get(node_id)
    parts = [node["class_type"], _frozen(await changed if hasattr(changed, "send") else changed)]
    if any(kind == "UNIQUE_ID" for _, kind, _ in declared(cls).values()):
        parts.append(node_id)
    for name, value in sorted(node["inputs"].items()):
        if is_link(value):
            parts.append((name, value[1], await signature(dynprompt, value[0], is_changed)))
        else:
            parts.append((name, _frozen(value)))
    return tuple(parts)


async def identity(dynprompt, node_id, is_changed):
    return node_id, dynprompt.get_node(node_id)["class_type"]


class CacheAsync:
    def __init__(self, make_key):
        self._make_key = make_key
        self._keys = {}
        self._values = {}

    async def set_prompt(self, dynprompt, node_ids, is_changed_cache):
        self._dynprompt, self._is_changed = dynprompt, is_changed_cache
        self._keys = {}
        for node_id in node_ids:
            await self.know(node_id)

    async def know(self, node_id):
        """Of a node that was not there when the prompt began."""
        if node_id not in self._keys:
            self._keys[node_id] = await self._make_key(self._dynprompt, node_id, self._is_changed)

    def clean_unused(self):
        kept = set(self._keys.values())
        self._values = {key: value for key, value in self._values.items() if key in kept}

    def get(self, node_id):
        return self._values.get(self._keys.get(node_id))

    def set(self, node_id, value):
        self._values[self._keys[node_id]] = value

    def all_node_ids(self):
        return set(self._keys)


class Cache(CacheAsync):
    def set_prompt(self, dynprompt, node_ids, is_changed_cache):
        at_once(super().set_prompt(dynprompt, node_ids, is_changed_cache))


class CacheSet:
    def __init__(self, kind):
        self.outputs, self.ui, self.objects = kind(signature), kind(signature), kind(identity)
        self.all = [self.outputs, self.ui, self.objects]
