"""The embedded engine runs sound: pieces through a sound part, the latest one beside a frame."""

from __future__ import annotations

import gc
import weakref
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from comfytrickle.errors import InvalidWorkflow
from comfytrickle.workflow import parse_prompt
from tests.support.engine_nodes import Base, around, frame, n
from tests.support.sound_nodes import SOUND, Give, hearing, live, piece, sound_engine
from workers.engine.live import LiveWorkflow, live_outlook, load_live
from workers.engine.protocol import Audio, LoadedWorkflow, NodeFailed, RunContext
from workers.engine.sound import BadSound, read_sound, same_sound, silence


def ear(loaded: LiveWorkflow) -> LoadedWorkflow:
    assert loaded.sound is not None
    return loaded.sound


def eye(loaded: LiveWorkflow) -> LoadedWorkflow:
    assert loaded.picture is not None
    return loaded.picture


def heard(loaded: LiveWorkflow, audio: Audio, context: RunContext | None = None) -> torch.Tensor:
    made = ear(loaded).hear(audio, context)
    assert made is not None and made["sample_rate"] == audio["sample_rate"]
    return made["waveform"]


def test_pictures_alone_are_what_they_were() -> None:
    loaded = live(around(a=n("Invert", image=["in", 0])))
    assert (loaded.sound, loaded.piece_s, loaded.makes_sound) == (None, 0.0, False)
    assert torch.equal(eye(loaded).run(frame()), 1 - frame())
    assert loaded.detail is eye(loaded).detail and "sound" not in loaded.detail


def test_a_sound_part() -> None:
    loaded = live(hearing(a=n("Louder", audio=SOUND, gain=0.5)))
    assert (loaded.picture, loaded.piece_s, loaded.makes_sound) == (None, 0.1, True)
    for seed in range(3):
        assert torch.equal(heard(loaded, piece(seed)), piece(seed)["waveform"] * 0.5)
    mono = {"waveform": torch.rand(1, 1, 441), "sample_rate": 44_100}
    assert torch.equal(heard(loaded, mono), mono["waveform"] * 0.5)  # type: ignore[arg-type]
    assert loaded.detail == {
        "sound": {
            "engine": "embedded",
            "graph": "resident",
            "live_nodes": 3,
            "constant_nodes": 0,
        }
    }
    loaded.close()
    loaded.close()


def test_both_parts_go_their_ways() -> None:
    graph = around(a=n("Invert", image=["in", 0])) | hearing(b=n("Louder", audio=SOUND, gain=2))
    loaded = live(graph)
    assert torch.equal(eye(loaded).run(frame()), 1 - frame())
    assert torch.equal(heard(loaded, piece()), piece()["waveform"] * 2)
    assert loaded.makes_sound and loaded.piece_s == 0.1
    assert loaded.detail["live_nodes"] == loaded.detail["sound"]["live_nodes"] == 3
    engine = sound_engine()
    assert live_outlook(engine, parse_prompt(graph)) == loaded.detail


def test_a_node_keeps_what_it_heard() -> None:
    loaded = live(hearing(a=n("Before", audio=SOUND)))
    assert not heard(loaded, piece(1)).any()
    assert torch.equal(heard(loaded, piece(2)), piece(1)["waveform"])
    assert torch.equal(heard(loaded, piece(3)), piece(2)["waveform"])


def test_texts_of_a_sound_part() -> None:
    graph = hearing(
        out=False,
        a=n("Level", audio=SOUND),
        t=n("SaveTextTensor", data=["a", 1]),
    )
    loaded = live(graph)
    assert not loaded.makes_sound
    context = RunContext()
    half: Audio = {"waveform": torch.full((1, 2, 9), -0.5), "sample_rate": 8_000}
    assert ear(loaded).hear(half, context) is None
    assert context.taken == {"t": {"data": "0.50 of [1, 2, 9]"}}
    with_sound = live(graph | {"save": n("SaveAudioTensor", audio=SOUND)})
    context = RunContext()
    assert torch.equal(heard(with_sound, half, context), half["waveform"])
    assert context.taken == {"t": {"data": "0.50 of [1, 2, 9]"}}


def test_the_picture_follows_the_latest_piece_and_begins_with_silence() -> None:
    graph = around(g=n("Gain", image=["in", 0], gain=["l", 0], offset=0.0))
    graph |= hearing(out=False, l=n("Level", audio=SOUND))
    loaded = live(graph)
    assert (loaded.sound, loaded.piece_s, loaded.makes_sound) == (None, 0.1, False)
    assert not eye(loaded).run(frame(), RunContext()).any()
    assert not eye(loaded).run(frame()).any()
    half: Audio = {"waveform": torch.full((1, 1, 10), 0.5), "sample_rate": 48_000}
    for _ in range(2):
        assert torch.equal(eye(loaded).run(frame(), RunContext(sound=half)), frame() * 0.5)


