"""One prompt, by recursion from its outputs. Nothing is raised: see ``success``."""

import logging
import time
import traceback

import comfy.model_management
import nodes
import torch
from comfy_execution.caching import Caches, Keys
from comfy_execution.calling import as_parts, call_rows, merged
from comfy_execution.graph_utils import ExecutionBlocker, is_link
from comfy_execution.inputs import gather, has_own, is_lazy


class NodeFailure(Exception):
    def __init__(self, details, cause):
        super().__init__(details["node_id"])
        self.details = details
        self.cause = cause


class Run:
    def __init__(self, server, caches, prompt_id, prompt, extra_data, async_nodes):
        self.server, self.caches, self.prompt_id = server, caches, prompt_id
        self.prompt, self.grown, self.parents = prompt, {}, {}
        self.extra_data, self.async_nodes = extra_data, async_nodes
        self.keys = Keys(self.node, async_nodes)
        self.executed = []

    def node(self, node_id):
        return self.grown.get(node_id) or self.prompt[node_id]

    def real_id(self, node_id):
        while node_id in self.parents:
            node_id = self.parents[node_id]
        return node_id

    async def outputs(self, node_id):
        key = await self.keys.key(node_id)
        if key not in self.caches.outputs:
            self.caches.outputs[key] = await self._produce(node_id)
            self.executed.append(node_id)
        return self.caches.outputs[key]

    async def _produce(self, node_id):
        node = self.node(node_id)
        cls = nodes.NODE_CLASS_MAPPINGS[node["class_type"]]
        known = {}
        for name, value in node["inputs"].items():
            if is_link(value) and not is_lazy(cls, name):
                known[value[0]] = await self.outputs(value[0])
        columns = None
        try:
            obj = self.caches.objects.setdefault((node_id, node["class_type"]), cls())
            hidden = self._hidden(node_id)
            columns, missing = gather(node, cls, known, hidden)
            while has_own(cls, "check_lazy_status"):
                wanted = await self._call(obj, "check_lazy_status", columns, hidden)
                names = {n for listed in wanted if listed for n in listed} & missing
                if not names:
                    break
                for name in names:
                    source = node["inputs"][name][0]
                    known[source] = await self.outputs(source)
                columns, missing = gather(node, cls, known, hidden)
            returned = await self._call(obj, cls.FUNCTION, columns, hidden, self._on_block(node_id))
            return await self._merge(node_id, cls, returned)
        except NodeFailure:
            raise
        except Exception as error:
            raise NodeFailure(self._details(node_id, columns, error), error) from error

    def _call(self, obj, function, columns, hidden, on_block=None):
        return call_rows(obj, function, columns, hidden, self.async_nodes, on_block)

    async def _merge(self, node_id, cls, returned):
        results = []
        for item in returned:
            result, graph, ui = as_parts(item, len(cls.RETURN_TYPES))
            if ui is not None:
                self.caches.ui[node_id] = ui
            if graph is not None:
                self.grown.update(graph)
                self.parents.update(dict.fromkeys(graph, node_id))
                result = tuple([await self._grown_output(value) for value in result])
            results.append(() if result is None else result)
        if self.async_nodes:
            self.server.send_sync("progress_state", {"node": node_id}, self.server.client_id)
        return merged(results, cls)

    async def _grown_output(self, value):
        return (await self.outputs(value[0]))[value[1]][0] if is_link(value) else value

    def _hidden(self, node_id):
        return {
            "PROMPT": self.prompt,
            "UNIQUE_ID": node_id,
            "EXTRA_PNGINFO": self.extra_data.get("extra_pnginfo"),
        }

    def _on_block(self, node_id):
        def on_block(block):
            if block.message is None:
                return block
            said = {"node_id": node_id, "exception_message": f"Execution Blocked: {block.message}"}
            self.server.send_sync("execution_error", said, self.server.client_id)
            return ExecutionBlocker(None)

        return on_block

    def _details(self, node_id, columns, error):
        logging.error(f"!!! Exception during processing !!! {error}")
        kind = type(error)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        real_id = self.real_id(node_id)
        return {
            "prompt_id": self.prompt_id,
            "node_id": real_id,
            "node_type": self.prompt[real_id]["class_type"],
            "executed": list(self.executed),
            "exception_message": f"{error}\n",
            "exception_type": module + kind.__qualname__,
            "traceback": traceback.format_tb(error.__traceback__),
            "current_inputs": {n: [str(v) for v in c] for n, c in (columns or {}).items()},
            "current_outputs": [],
        }


class Executor:
    """What PromptExecutor is in every generation; they differ in how it is built and called."""

    async_nodes = True

    def __init__(self, server):
        self.server = server
        self.reset()

    def reset(self):
        self.caches = Caches()
        self.status_messages = []
        self.success = True

    def add_message(self, event, data, broadcast):
        data = {**data, "timestamp": int(time.time() * 1000)}
        self.status_messages.append((event, data))
        if self.server.client_id is not None or broadcast:
            self.server.send_sync(event, data, self.server.client_id)

    @torch.inference_mode()
    async def run(self, prompt, prompt_id, extra_data, execute_outputs):
        nodes.interrupt_processing(False)
        self.server.client_id = extra_data.get("client_id")
        self.status_messages = []
        self.add_message("execution_start", {"prompt_id": prompt_id}, False)
        run = Run(self.server, self.caches, prompt_id, prompt, extra_data, self.async_nodes)
        keys = [await run.keys.key(node_id) for node_id in prompt]
        self.caches.keep(keys, {(i, node["class_type"]) for i, node in prompt.items()})
        cached = [i for i, key in zip(prompt, keys, strict=True) if key in self.caches.outputs]
        said = {"nodes": cached, "prompt_id": prompt_id}
        self.add_message("execution_cached", said, False)
        try:
            for node_id in execute_outputs:
                await run.outputs(node_id)
                self.success = True
        except NodeFailure as failure:
            self.success = False
            interrupted = comfy.model_management.InterruptProcessingException
            if isinstance(failure.cause, interrupted):
                self.add_message("execution_interrupted", failure.details, True)
            else:
                self.add_message("execution_error", failure.details, False)
        else:
            self.add_message("execution_success", {"prompt_id": prompt_id}, False)
        self.history_result = {"outputs": dict(self.caches.ui), "meta": {}}
