"""The node pack as a whole: what is in it, the V1 contract, and what holds for every node."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

from workers import nodes
from workers.nodes import kornia_nodes

EXPECTED = [
    "ImageInvert",
    "ImageScale",
    "ImageScaleBy",
    "ImageScaleToTotalPixels",
    "ImageBlur",
    "ImageSharpen",
    "ImageBlend",
    "ImageQuantize",
    "ImageCrop",
    "ImageFlip",
    "ImageRotate",
    "ImageBatch",
    "ImageFromBatch",
    "RepeatImageBatch",
    "EmptyImage",
    "ImageStitch",
    "ImageAddNoise",
    "GetImageSize",
    "ImageCompositeMasked",
    "SolidMask",
    "InvertMask",
    "ThresholdMask",
    "MaskToImage",
    "ImageToMask",
    "ImageColorToMask",
    "CropMask",
    "MaskComposite",
    "FeatherMask",
    "GrowMask",
    "SplitImageWithAlpha",
    "JoinImageWithAlpha",
    "Morphology",
    "PrimitiveInt",
    "PrimitiveFloat",
    "PrimitiveBoolean",
    "PrimitiveString",
    "AudioAdjustVolume",
    "AudioMerge",
    "SplitAudioChannels",
    "JoinAudioChannels",
    "EmptyAudio",
    "LoadTensor",
    "SaveTensor",
    "LoadAudioTensor",
    "SaveAudioTensor",
    "SaveTextTensor",
]
CLASSES = nodes.NODE_CLASS_MAPPINGS
STREAM_NODES = {name for name in EXPECTED if name.endswith("Tensor")}
TYPES = {"IMAGE", "MASK", "INT", "FLOAT", "BOOLEAN", "STRING", "AUDIO"}


def test_the_pack_is_complete() -> None:
    extras = set() if nodes.missing_extras() else {"Canny"}
    assert set(CLASSES) == set(EXPECTED) | extras
    assert set(nodes.NODE_DISPLAY_NAME_MAPPINGS) <= set(CLASSES)


def test_without_kornia_it_says_what_is_missing_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kornia_nodes, "find_spec", lambda name: None)
    missing = nodes.missing_extras()
    assert set(missing) == {"Canny"}
    assert "comfytrickle[kornia]" in missing["Canny"]
    monkeypatch.setattr(kornia_nodes, "find_spec", lambda name: object())
    assert nodes.missing_extras() == {}


@pytest.mark.parametrize("class_type", EXPECTED)
def test_v1_contract(class_type: str) -> None:
    cls: Any = CLASSES[class_type]
    types = cls.INPUT_TYPES()
    assert set(types) <= {"required", "optional"} and "required" in types
    names: set[str] = set()
    for section in types.values():
        for name, declared in section.items():
            names.add(name)
            kind, options = declared[0], declared[1] if len(declared) > 1 else {}
            if isinstance(kind, list):
                assert kind and all(isinstance(option, str) for option in kind)
                assert options.get("default", kind[0]) in kind
            else:
                assert kind in TYPES
                if "default" in options and "min" in options:
                    assert options["min"] <= options["default"] <= options["max"]
    assert types == cls.INPUT_TYPES() and types is not cls.INPUT_TYPES()
    assert isinstance(cls.CATEGORY, str)
    assert set(cls.RETURN_TYPES) <= TYPES
    assert len(getattr(cls, "RETURN_NAMES", cls.RETURN_TYPES)) == len(cls.RETURN_TYPES)
    assert getattr(cls, "OUTPUT_NODE", False) is class_type.startswith("Save")
    function = inspect.signature(getattr(cls, cls.FUNCTION))
    if class_type not in STREAM_NODES:
        assert set(function.parameters) - {"self"} == names
        assert not hasattr(cls, "IS_CHANGED")


def sample(class_type: str) -> dict[str, Any]:
    """Inputs for one call: pictures of different sizes, everything else its default."""
    generator = torch.Generator().manual_seed(7)
    # What each node could not work with by default, or where the default would do nothing.
    special: dict[str, dict[str, Any]] = {
        "ImageQuantize": {"dither": "bayer-4", "colors": 5},
        "ImageStitch": {"spacing_width": 2, "spacing_color": "red"},
        "ImageRotate": {"rotation": "90 degrees"},
        "ImageBlend": {"blend_mode": "soft_light"},
        "FeatherMask": {"left": 3, "top": 2, "right": 3, "bottom": 2},
        "GrowMask": {"expand": 2},
        "ImageCompositeMasked": {"x": 5, "y": 3},
        "MaskComposite": {"x": 5, "y": 3, "operation": "xor"},
        "EmptyImage": {"width": 6, "height": 4},
        "SolidMask": {"width": 6, "height": 4},
        "PrimitiveInt": {"value": 3},
        "PrimitiveFloat": {"value": 0.5},
        "PrimitiveBoolean": {"value": True},
        "PrimitiveString": {"value": "text"},
    }
    inputs: dict[str, Any] = {}
    types = CLASSES[class_type].INPUT_TYPES()  # type: ignore[attr-defined]
    for index, (name, declared) in enumerate(
        (types["required"] | types.get("optional", {})).items()
    ):
        kind, options = declared[0], declared[1] if len(declared) > 1 else {}
        height, width = 24 + 5 * index, 32 - 3 * index
        if kind == "IMAGE":
            inputs[name] = torch.rand((1, height, width, 3), generator=generator)
        elif kind == "MASK":
            inputs[name] = torch.rand((1, height, width), generator=generator)
        elif kind == "AUDIO":
            channels = 1 if class_type == "JoinAudioChannels" else 2
            waveform = torch.rand((1, channels, 200 + 50 * index), generator=generator) * 2 - 1
            inputs[name] = {"waveform": waveform, "sample_rate": 48_000 - 3_900 * index}
        elif isinstance(kind, list):
            inputs[name] = options.get("default", kind[0])
        elif "default" in options:
            inputs[name] = options["default"]
    return inputs | special.get(class_type, {})


def tensor_of(value: Any) -> Any:
    """A picture, the waveform of sound, or None."""
    value = value.get("waveform") if isinstance(value, dict) else value
    return value if isinstance(value, torch.Tensor) else None


@pytest.mark.parametrize("class_type", [n for n in EXPECTED if n not in STREAM_NODES])
def test_inputs_are_left_alone_and_the_second_frame_is_like_the_first(class_type: str) -> None:
    cls: Any = CLASSES[class_type]
    node = cls()
    inputs = sample(class_type)
    kept = {k: tensor_of(v).clone() for k, v in inputs.items() if tensor_of(v) is not None}
    with torch.inference_mode():
        first = getattr(node, cls.FUNCTION)(**inputs)
        copies = [v if tensor_of(v) is None else tensor_of(v).clone() for v in first]
        second = getattr(node, cls.FUNCTION)(**inputs)
    assert isinstance(first, tuple) and len(first) == len(cls.RETURN_TYPES)
    for name, before in kept.items():
        assert torch.equal(tensor_of(inputs[name]), before), f"{class_type} wrote into {name}"
    for kind, was, now in zip(cls.RETURN_TYPES, copies, second, strict=True):
        if kind in ("IMAGE", "MASK"):
            assert was.dtype == torch.float32
            assert was.ndim == (4 if kind == "IMAGE" else 3)
            assert torch.equal(was, now)
        elif kind == "AUDIO":
            assert (was.dtype, was.ndim) == (torch.float32, 3)
            assert torch.equal(was, now["waveform"]) and now["sample_rate"] in (44_100, 48_000)
        else:
            assert was == now


ONE_TO_ONE = [
    name
    for name in EXPECTED
    if name.startswith(("Image", "Morphology"))
    and next(iter(CLASSES[name].INPUT_TYPES()["required"])) == "image"  # type: ignore[attr-defined]
    and CLASSES[name].RETURN_TYPES == ("IMAGE",)  # type: ignore[attr-defined]
    and name not in ("ImageFromBatch", "ImageAddNoise")  # whose frames differ on purpose
]


@pytest.mark.parametrize("class_type", ONE_TO_ONE)
def test_a_batch_is_what_its_frames_are_one_by_one(class_type: str) -> None:
    cls: Any = CLASSES[class_type]
    inputs = sample(class_type)
    batch = torch.rand((3, 20, 24, 3), generator=torch.Generator().manual_seed(3))
    together = getattr(cls(), cls.FUNCTION)(**(inputs | {"image": batch}))[0]
    for i in range(3):
        alone = getattr(cls(), cls.FUNCTION)(**(inputs | {"image": batch[i : i + 1]}))[0]
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("class_type", ["ImageBlur", "ImageCrop", "ImageFlip", "ImageQuantize"])
def test_what_is_no_picture_is_refused_by_name(class_type: str) -> None:
    cls: Any = CLASSES[class_type]
    inputs = sample(class_type) | {"image": torch.rand(4, 4, 3)}
    with pytest.raises(ValueError, match=r"image must be \[batch, height, width, channels\]"):
        getattr(cls(), cls.FUNCTION)(**inputs)


@pytest.mark.parametrize("class_type", EXPECTED)
def test_an_unknown_option_is_refused_with_the_known_ones(class_type: str) -> None:
    """It can come over a link, where nothing has checked it."""
    cls: Any = CLASSES[class_type]
    choices = {
        name: declared[0]
        for name, declared in cls.INPUT_TYPES()["required"].items()
        if isinstance(declared[0], list)
    }
    for name, known in choices.items():
        with pytest.raises(ValueError, match=f"{name} is 'sideways'") as caught:
            getattr(cls(), cls.FUNCTION)(**(sample(class_type) | {name: "sideways"}))
        assert all(option in str(caught.value) for option in known)