def test_a_picture_made_of_the_sound() -> None:
    class Draw(Base):
        INPUTS: ClassVar[dict[str, Any]] = {"required": {"audio": ("AUDIO",)}}

        def execute(self, audio: Any) -> tuple[Any]:
            return (audio["waveform"][0, :, :6].abs().reshape(1, 2, 6, 1),)

    graph = hearing(out=False, d=n("Draw", audio=SOUND))
    loaded = live(graph | {"out": n("SaveTensor", images=["d", 0])}, Draw=Draw)
    made = eye(loaded).run(frame(), RunContext(sound=piece()))
    assert torch.equal(made[0, :, :, 0], piece()["waveform"][0, :, :6].abs())


def test_nodes_of_both_parts_are_built_twice_and_constants_once() -> None:
    built: list[str] = []

    class Model(Base):
        RETURN_TYPES = ("FLOAT",)
        INPUTS: ClassVar[dict[str, Any]] = {"required": {}}

        def execute(self) -> tuple[float]:
            built.append("constant")
            return (0.5,)

    class Meter(Base):
        RETURN_TYPES = ("FLOAT", "AUDIO")
        INPUTS: ClassVar[dict[str, Any]] = {
            "required": {"audio": ("AUDIO",), "model": ("FLOAT", {})}
        }

        def __init__(self) -> None:
            built.append("live")

        def execute(self, audio: Any, model: float) -> tuple[float, Any]:
            return model, audio

    nodes = {"k": n("Model"), "m": n("Meter", audio=SOUND, model=["k", 0])}
    graph = around(g=n("Gain", image=["in", 0], gain=["m", 0])) | hearing(out=False, **nodes)
    loaded = live(graph | {"save": n("SaveAudioTensor", audio=["m", 1])}, Model=Model, Meter=Meter)
    assert sorted(built) == ["constant", "live", "live"]
    loaded.close()


def test_a_node_that_fails_is_named_and_the_next_piece_may_succeed() -> None:
    loaded = live(hearing(a=n("Louder", audio=SOUND, gain=1.0)))
    loud: Audio = {"waveform": torch.full((1, 1, 4), 2.0), "sample_rate": 48_000}
    with pytest.raises(NodeFailed) as caught:
        ear(loaded).hear(loud)
    assert (caught.value.node_id, caught.value.node_type) == ("a", "Louder")
    assert caught.value.message == "ValueError: this piece is too loud"
    assert torch.equal(heard(loaded, piece()), piece()["waveform"])


def test_errors_of_both_parts_are_told_at_once() -> None:
    graph = around(a=n("Nowhere", image=["in", 0])) | hearing(b=n("Neither", audio=SOUND))
    with pytest.raises(InvalidWorkflow) as caught:
        live(graph)
    assert [(e.type, e.node_id) for e in caught.value.errors] == [
        ("missing_node_type", "a"),
        ("missing_node_type", "b"),
    ]
    with pytest.raises(InvalidWorkflow, match="buffer_size: the input is required"):
        live({"sound": n("LoadAudioTensor"), "save": n("SaveAudioTensor", audio=SOUND)})


def test_a_sound_part_that_cannot_be_built_leaves_nothing() -> None:
    built: list[weakref.ref[Any]] = []

    class Kept(Base):
        def __init__(self) -> None:
            built.append(weakref.ref(self))

        def execute(self, image: Any) -> tuple[Any]:
            return (image,)

    class Broken(Base):
        RETURN_TYPES = ("AUDIO",)
        INPUTS: ClassVar[dict[str, Any]] = {"required": {"audio": ("AUDIO",)}}

        def __init__(self) -> None:
            raise RuntimeError("no model")

        def execute(self, audio: Any) -> tuple[Any]:
            return (audio,)

    graph = around(a=n("Kept", image=["in", 0])) | hearing(b=n("Broken", audio=SOUND))
    with pytest.raises(NodeFailed, match=r"node b \(Broken\): RuntimeError: no model"):
        load_live(sound_engine(Kept=Kept, Broken=Broken), parse_prompt(graph))
    gc.collect()
    assert [ref() for ref in built] == [None]


def test_nothing_holds_a_piece_that_has_been_run() -> None:
    loaded = live(hearing(a=n("Louder", audio=SOUND, gain=0.5)))
    audio = piece()
    reference = weakref.ref(audio["waveform"])
    made = ear(loaded).hear(audio)
    del audio
    gc.collect()
    assert reference() is None and made is not None


