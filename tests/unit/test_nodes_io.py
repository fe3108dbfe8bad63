"""The stream's own nodes, and Canny's way to kornia."""

from __future__ import annotations

import importlib
import types
from typing import Any

import pytest
import torch

from workers.nodes.io import (
    LoadAudioTensor,
    LoadTensor,
    OutsideStream,
    SaveAudioTensor,
    SaveTensor,
    SaveTextTensor,
    text_to_save,
)
from workers.nodes.kornia_nodes import Canny

STREAM = [LoadTensor, SaveTensor, LoadAudioTensor, SaveAudioTensor, SaveTextTensor]


@pytest.mark.parametrize("cls", STREAM)
def test_outside_a_stream_they_say_so(cls: Any) -> None:
    inputs = dict.fromkeys(cls.INPUT_TYPES()["required"])
    with pytest.raises(OutsideStream, match=f"{cls.__name__} works only inside a running stream"):
        getattr(cls(), cls.FUNCTION)(**inputs)


@pytest.mark.parametrize("cls", STREAM)
def test_they_are_never_the_same_twice(cls: Any) -> None:
    values = [cls.IS_CHANGED(), cls.IS_CHANGED(timeout_seconds=1.0), cls.IS_CHANGED(anything=None)]
    assert len(set(values)) == 3


def test_inputs_and_outputs() -> None:
    assert LoadTensor.INPUT_TYPES()["required"] == {}
    assert LoadTensor.INPUT_TYPES()["optional"]["timeout_seconds"][1]["default"] == 3.0
    assert LoadTensor.RETURN_TYPES == ("IMAGE",)
    assert SaveTensor.INPUT_TYPES() == {"required": {"images": ("IMAGE",)}}
    assert LoadAudioTensor.RETURN_TYPES == ("AUDIO",)
    assert SaveTextTensor.INPUT_TYPES()["required"] == {"data": ("STRING",)}
    for cls in (SaveTensor, SaveAudioTensor, SaveTextTensor):
        assert cls.OUTPUT_NODE is True and cls.RETURN_TYPES == ()


def test_audio_buffer_size() -> None:
    options = LoadAudioTensor.INPUT_TYPES()["required"]["buffer_size"][1]
    assert (options["default"], options["min"], options["max"]) == (500.0, 10.0, 60_000.0)


def test_text_to_save() -> None:
    assert text_to_save("a\r\nb\nc") == "abc"
    assert text_to_save("a\nb", remove_linebreaks=False) == "a\nb"


def canny_of_a_known_picture(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """kornia.filters with a canny that notes its arguments: tests need no kornia for the rest."""
    calls: list[Any] = []

    def canny(planes: torch.Tensor, low: float, high: float) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append((planes.shape, low, high))
        return planes, (planes[:, :1] > 0.5).to(planes.dtype)

    real = importlib.import_module
    filters = types.SimpleNamespace(canny=canny)
    monkeypatch.setattr(
        importlib, "import_module", lambda n: filters if n == "kornia.filters" else real(n)
    )
    return calls


def test_canny_gives_kornia_planes_and_makes_a_picture_of_the_edges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = canny_of_a_known_picture(monkeypatch)
    image = torch.zeros(1, 4, 6, 4)
    image[0, 1, 2] = 1.0
    (out,) = Canny().execute(image, 0.1, 0.2)
    assert calls == [(torch.Size([1, 3, 4, 6]), 0.1, 0.2)]
    assert out.shape == (1, 4, 6, 3)
    assert out[0, 1, 2].tolist() == [1.0, 1.0, 1.0] and out.sum() == 3.0
    with pytest.raises(ValueError, match=r"low_threshold \(0.5\)"):
        Canny().execute(image, 0.5, 0.2)


def test_canny_finds_an_edge() -> None:
    pytest.importorskip("kornia")
    image = torch.zeros(1, 16, 16, 3)
    image[:, :, 8:] = 1.0
    (out,) = Canny().execute(image, 0.1, 0.2)
    columns = out[0, 4:12, :, 0].sum(0).nonzero().flatten().tolist()
    assert columns and set(columns) <= {7, 8}
