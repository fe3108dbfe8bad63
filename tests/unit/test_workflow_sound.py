"""Workflows with sound: which ones there may be, what is wrong with the others, and their parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfytrickle.errors import InvalidWorkflow, NodeError
from comfytrickle.workflow.parse import InvalidShape, parse_prompt
from comfytrickle.workflow.part import part_of
from comfytrickle.workflow.sound import piece_s
from workers.engine.refusals import besides


def n(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


PICTURES = {"in": n("LoadTensor"), "out": n("SaveTensor", images=["in", 0])}
EAR = {"ear": n("LoadAudioTensor", buffer_size=500.0)}
MOUTH = {"mouth": n("SaveAudioTensor", audio=["ear", 0])}


def errors(graph: dict[str, Any]) -> list[NodeError]:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_prompt(graph)
    return caught.value.errors


def told(graph: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(error.type, error.node_id) for error in errors(graph)]


@pytest.mark.parametrize(
    "graph",
    [
        EAR | MOUTH,
        EAR | {"t": n("SaveTextTensor", data=["ear", 0])},
        EAR | {"p": n("Spectrum", audio=["ear", 0]), "out": n("SaveTensor", images=["p", 0])},
        PICTURES | EAR | MOUTH,
        PICTURES | EAR,  # the sound that nobody uses does no harm
        EAR | {"twice": n("LoadAudioTensor", buffer_size="500")} | MOUTH,
        EAR | MOUTH | {"file": n("LoadImage", image="a.png")},
    ],
    ids=["sound", "text", "picture", "both", "unused", "two", "file"],
)
def test_these_are_fine(graph: dict[str, Any]) -> None:
    workflow = parse_prompt(graph)
    assert workflow.reads_sound and workflow.converted == ()
    assert list(workflow.to_api()) == list(graph)
    assert workflow.sound_output == ("mouth" if "mouth" in graph else None)
    assert workflow.frame_input == ("in" if "in" in graph else None)
    assert workflow.frame_output == ("out" if "out" in graph else None)
    assert piece_s(workflow.nodes.values()) == 0.5
    assert parse_prompt(json.dumps(workflow.to_api())) == workflow


def test_without_sound_there_is_no_piece() -> None:
    workflow = parse_prompt(PICTURES)
    assert not workflow.reads_sound and workflow.sound_output is None
    assert piece_s(workflow.nodes.values()) == 0.0


def test_one_way_out_for_the_sound() -> None:
    graph = EAR | MOUTH | {"second": n("SaveAudioTensor", audio=["ear", 0])}
    assert told(graph) == [("multiple_outputs", "mouth"), ("multiple_outputs", "second")]
    assert "nodes mouth, second" in errors(graph)[0].message


def test_what_leaves_has_to_be_the_streams_sound() -> None:
    quiet = {"quiet": n("EmptyAudio"), "mouth": n("SaveAudioTensor", audio=["quiet", 0])}
    (error,) = errors(PICTURES | quiet)
    assert (error.type, error.node_id) == ("no_input", "mouth")
    assert "has to depend on a LoadAudioTensor" in error.message
    assert told(EAR | PICTURES | {"mouth": n("SaveAudioTensor", audio="loud")}) == [
        ("bad_linked_input", "mouth")
    ]


def test_no_sound_is_made_of_the_picture() -> None:
    graph = (
        PICTURES
        | EAR
        | {
            "mix": n("Sing", audio=["ear", 0], image=["in", 0]),
            "mouth": n("SaveAudioTensor", audio=["mix", 0]),
        }
    )
    (error,) = errors(graph)
    assert (error.type, error.node_id) == ("unsupported_feature", "mouth")
    assert "depends on the frame (node in, LoadTensor)" in error.message


@pytest.mark.parametrize(
    ("size", "type_", "says"),
    [
        (0, "value_smaller_than_min", "0 < 10"),
        (-500, "value_smaller_than_min", "-500 < 10"),
        (9.9, "value_smaller_than_min", "9.9 < 10"),
        (60_001, "value_bigger_than_max", "60001 > 60000"),
        ("half a second", "invalid_input_type", "number of milliseconds"),
        ("nan", "invalid_input_type", "number of milliseconds"),
        (None, None, ""),
        (["k", 0], "invalid_input_type", "not a link"),
    ],
)
def test_the_length_of_a_piece(size: Any, type_: str | None, says: str) -> None:
    graph = {"k": n("PrimitiveFloat", value=500.0), "ear": n("LoadAudioTensor", buffer_size=size)}
    if type_ is None:
        assert parse_prompt(graph | MOUTH).reads_sound  # the engine asks for it
        return
    (error,) = errors(graph | MOUTH)
    assert (error.type, error.node_id, error.input_name) == (type_, "ear", "buffer_size")
    assert says in error.message


def test_all_pieces_have_one_length() -> None:
    graph = EAR | MOUTH | {"other": n("LoadAudioTensor", buffer_size=250)}
    found = errors(graph)
    assert [(e.type, e.node_id) for e in found] == [
        ("custom_validation_failed", "ear"),
        ("custom_validation_failed", "other"),
    ]
    assert "500 in node ear, 250 in node other" in found[0].message


def test_something_has_to_come_out() -> None:
    (error,) = errors(dict(EAR))
    assert (error.type, error.node_id) == ("no_output", None)
    assert "no SaveAudioTensor, SaveTextTensor or SaveTensor" in error.message
    assert told(EAR | MOUTH | {"in": n("LoadTensor")}) == [("no_output", "in")]
    constant = {"t": n("SaveTextTensor", data="hello")}
    assert told(EAR | constant) == [("no_output", "ear")]
    assert parse_prompt(EAR | MOUTH | constant).output_ids == ("mouth", "t")


def test_what_an_engine_can_read_all_the_same() -> None:
    graph = {"ear": n("LoadAudioTensor", buffer_size=5), "x": n("NoSuch")} | MOUTH
    with pytest.raises(InvalidShape) as caught:
        parse_prompt(graph)
    assert caught.value.workflow is not None and caught.value.workflow.to_api() == graph
    for broken in (
        {"mouth": n("SaveAudioTensor", audio=["nowhere", 0])},
        {"x": {"class_type": 3}},
        {"x": n("X", i=["x", 0])},
    ):
        with pytest.raises(InvalidShape) as caught:
            parse_prompt(graph | broken)
        assert caught.value.workflow is None


def test_an_engine_adds_what_is_not_known_yet() -> None:
    shape = [NodeError("value_smaller_than_min", "5 < 10", "ear", "LoadAudioTensor", "buffer_size")]
    same = NodeError("value_smaller_than_min", "5.0 < 10", "ear", "LoadAudioTensor", "buffer_size")
    news = NodeError("value_not_in_list", "avg", "mix", "AudioMerge", "merge_method")
    whole = NodeError("prompt_no_outputs", "Prompt has no outputs")
    missing = NodeError("missing_node_type", "none", "ear", "LoadAudioTensor")
    assert besides(shape, [same, news, whole, missing]) == [news, missing]


def test_one_error_is_enough_where_a_link_is_broken() -> None:
    assert told(EAR | {"mouth": n("SaveAudioTensor", audio=["nowhere", 0])}) == [
        ("bad_linked_input", "mouth")
    ]
    assert told({"ear": {"class_type": 3}} | MOUTH) == [("invalid_prompt", "ear")]


def test_what_would_write_every_piece_is_left_out() -> None:
    graph = (
        EAR
        | MOUTH
        | {
            "flac": n("SaveAudio", audio=["ear", 0], filename_prefix="x"),
            "shown": n("PreviewAny", source=["ear", 0]),
        }
    )
    workflow = parse_prompt(graph)
    assert list(workflow.nodes) == ["ear", "mouth"]
    assert workflow.converted == (
        "flac: SaveAudio left out, it would write every piece of sound",
        "shown: PreviewAny left out, it would show every piece of sound",
    )
    kept = parse_prompt(PICTURES | {"flac": n("SaveAudio", audio=["x", 0]), "x": n("LoadAudio")})
    assert "flac" in kept.nodes


@pytest.mark.parametrize("saves", ["SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "PreviewAudio"])
@pytest.mark.parametrize("loads", ["LoadAudio", "LoadAudioTensor"])
def test_a_workflow_for_sound_files_becomes_a_live_one(loads: str, saves: str) -> None:
    graph = {
        "1": n("LoadAudio", audio="song.mp3", audioUI="") if loads == "LoadAudio" else EAR["ear"],
        "2": n("AudioAdjustVolume", audio=["1", 0], volume=-12),
        "3": {**n(saves, audio=["2", 0], filename_prefix="x"), "_meta": {"title": "Out"}},
    }
    workflow = parse_prompt(graph)
    assert workflow.to_api() == {
        "1": n("LoadAudioTensor", buffer_size=500.0),
        "2": graph["2"],
        "3": {**n("SaveAudioTensor", audio=["2", 0]), "_meta": {"title": "Out"}},
    }
    told_of_input = ("1: LoadAudio -> LoadAudioTensor (500 ms)",) if loads == "LoadAudio" else ()
    assert workflow.converted == (*told_of_input, f"3: {saves} -> SaveAudioTensor")
    assert parse_prompt(workflow.to_api()).digest == workflow.digest


def test_sound_files_that_the_stream_does_not_take_the_place_of() -> None:
    song = {"song": n("LoadAudio", audio="a.mp3")}
    saved = {
        "flac": n("SaveAudio", audio=["song", 0]),
        "seen": n("PreviewAudio", audio=["song", 0]),
    }
    assert parse_prompt(song | saved).converted == (
        "song: LoadAudio -> LoadAudioTensor (500 ms)",
        "flac: SaveAudio -> SaveAudioTensor",
        "seen: PreviewAudio left out, it would write every piece of sound",
    )
    beside = {"mix": n("AudioMerge", audio1=["ear", 0], audio2=["song", 0])}
    beside |= {"mouth": n("SaveAudioTensor", audio=["mix", 0])}
    assert "LoadAudio" in {
        node.class_type for node in parse_prompt(EAR | song | beside).nodes.values()
    }
    assert parse_prompt(PICTURES | song | saved).converted == ()
    text = {"t": n("SaveTextTensor", data=["song", 0])}
    assert parse_prompt(song | text).reads_sound
    assert parse_prompt(song | text | saved).sound_output is None


def test_two_sound_files_are_not_guessed_between() -> None:
    songs = {"a": n("LoadAudio", audio="a.mp3"), "b": n("LoadAudio", audio="b.mp3")}
    mix = {"mix": n("AudioMerge", audio1=["a", 0], audio2=["b", 0])}
    found = errors(songs | mix | {"out": n("SaveAudio", audio=["mix", 0])})
    assert [(e.type, e.node_id) for e in found] == [
        ("ambiguous_inputs", "a"),
        ("ambiguous_inputs", "b"),
    ]
    assert "(nodes a, b); keep one, where the sound goes in" in found[0].message
    twice = {"flac": n("SaveAudio", audio=["a", 0]), "mp3": n("SaveAudioMP3", audio=["a", 0])}
    del songs["b"]
    assert told(songs | twice) == [("multiple_outputs", "flac"), ("multiple_outputs", "mp3")]


def test_what_is_missing_names_the_way_in_for_sound_as_well() -> None:
    (no_input, _) = errors({"1": n("EmptyAudio"), "2": n("SaveAudio", audio=["1", 0])})
    assert no_input.type == "no_input"
    assert "no LoadAudioTensor: neither frames nor sound can go in" in no_input.message


def test_a_picture_made_of_the_sound_is_converted() -> None:
    graph = EAR | {"p": n("Spectrum", audio=["ear", 0]), "s": n("PreviewImage", images=["p", 0])}
    workflow = parse_prompt(graph)
    assert workflow.frame_output == "s" and workflow.frame_input is None
    assert workflow.converted == ("s: PreviewImage -> SaveTensor",)


def test_a_part_is_a_workflow_of_its_own() -> None:
    graph = PICTURES | EAR | MOUTH | {"k": n("PrimitiveFloat", value=1.0)}
    graph["ear"]["inputs"]["timeout_seconds"] = ["k", 0]
    whole = parse_prompt(graph)
    part = part_of(whole, ["mouth"])
    assert part.to_api() == {"ear": n("LoadAudioTensor", buffer_size=500.0), **MOUTH}
    assert part.order == ("ear", "mouth") and part.digest != whole.digest
    again = parse_prompt(part.to_api())
    assert (again.links, again.order, again.digest) == (part.links, part.order, part.digest)
    assert (part.input_ids, part.output_ids) == (("ear",), ("mouth",))
    assert part_of(part, ["mouth"]) is part