STEREO = torch.tensor([[0.5, -0.5, 0.25], [0.0, 1.0, -1.0]])


@pytest.mark.parametrize(
    "waveform",
    [
        STEREO[None],
        STEREO,
        torch.stack((STEREO, STEREO * 0)),
        STEREO[None].double(),
        STEREO.numpy(),
        STEREO.numpy()[None].astype(np.float64),
        np.asfortranarray(STEREO.numpy()),
        (STEREO.numpy() * 32768).clip(-32768, 32767).astype(np.int16),
        (STEREO * 32768).clip(-32768, 32767).to(torch.int16),
    ],
    ids=["3-D", "2-D", "batch", "double", "numpy", "numpy 3-D", "strides", "int16", "int16 tensor"],
)
def test_what_may_leave_as_sound(waveform: Any) -> None:
    read = read_sound({"waveform": waveform, "sample_rate": np.int64(48_000), "more": 1})
    assert read["waveform"].dtype == torch.float32 and read["waveform"].is_contiguous()
    torch.testing.assert_close(read["waveform"], STEREO[None], rtol=0, atol=1 / 32768)
    assert type(read["sample_rate"]) is int


def test_one_dimension_is_one_channel_and_no_samples_are_fine() -> None:
    line = read_sound({"waveform": STEREO[0], "sample_rate": 8_000})["waveform"]
    assert torch.equal(line, STEREO[None, :1])
    assert read_sound({"waveform": torch.zeros(0), "sample_rate": 8_000})["waveform"].shape == (
        1,
        1,
        0,
    )


GOOD = torch.zeros(1, 2, 5)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "got NoneType, not sound"),
        (GOOD, "got Tensor, not sound"),
        ({"waveform": GOOD}, "got dict, not sound"),
        ({"waveform": [0.0], "sample_rate": 8_000}, "its waveform is list, not a tensor"),
        ({"waveform": GOOD.int(), "sample_rate": 8_000}, "torch.int32, not of floats"),
        ({"waveform": np.zeros(4, np.uint8), "sample_rate": 8_000}, "uint8, not of floats"),
        ({"waveform": GOOD[None], "sample_rate": 8_000}, r"shape \[1, 1, 2, 5\]"),
        ({"waveform": torch.tensor(0.5), "sample_rate": 8_000}, r"shape \[\]"),
        ({"waveform": torch.zeros(0, 2, 5), "sample_rate": 8_000}, r"shape \[0, 2, 5\]"),
        ({"waveform": torch.zeros(1, 0, 5), "sample_rate": 8_000}, r"shape \[1, 0, 5\]"),
        ({"waveform": torch.zeros(1, 9, 5), "sample_rate": 8_000}, r"1 to 8 channels"),
        ({"waveform": GOOD, "sample_rate": 7_999}, "sample_rate is 7999, not 8000 to 192000"),
        ({"waveform": GOOD, "sample_rate": 192_001}, "sample_rate is 192001"),
        ({"waveform": GOOD, "sample_rate": 44_100.0}, "sample_rate is 44100.0, not a whole"),
        ({"waveform": GOOD, "sample_rate": None}, "sample_rate is None, not a whole"),
    ],
)
def test_what_is_no_sound_is_told_by_the_node(
    value: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadSound, match=says):
        read_sound(value)
    monkeypatch.setattr(Give, "give", value)
    with pytest.raises(NodeFailed, match=says) as caught:
        ear(live(hearing(a=n("Give", audio=SOUND)))).hear(piece())
    assert (caught.value.node_id, caught.value.node_type) == ("save", "SaveAudioTensor")


def test_sound_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class FromFile(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise FileNotFoundError("a.wav")

    monkeypatch.setattr(Give, "give", FromFile(waveform=None, sample_rate=None))
    with pytest.raises(NodeFailed, match=r"node save .*FileNotFoundError: a\.wav"):
        ear(live(hearing(a=n("Give", audio=SOUND)))).hear(piece())


def test_silence_and_the_same_sound() -> None:
    quiet = silence(0.25)
    assert quiet["sample_rate"] == 48_000 and quiet["waveform"].shape == (1, 1, 12_000)
    assert not quiet["waveform"].any() and silence(0.25) is not quiet
    assert same_sound(quiet, silence(0.25)) and not same_sound(quiet, silence(0.5))
    assert not same_sound(quiet, {**quiet, "sample_rate": 44_100})
    odd: Audio = {"waveform": torch.tensor([[[float("nan"), 1.0]]]), "sample_rate": 8_000}
    assert same_sound(odd, {**odd, "waveform": odd["waveform"].clone()})
    assert not same_sound(odd, {**odd, "waveform": torch.tensor([[[1.0, 1.0]]])})
