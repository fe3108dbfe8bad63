"""ComfyUI's own executor, one run after the other, with nothing left behind in it.

It never raises: what went wrong stands in its messages. It keeps the last results of every node for
the next run; here that next run has another frame, so they are dropped.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from comfytrickle.errors import WorkerError
from workers.comfyui.boot import ComfyUI
from workers.comfyui.calls import fitting
from workers.comfyui.failures import exit_failure, run_failure
from workers.comfyui.stream_nodes import StreamNodes

Prompt = Mapping[str, Mapping[str, Any]]


class Executor:
    """A PromptExecutor. Used by one thread at a time."""

    def __init__(self, comfyui: ComfyUI, names: StreamNodes) -> None:
        execution = comfyui.execution
        self._names = names
        self._dynamic_prompt = comfyui.graph.DynamicPrompt
        self._is_changed_cache = execution.IsChangedCache
        self._loop = asyncio.new_event_loop()
        self._id = uuid.uuid4().hex
        caches = {"cache_args": {"lru": 0, "ram": 0.0}}  # "ram" is read whatever the cache is
        self._executor = execution.PromptExecutor(
            **fitting(execution.PromptExecutor, {"server": comfyui.server, **caches})
        )
        self._execute = getattr(self._executor, "execute_async", self._executor.execute)

    def run(self, prompt: Prompt, outputs: Sequence[str], keep: Sequence[str] = ()) -> None:
        """Run the nodes that ``outputs`` (ids of output nodes) depend on. Raises NodeFailed.

        The results of the nodes ``keep`` (with all that these depend on) stay for the next run,
        those of all others are dropped.
        """
        executor = self._executor
        try:
            executor.success = True  # some errors are told in the messages alone
            # It writes into the nodes' dicts; a dict that it knows is never run again.
            self._settle(self._execute(_fresh(prompt), self._id, {}, list(outputs)))
            failure = run_failure(executor.status_messages, self._names)
            if failure is None and not executor.success:
                raise WorkerError("ComfyUI's executor failed without a reason")
        except SystemExit as error:  # of a node: the one that it lets through
            failure = exit_failure(error, self._names)
        finally:
            self._forget(prompt, keep)
        if failure is not None:
            # What was computed for it hangs in a cycle of the exception and its frames.
            gc.collect()
            raise failure

    def close(self) -> None:
        """Drop all results and all instances of nodes. Idempotent."""
        if not self._loop.is_closed():
            self._executor.reset()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _forget(self, prompt: Prompt, keep: Sequence[str]) -> None:
        executor = self._executor
        executor.status_messages = []
        executor.history_result = {}
        # A cache drops what belongs to none of the nodes that it was told of last.
        kept = self._dynamic_prompt(_fresh({node_id: prompt[node_id] for node_id in keep}))
        outputs = executor.caches.outputs
        offered = {"prompt_id": self._id, "dynprompt": kept, "outputs_cache": outputs}
        unchanged = self._is_changed_cache(**fitting(self._is_changed_cache, offered))
        for cache in (outputs, executor.caches.ui):
            self._settle(cache.set_prompt(kept, list(keep), unchanged))
            cache.clean_unused()

    def _settle(self, result: Any) -> None:
        if inspect.isawaitable(result):
            self._loop.run_until_complete(result)


def _fresh(prompt: Prompt) -> dict[str, dict[str, Any]]:
    return {node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in prompt.items()}
