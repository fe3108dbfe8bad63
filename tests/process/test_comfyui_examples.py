"""The example workflows on the ComfyUI that COMFYUI_WORKSPACE names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from comfytrickle.messages import EngineConfig
from comfytrickle.workflow import parse_prompt
from tests.support import comfyui_engine_child as engine
from tests.support import comfyui_sound_child as sound
from tests.support.comfyui_lab import Child, open_lab
from tests.support.workspace import copy_real_workspace
from tests.unit.test_example_workflows import (
    CORE,
    LARGE,
    MODEL_INPUTS,
    OPTIONAL,
    PACKED,
    SMALL,
    read,
)
from workers.engine.embedded import EmbeddedEngine
from workers.engine.live import load_live


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    folder = copy_real_workspace(tmp_path_factory.mktemp("examples") / "ComfyUI")
    with open_lab() as lab, lab.open() as opened:
        opened.ask(engine.boot, str(folder))
        yield opened


def lacking(child: Child, path: Path) -> set[str]:
    """Node types that this version does not have."""
    return {node["class_type"] for node in read(path).values()} - child.ask(engine.catalogue).keys()


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_both_engines_give_the_same(child: Child, path: Path) -> None:
    if missing := lacking(child, path):
        pytest.skip(f"this ComfyUI has no {', '.join(sorted(missing))}")
    frame = np.random.default_rng(5).random((1, 48, 64, 3), dtype=np.float32)
    child.ask(engine.load, "one", read(path))
    for _ in range(2):
        theirs = child.ask(engine.frame, "one", frame)
    detail = child.ask(engine.detail, "one")
    child.ask(engine.close, "one")
    assert (detail["graph"], detail["checked"]) == ("resident", True)
    embedded = EmbeddedEngine(EngineConfig())
    loaded = embedded.load(parse_prompt(read(path)))
    ours = loaded.run(torch.from_numpy(frame)).numpy()
    loaded.close()
    embedded.close()
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", [path for path in SMALL if "LoadAudioTensor" in path.read_text()],
                         ids=lambda path: path.stem)  # fmt: skip
def test_both_engines_make_the_same_sound(child: Child, path: Path) -> None:
    if missing := lacking(child, path):
        pytest.skip(f"this ComfyUI has no {', '.join(sorted(missing))}")
    samples = np.random.default_rng(6).random((1, 2, 4800), dtype=np.float32)
    child.ask(sound.load, read(path))
    theirs = [child.ask(sound.hear, samples)[0] for _ in range(2)]
    detail = child.ask(sound.detail)["sound"]
    child.ask(sound.close)
    assert (detail["graph"], detail["checked"]) == ("resident", True)
    embedded = EmbeddedEngine(EngineConfig())
    loaded = load_live(embedded, parse_prompt(read(path)))
    assert loaded.sound is not None
    ours = loaded.sound.hear({"waveform": torch.from_numpy(samples), "sample_rate": sound.RATE})
    loaded.close()
    embedded.close()
    assert ours is not None
    for each in theirs:
        np.testing.assert_allclose(each, ours["waveform"].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_only_models_and_packs_are_missing(child: Child, path: Path) -> None:
    missing = lacking(child, path)
    if unknown := missing - PACKED.keys():
        pytest.skip(f"this ComfyUI has no {', '.join(sorted(unknown))}")
    for kind, node_id, name, message in child.ask(engine.check, read(path)):
        node_type = read(path)[str(node_id)]["class_type"]
        if node_type in missing:
            assert kind == "missing_node_type"
        else:
            assert (kind, name in MODEL_INPUTS) == ("value_not_in_list", True), message


def test_what_the_unit_test_believes_of_core_nodes(child: Child) -> None:
    info = child.ask(engine.catalogue)
    for kind in CORE.keys() & info.keys():
        declared = info[kind]["input"]
        assert set(declared.get("required", {})) == set(CORE[kind].split()), kind
        assert OPTIONAL.get(kind, set()) <= set(declared.get("optional", {})), kind
