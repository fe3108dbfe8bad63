"""The example workflows for real models: their shape, their node types, what the table says.

No model is needed. The types and inputs are those of ComfyUI 0.3.64; test_comfyui_examples.py
compares with the ComfyUI that COMFYUI_WORKSPACE names.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from comfytrickle.workflow import parse_prompt
from workers import nodes

FOLDER = Path(__file__).parents[2] / "examples" / "workflows"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
SMALL = sorted(FOLDER.glob("*.json"))
LARGE = sorted((FOLDER / "models").glob("*.json"))

# class type -> the required inputs. ComfyUI's own nodes, without its pictures' (they are mirrored).
CORE = {
    "BasicGuider": "model conditioning",
    "BasicScheduler": "model scheduler steps denoise",
    "CLIPTextEncode": "text clip",
    "Canny": "image low_threshold high_threshold",
    "CheckpointLoaderSimple": "ckpt_name",
    "ControlNetApplyAdvanced": (
        "positive negative control_net image strength start_percent end_percent"
    ),
    "ControlNetLoader": "control_net_name",
    "DisableNoise": "",
    "ImageUpscaleWithModel": "upscale_model image",
    "KSampler": (
        "model seed steps cfg sampler_name scheduler positive negative latent_image denoise"
    ),
    "KSamplerSelect": "sampler_name",
    "LoraLoaderModelOnly": "model lora_name strength_model",
    "LotusConditioning": "",
    "ModelSamplingDiscrete": "model sampling zsnr",
    "SDTurboScheduler": "model steps denoise",
    "SamplerCustom": (
        "model add_noise noise_seed cfg positive negative sampler sigmas latent_image"
    ),
    "SamplerCustomAdvanced": "noise guider sampler sigmas latent_image",
    "SetFirstSigma": "sigmas sigma",
    "UNETLoader": "unet_name weight_dtype",
    "UpscaleModelLoader": "model_name",
    "VAEDecode": "samples vae",
    "VAEEncode": "pixels vae",
    "VAELoader": "vae_name",
}
OPTIONAL = {"ControlNetApplyAdvanced": {"vae"}}
# class type -> (the pack that has it, required inputs)
PACKED = {
    "DepthAnything_V2": ("ComfyUI-DepthAnythingV2", "da_model images"),
    "DownloadAndLoadDepthAnythingV2Model": ("ComfyUI-DepthAnythingV2", "model"),
}
MODEL_INPUTS = (
    "ckpt_name",
    "control_net_name",
    "lora_name",
    "model_name",
    "unet_name",
    "vae_name",
)


def read(path: Path) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return graph


def row(path: Path) -> str:
    """Its line in the table."""
    name = path.relative_to(FOLDER).as_posix()
    (line,) = re.findall(rf"^\| \[{re.escape(name)}\].*$", README, re.M)
    return str(line)


def test_there_are_both_kinds() -> None:
    assert len(SMALL) >= 6 and len(LARGE) >= 3
    assert {"sd_turbo", "lcm_canny_controlnet", "depth"} <= {path.stem for path in LARGE}


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_each_node_is_one_that_exists(path: Path) -> None:
    graph = read(path)
    workflow = parse_prompt(graph)
    assert workflow.converted == ()
    assert set(workflow.order) == set(graph)
    used = {link.source for link in workflow.links}
    assert used | {workflow.frame_output} == set(graph), "a node that nothing needs"
    for node in graph.values():
        assert node["_meta"]["title"]
        kind, inputs = node["class_type"], set(node["inputs"])
        if kind in nodes.NODE_CLASS_MAPPINGS:
            types = nodes.NODE_CLASS_MAPPINGS[kind].INPUT_TYPES()
            required, optional = set(types["required"]), set(types.get("optional", {}))
        else:
            known = CORE[kind] if kind in CORE else PACKED[kind][1]
            required, optional = set(known.split()), OPTIONAL.get(kind, set())
        assert required <= inputs <= required | optional, kind


@pytest.mark.parametrize("path", LARGE, ids=lambda path: path.stem)
def test_the_table_names_its_models_and_packs(path: Path) -> None:
    line = row(path)
    for node in read(path).values():
        if node["class_type"] in PACKED:
            assert PACKED[node["class_type"]][0] in line
        for name, value in node["inputs"].items():
            if name in MODEL_INPUTS:
                assert f"`{value}`" in line, value


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_the_small_ones_need_nothing_and_are_in_the_table(path: Path) -> None:
    assert row(path)
    assert {node["class_type"] for node in read(path).values()} <= set(nodes.NODE_CLASS_MAPPINGS)


def test_the_table_names_no_file_that_is_not_there() -> None:
    named = set(re.findall(r"^\| \[([\w/]+\.json)\]\(([\w/]+\.json)\)", README, re.M))
    assert {(one, other) for one, other in named if one != other} == set()
    assert {one for one, _ in named} == {
        path.relative_to(FOLDER).as_posix() for path in [*SMALL, *LARGE]
    }
