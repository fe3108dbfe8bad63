"""One prompt, by recursion from its outputs. Nothing is raised: see ``success``."""

import logging
import time
import traceback

import comfy.model_management
import nodes
import torch
from comfy_execution.caching import Cache, CacheAsync, CacheSet, Changed, ChangedAsync
from comfy_execution.calling import as_parts, call_rows, merged
from comfy_execution.graph import DynamicPrompt
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
        self.prompt, self.dynprompt = prompt, DynamicPrompt(prompt)
        self.extra_data, self.async_nodes = extra_data, async_nodes
        self.executed = []

    async def begin(self):
        outputs = self.caches.outputs
        if self.async_nodes:
            changed = ChangedAsync(self.prompt_id, self.dynprompt, outputs)
        else:
            changed = Changed(self.dynprompt, outputs)
        for cache in self.caches.all:
            result = cache.set_prompt(self.dynprompt, list(self.prompt), changed)
            if result is not None:
                await result
            cache.clean_unused()
        return [node_id for node_id in self.prompt if outputs.get(node_id) is not None]

    async def outputs(self, node_id):
        found = self.caches.outputs.get(node_id)
        if found is None:
            found = await self._produce(node_id)
            self.caches.outputs.set(node_id, found)
            self.executed.append(node_id)
        return found

    async def _produce(self, node_id):
        for cache in self.caches.all:
            await cache.know(node_id)
        node = self.dynprompt.get_node(node_id)
        cls = nodes.NODE_CLASS_MAPPINGS[node["class_type"]]
        for name, value in node["inputs"].items():
            if is_link(value) and not is_lazy(cls, name):
                await self.outputs(value[0])
        columns = None
        try:
            obj = self.caches.objects.get(node_id)
            if obj is None:
                obj = cls()
                self.caches.objects.set(node_id, obj)
            hidden = self._hidden(node_id)
            columns, missing = gather(node, cls, self.caches.outputs, hidden)
            while has_own(cls, "check_lazy_status"):
                wanted = await self._call(obj, "check_lazy_status", columns, hidden)
                names = {n for listed in wanted if listed for n in listed} & missing
                if not names:
                    break
                for name in names:
                    await self.outputs(node["inputs"][name][0])
                columns, missing = gather(node, cls, self.caches.outputs, hidden)
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
                self.caches.ui.set(node_id, ui)
            if graph is not None:
                for grown_id, grown in graph.items():
                    self.dynprompt.add_ephemeral_node(grown_id, grown, node_id, node_id)
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
        real_id = self.dynprompt.get_real_node_id(node_id)
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
        self.caches = CacheSet(CacheAsync if self.async_nodes else Cache)
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
        said = {"nodes": await run.begin(), "prompt_id": prompt_id}
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
        ui = self.caches.ui
        shown = {node_id: ui.get(node_id) for node_id in ui.all_node_ids() if ui.get(node_id)}
        self.history_result = {"outputs": shown, "meta": {}}
