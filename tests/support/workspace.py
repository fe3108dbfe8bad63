"""A small ComfyUI workspace in the official layout, in several generations of its interface.

All of its code is our own (``workspace_parts/layout``): the names, signatures and habits are
ComfyUI's, so that the engine's contract can be tested where no ComfyUI is. What differs from one
generation to the next is written here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

_PARTS = Path(__file__).parent / "workspace_parts"

BROKEN_PACK = "import a_package_that_is_nowhere\n"
EMPTY_PACK = "SOMETHING = 1\n"


@dataclass(frozen=True)
class Generation:
    """``execution``: that file; ``nodes``: the end of that file; ``version`` None: not written."""

    version: str | None
    execution: str
    nodes: str
    v3: bool = False
    short_names: bool = False  # a node pack is a module named as its folder
    async_nodes: bool = True


_OLD = """
from comfy_execution.caching import Changed as IsChangedCache
from comfy_execution.checking import check_prompt
from comfy_execution.at_once import at_once
from comfy_execution.run import Executor


class PromptExecutor(Executor):
    async_nodes = False

    def __init__(self, server, {arguments}):
        self.cache = {kept}
        super().__init__(server)

    def execute(self, prompt, prompt_id, extra_data={{}}, execute_outputs=()):
        at_once(self.run(prompt, prompt_id, extra_data, execute_outputs))


def validate_prompt(prompt):
    return at_once(check_prompt(prompt, None, False))
"""
_NEW = """
import asyncio

from comfy_execution.caching import ChangedAsync as IsChangedCache
from comfy_execution.checking import check_prompt
from comfy_execution.run import Executor


class PromptExecutor(Executor):
    def __init__(self, server, {arguments}):
        {keep}
        super().__init__(server)

    def execute(self, prompt, prompt_id, extra_data={{}}, execute_outputs=()):
        asyncio.run(self.execute_async(prompt, prompt_id, extra_data, execute_outputs))

    async def execute_async(self, prompt, prompt_id, extra_data={{}}, execute_outputs=()):
        {used}
        await self.run(prompt, prompt_id, extra_data, execute_outputs)


async def validate_prompt({validated}):
    return await check_prompt(prompt, {wanted}, True)
"""
_CACHE_TYPES = """
from enum import Enum


class CacheType(Enum):
    CLASSIC = 0
    LRU = 1
    {third} = 2
"""
_SIZE = {
    "arguments": "cache_type=False, cache_size=None",
    "keep": "self.cache_type, self.cache_size = cache_type, cache_size",
    "used": "assert self.cache_type is not None",
}
_RAM = {
    "arguments": "cache_type=False, cache_args=None",
    "keep": "self.cache_type, self.cache_args = cache_type, cache_args",
    "used": 'float(self.cache_args["ram"])',
}
_PARTIAL = {"validated": "prompt_id, prompt, partial_execution_list"}
_SYNC_NODES = """
from comfy_execution.at_once import at_once

def load_custom_node(module_path, ignore=frozenset(), module_parent="custom_nodes"):
    return at_once(_load_custom_node(module_path, ignore, module_parent))


def init_extra_nodes({arguments}):
    return at_once(_init_extra_nodes(init_custom_nodes))
"""
_ASYNC_NODES = """

load_custom_node = _load_custom_node
init_extra_nodes = _init_extra_nodes
"""
_TWO = "init_custom_nodes=True, init_api_nodes=True"
_DEPENDENCY = _CACHE_TYPES.format(third="DEPENDENCY_AWARE")

GENERATIONS: dict[str, Generation] = {
    "2024-08": Generation(
        None,
        _OLD.format(arguments="lru_size=None", kept="lru_size"),
        _SYNC_NODES.format(arguments="init_custom_nodes=True"),
        short_names=True,
        async_nodes=False,
    ),
    "2025-04": Generation(
        "0.3.27",
        _DEPENDENCY + _OLD.format(arguments=_SIZE["arguments"], kept="(cache_type, cache_size)"),
        _SYNC_NODES.format(arguments=_TWO),
        async_nodes=False,
    ),
    "2025-07-10": Generation(
        "0.3.44",
        _DEPENDENCY + _NEW.format(**_SIZE, validated="prompt_id, prompt", wanted="None"),
        _SYNC_NODES.format(arguments=_TWO),
    ),
    "2025-07-30": Generation(
        "0.3.47",
        _DEPENDENCY + _NEW.format(**_SIZE, **_PARTIAL, wanted="partial_execution_list"),
        _ASYNC_NODES,
    ),
    "2025-07-31": Generation(
        "0.3.48",
        _DEPENDENCY + _NEW.format(**_SIZE, **_PARTIAL, wanted="partial_execution_list"),
        _ASYNC_NODES,
        v3=True,
    ),
    "2025-10-31": Generation(
        "0.3.68",
        _CACHE_TYPES.format(third="NONE")
        + "    RAM_PRESSURE = 3\n\n"
        + _NEW.format(**_RAM, **_PARTIAL, wanted="partial_execution_list"),
        _ASYNC_NODES,
        v3=True,
    ),
}


def pack_source(name: str) -> str:
    """The text of a pack of ``workspace_parts/packs``: "probe", "probe_v3"."""
    return (_PARTS / "packs" / f"{name}.py").read_text(encoding="utf-8")


def write_workspace(folder: Path, generation: str, packs: Iterable[tuple[str, str]] = ()) -> Path:
    """Write it into ``folder``, which must not exist yet. Returns ``folder``.

    ``packs``: (name, text of its ``__init__.py``), written to custom_nodes.
    """
    made = GENERATIONS[generation]
    left_out = [] if made.v3 else ["comfy_api"]
    shutil.copytree(
        _PARTS / "layout", folder, ignore=shutil.ignore_patterns("__pycache__", *left_out)
    )
    for name in ("models/checkpoints", "input", "output", "custom_nodes"):
        (folder / name).mkdir(parents=True)
    (folder / "execution.py").write_text(made.execution, encoding="utf-8")
    with (folder / "nodes.py").open("a", encoding="utf-8") as nodes:
        nodes.write(f"{made.nodes}\nV3, SHORT_NAMES = {made.v3}, {made.short_names}\n")
    if made.version is not None:
        version = f'__version__ = "{made.version}"\n'
        (folder / "comfyui_version.py").write_text(version, encoding="utf-8")
    add_packs(folder, packs)
    return folder


def copy_real_workspace(folder: Path) -> Path:
    """A copy of the ComfyUI that COMFYUI_WORKSPACE names, without its models and node packs.

    Returns ``folder``. Skips the test where none is named.
    """
    named = os.environ.get("COMFYUI_WORKSPACE")
    if not named:
        pytest.skip("COMFYUI_WORKSPACE names no ComfyUI")
    left_out = (".git", "models", "custom_nodes", "input", "output", "temp", "user", "__pycache__")
    root = Path(named)

    def only_here(here: str, names: list[str]) -> list[str]:
        return [name for name in names if name in left_out and Path(here) == root]

    shutil.copytree(root, folder, ignore=only_here)
    for name in ("models/checkpoints", "input", "output", "custom_nodes"):
        (folder / name).mkdir(parents=True)
    return folder


def add_packs(workspace: Path, packs: Iterable[tuple[str, str]]) -> None:
    """Write node packs into a workspace, written or real."""
    for name, text in packs:
        pack = workspace / "custom_nodes" / name
        pack.mkdir(parents=True)
        (pack / "__init__.py").write_text(text, encoding="utf-8")
