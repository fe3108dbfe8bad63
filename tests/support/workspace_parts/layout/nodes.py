"""The core nodes, and how more of them are found. The writer appends what generations differ in."""
# ruff: noqa: ASYNC240, BLE001, E402, F821

import importlib.util
import inspect
import logging
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "comfy"))

import comfy.model_management
import folder_paths
import node_pictures
from comfy.cli_args import args

NODE_CLASS_MAPPINGS = dict(node_pictures.CLASSES)
NODE_DISPLAY_NAME_MAPPINGS = {"ImageInvert": "Invert Image"}
EXTENSION_WEB_DIRS = {}
LOADED_MODULE_DIRS = {}
EXTRAS = ("nodes_mask.py", "nodes_audio.py")


def before_node_execution():
    comfy.model_management.throw_exception_if_processing_interrupted()


def interrupt_processing(value=True):
    comfy.model_management.interrupt_current_processing(value)


async def _load_custom_node(module_path, ignore=frozenset(), module_parent="custom_nodes"):
    """True when it gave nodes; what was wrong is only logged."""
    path = Path(module_path)
    file = path / "__init__.py" if path.is_dir() else path
    try:
        name = path.stem if SHORT_NAMES else str(path).replace(".", "_x_")
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        found = await _nodes_of(module)
    except Exception as error:
        logging.warning(traceback.format_exc())
        logging.warning(f"Cannot import {module_path} module for custom nodes: {error}")
        return False
    if found is None:
        logging.warning(
            f"Skip {module_path} module for custom nodes due to the lack of NODE_CLASS_MAPPINGS "
            "or NODES_LIST (need one)."
        )
        return False
    for name, node in found.items():
        if name not in ignore:
            NODE_CLASS_MAPPINGS[name] = node
            node.RELATIVE_PYTHON_MODULE = f"{module_parent}.{path.stem}"
    NODE_DISPLAY_NAME_MAPPINGS.update(getattr(module, "NODE_DISPLAY_NAME_MAPPINGS", None) or {})
    LOADED_MODULE_DIRS[path.stem] = str(file.parent)
    return True


async def _nodes_of(module):
    found = getattr(module, "NODE_CLASS_MAPPINGS", None)
    if found is not None or not V3 or not hasattr(module, "comfy_entrypoint"):
        return found
    extension = module.comfy_entrypoint()
    if inspect.isawaitable(extension):
        extension = await extension
    return {node.GET_SCHEMA().node_id: node for node in await extension.get_node_list()}


async def _loaded(path, ignore, parent):
    """By the name that everybody calls it by, so that it can be watched."""
    result = load_custom_node(path, ignore, module_parent=parent)
    return await result if inspect.isawaitable(result) else result


async def _init_extra_nodes(init_custom_nodes=True, init_api_nodes=True):
    """The extras that failed. Of custom nodes that fail, the log alone knows."""
    folder = ROOT / "comfy_extras"
    failed = [
        file
        for file in EXTRAS
        if not await _loaded(str(folder / file), frozenset(), "comfy_extras")
    ]
    if init_custom_nodes:
        await _init_external_custom_nodes()
    return failed


async def _init_external_custom_nodes():
    ignore = set(NODE_CLASS_MAPPINGS)
    times = []
    for folder in folder_paths.get_folder_paths("custom_nodes"):
        for path in sorted(Path(folder).iterdir()):
            if path.name == "__pycache__" or path.suffix == ".disabled":
                continue
            if path.is_file() and path.suffix != ".py":
                continue
            if args.disable_all_custom_nodes and path.name not in args.whitelist_custom_nodes:
                continue
            start = time.perf_counter()
            good = await _loaded(str(path), ignore, "custom_nodes")
            times.append((time.perf_counter() - start, str(path), good))
    logging.info("\nImport times for custom nodes:")
    for seconds, path, good in times:
        said = "" if good else " (IMPORT FAILED)"
        logging.info(f"{seconds:6.1f} seconds{said}: {path}")
