"""What of the comfyui engine needs no ComfyUI: finding one, calling one, reading its answers."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from comfytrickle.errors import WorkerError
from comfytrickle.messages import EngineConfig
from workers.comfyui.arguments import GPU_ONLY_BYTES, keeps_all_on_gpu, set_arguments
from workers.comfyui.calls import fitting, settle
from workers.comfyui.failures import run_failure
from workers.comfyui.imports import import_part
from workers.comfyui.memory import guard_model_memory
from workers.comfyui.quiet_server import build_quiet_server
from workers.comfyui.stream_nodes import Passage, StreamNodes, is_bound
from workers.comfyui.turns import same
from workers.comfyui.workspace import enter_workspace, find_workspace
from workers.engine.factory import build_engine

FILES = ("folder_paths.py", "nodes.py", "execution.py", "server.py")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_text("")
    (tmp_path / "comfy").mkdir()
    return tmp_path


def test_a_checkout_without_a_version(checkout: Path) -> None:
    found = find_workspace(str(checkout))
    assert (found.root, found.version) == (checkout.resolve(), None)


def test_versions(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[project]\nname = "ComfyUI"\nversion = "0.3.10"\n')
    assert find_workspace(str(checkout)).version == "0.3.10"
    (checkout / "comfyui_version.py").write_text('# made\n__version__ = "0.3.64"\n')
    assert find_workspace(str(checkout)).version == "0.3.64"


@pytest.mark.parametrize("missing", [*FILES, "comfy"])
def test_what_is_missing_is_named(checkout: Path, missing: str) -> None:
    path = checkout / missing
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    with pytest.raises(WorkerError, match=rf"no ComfyUI \(official layout\): it has no {missing}$"):
        find_workspace(str(checkout))


def test_the_fork_has_another_layout(tmp_path: Path) -> None:
    (tmp_path / "comfy" / "cmd").mkdir(parents=True)
    (tmp_path / "comfy" / "cmd" / "execution.py").write_text("")
    with pytest.raises(WorkerError, match=r"it has no folder_paths.py, .* pip-installable fork"):
        find_workspace(str(tmp_path))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="there is no such folder"):
        find_workspace(str(tmp_path / "nowhere"))


def test_a_name_that_is_taken(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("utils")
    other.__file__ = "/somewhere/utils.py"
    monkeypatch.setitem(sys.modules, "utils", other)
    before = list(sys.path)
    with pytest.raises(WorkerError, match=r"module 'utils' is imported already, from /somewhere"):
        enter_workspace(find_workspace(str(checkout)))
    assert sys.path == before


def test_the_same_comfyui_twice(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ModuleType("nodes")
    own.__file__ = str(checkout / "nodes.py")
    monkeypatch.setitem(sys.modules, "nodes", own)
    with pytest.raises(WorkerError, match="in this process already"):
        enter_workspace(find_workspace(str(checkout)))


def test_an_import_that_fails_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_part_of_it.py").write_text("import something_that_is_nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorkerError) as caught:
        import_part("a_part_of_it", tmp_path)
    said = str(caught.value)
    assert "module a_part_of_it (it needs 'something_that_is_nowhere')" in said
    assert f"pip install -r {tmp_path / 'requirements.txt'}" in said


def test_the_comfyui_engine_needs_a_workspace() -> None:
    with pytest.raises(WorkerError, match="--workspace"):
        build_engine(EngineConfig(kind="comfyui"))


def arguments(config: EngineConfig, root: Path) -> tuple[Any, str]:
    args = SimpleNamespace(cpu=False, gpu_only=False, front_end_root=None)
    cli_args = ModuleType("cli_args")
    vars(cli_args)["args"] = args
    return args, set_arguments(cli_args, config, root)


def test_arguments_on_the_cpu(tmp_path: Path) -> None:
    args, memory = arguments(EngineConfig(device="cpu"), tmp_path)
    assert (args.cpu, args.gpu_only, args.front_end_root) == (True, False, str(tmp_path))
    assert memory == "on the CPU"


@pytest.mark.parametrize(
    ("device", "said"),
    [("nonsense", "no torch device"), ("mps", "on cpu or cuda only")]
    + ([] if torch.cuda.is_available() else [("cuda:0", "sees no CUDA")]),
)
def test_devices_that_cannot_be_used(tmp_path: Path, device: str, said: str) -> None:
    with pytest.raises(WorkerError, match=said):
        arguments(EngineConfig(device=device), tmp_path)


def test_where_all_stays_on_the_gpu() -> None:
    assert keeps_all_on_gpu(GPU_ONLY_BYTES) and not keeps_all_on_gpu(GPU_ONLY_BYTES - 1)


def test_arguments_by_name() -> None:
    def old(prompt: Any) -> None: ...
    def new(prompt_id: Any, prompt: Any, partial: Any) -> None: ...
    def newer(prompt: Any, *rest: Any, mode: int = 1, **more: Any) -> None: ...
    def unknown(prompt: Any, tenant: Any) -> None: ...

    offered = {"prompt_id": "x", "prompt": {}, "partial": None}
    assert fitting(old, offered) == {"prompt": {}}
    assert fitting(new, offered) == offered
    assert fitting(newer, offered) == {"prompt": {}}
    with pytest.raises(WorkerError, match="unknown wants tenant"):
        fitting(unknown, offered)


def test_results_now_or_later() -> None:
    async def later() -> int:
        await asyncio.sleep(0)
        return 2

    loop = asyncio.new_event_loop()
    assert (settle(1, loop), settle(later(), loop)) == (1, 2)
    loop.close()


@pytest.fixture
def names() -> StreamNodes:
    return StreamNodes({}, Passage())


def error_of(names: StreamNodes, **told: Any) -> dict[str, Any]:
    data = {
        "node_id": "7",
        "node_type": names.name("LoadTensor"),
        "exception_type": "torch.OutOfMemoryError",
        "exception_message": "Tried to allocate 3.00 GiB.\nThis error means you ran out of memory "
        "on your GPU.\n\nTIPS: If the workflow worked before ...",
        "traceback": ["  File 1\n", "  File 2\n"],
        "current_inputs": {"image": ["tensor([[0.1, 0.2]])"]},
    }
    return {**data, **told}


def test_an_allocation_on_the_device_failed(names: StreamNodes) -> None:
    failure = run_failure([("execution_start", {}), ("execution_error", error_of(names))], names)
    assert failure is not None and failure.out_of_memory
    assert (failure.node_id, failure.node_type) == ("7", "LoadTensor")
    assert failure.message == "OutOfMemoryError: Tried to allocate 3.00 GiB."
    assert failure.traceback == "  File 1\n  File 2\n"
    assert "tensor" not in str(failure)


def test_an_allocation_of_the_machine_failed(names: StreamNodes) -> None:
    told = {
        "exception_type": "RuntimeError",
        "exception_message": "DefaultCPUAllocator: can't allocate memory: you tried to ...",
    }
    failure = run_failure([("execution_error", error_of(names, **told))], names)
    assert failure is not None and failure.out_of_memory
    assert "(out of memory: " in failure.message and failure.message.endswith(")")


def test_other_ends_of_a_run(names: StreamNodes) -> None:
    told = {"exception_type": "ValueError", "exception_message": "x" * 5000}
    failure = run_failure([("execution_error", error_of(names, **told))], names)
    assert failure is not None and not failure.out_of_memory and len(failure.message) < 1100
    interrupted = {"node_id": "3", "node_type": "KSampler", "executed": []}
    failure = run_failure([("execution_interrupted", interrupted)], names)
    assert failure is not None
    assert (failure.node_id, failure.node_type, failure.message) == ("3", "KSampler", "interrupted")
    assert run_failure([("execution_success", {})], names) is None


def test_bound_classes_of_two_workflows() -> None:
    mappings: dict[str, Any] = {"LoadTensor": object}
    one, two = Passage(), Passage()
    first, second = StreamNodes(mappings, one), StreamNodes(mappings, two)
    assert first.name("LoadTensor") != second.name("LoadTensor") != "LoadTensor"
    assert first.name("ImageInvert") == "ImageInvert"
    assert first.original(first.name("SaveTensor")) == "SaveTensor"
    one.frame, two.frame = torch.zeros(1), torch.ones(1)
    for names, frame in ((first, one.frame), (second, two.frame)):
        cls = mappings[names.name("LoadTensor")]
        assert is_bound(cls) and cls().execute()[0] is frame
    first.close()
    assert all(not is_bound(cls) or second.original(name) != name for name, cls in mappings.items())
    third = StreamNodes(mappings, Passage())  # the names are used again
    assert third.name("LoadTensor") == "LoadTensor:1"
    second.close()
    third.close()
    assert mappings == {"LoadTensor": object}


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        (torch.tensor([1.0, math.nan]), True),
        (torch.tensor([1.0, 2.0]), False),
        (torch.tensor([math.nan, 1.0]), False),
        (torch.tensor([1.0]), False),
        (torch.tensor([1.0, math.nan], dtype=torch.float64), False),
    ],
)
def test_equal_pictures(other: torch.Tensor, *, equal: bool) -> None:
    assert same(torch.tensor([1.0, math.nan]), other) is equal


def test_a_server_that_says_nothing() -> None:
    class PromptServer:
        def __init__(self, loop: Any) -> None:
            self.loop = loop
            self.client_id = "kept"

        def send_sync(self, *args: Any) -> None:
            raise AssertionError("it speaks")

    module = ModuleType("server")
    vars(module)["PromptServer"] = PromptServer
    loop = asyncio.new_event_loop()
    server = build_quiet_server(module, loop)
    loop.close()
    assert server.send_sync("executing", {}) is None and server.queue_updated() is None
    assert (server.client_id, server.last_node_id) == ("kept", None)


def test_models_are_changed_by_one_thread_at_a_time() -> None:
    module = ModuleType("model_management")
    entered = threading.Event()
    seen: list[object] = []

    def load_models_gpu(models: list[str]) -> None:
        thread.start()
        seen.append(entered.wait(0.1))  # the other thread has to wait
        vars(module)["cleanup_models"]()  # guarded as well: this one must not

    def free_memory(wanted: int) -> None:
        entered.set()
        seen.append(wanted)

    vars(module).update(
        load_models_gpu=load_models_gpu,
        free_memory=free_memory,
        cleanup_models=lambda: seen.append("cleaned"),
    )
    guard_model_memory(module)
    thread = threading.Thread(target=vars(module)["free_memory"], args=(1,))
    vars(module)["load_models_gpu"](["unet"])
    thread.join()
    assert seen == [False, "cleaned", 1]
