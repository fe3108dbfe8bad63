"""The prompt, and what nodes added to it while it ran."""

from comfy_execution.graph_utils import ExecutionBlocker

__all__ = ["DynamicPrompt", "ExecutionBlocker"]


class DynamicPrompt:
    def __init__(self, original_prompt):
        self.original_prompt = original_prompt
        self._grown = {}
        self._parents = {}

    def get_node(self, node_id):
        return self._grown.get(node_id) or self.original_prompt[node_id]

    def has_node(self, node_id):
        return node_id in self._grown or node_id in self.original_prompt

    def all_node_ids(self):
        return {*self.original_prompt, *self._grown}

    def add_ephemeral_node(self, node_id, node_info, parent_id, display_id):
        self._grown[node_id] = node_info
        self._parents[node_id] = parent_id

    def get_real_node_id(self, node_id):
        while node_id in self._parents:
            node_id = self._parents[node_id]
        return node_id
