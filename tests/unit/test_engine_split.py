"""What of a workflow runs for each frame, and what for each piece of sound."""

from __future__ import annotations

import pytest

from comfytrickle.workflow import parse_prompt
from tests.support.engine_nodes import Graph, around, n
from workers.engine.split import split

EAR = {"ear": n("LoadAudioTensor", buffer_size=200)}
MOUTH = {"mouth": n("SaveAudioTensor", audio=["loud", 0])}
LOUD = {"loud": n("Louder", audio=["ear", 0], gain=["k", 0]), "k": n("PrimitiveFloat", value=2)}


def divided(graph: Graph, *output_nodes: str) -> tuple[set[str] | None, set[str] | None, float]:
    parts = split(parse_prompt(graph), set(output_nodes))
    picture, sound = (
        None if part is None else set(part.nodes) for part in (parts.picture, parts.sound)
    )
    return picture, sound, parts.piece_s


def test_without_sound_it_is_the_very_same_workflow() -> None:
    workflow = parse_prompt(around(a=n("Invert", image=["in", 0])))
    parts = split(workflow, set())
    assert parts.picture is workflow
    assert (parts.sound, parts.piece_s) == (None, 0.0)


def test_all_about_sound() -> None:
    graph = EAR | LOUD | MOUTH | {"beacon": n("Send", value=["k", 0])}
    assert divided(graph) == (None, {"ear", "loud", "k", "mouth"}, 0.2)
    assert divided(graph, "beacon") == (None, {"ear", "loud", "k", "mouth", "beacon"}, 0.2)


def test_pictures_pass_beside_the_sound() -> None:
    assert divided(around() | EAR | LOUD | MOUTH) == (
        {"in", "out"},
        {"ear", "loud", "k", "mouth"},
        0.2,
    )


def test_the_picture_follows_the_sound() -> None:
    graph = around(g=n("Gain", image=["in", 0], gain=["level", 0]))
    graph |= EAR | {"level": n("Level", audio=["ear", 0])}
    assert divided(graph) == ({"in", "out", "g", "level", "ear"}, None, 0.2)
    both = graph | LOUD | MOUTH
    assert divided(both) == (
        {"in", "out", "g", "level", "ear"},
        {"ear", "loud", "k", "mouth"},
        0.2,
    )


def test_a_picture_made_of_sound_is_a_picture() -> None:
    graph = EAR | {"p": n("Spectrum", audio=["ear", 0]), "out": n("SaveTensor", images=["p", 0])}
    assert divided(graph) == ({"ear", "p", "out"}, None, 0.2)


@pytest.mark.parametrize(
    ("text", "part"), [("sound", 1), ("picture", 0), ("both", 0), ("neither", 0)]
)
def test_where_a_text_belongs(text: str, part: int) -> None:
    sources = {
        "sound": {"data": ["heard", 0]},
        "picture": {"data": ["seen", 0]},
        "both": {"data": ["seen", 0], "remove_linebreaks": ["heard", 0]},
        "neither": {"data": "hello"},
    }
    graph = around() | EAR | LOUD | MOUTH
    graph |= {"heard": n("Hear", audio=["ear", 0]), "seen": n("See", image=["in", 0])}
    parts = divided(graph | {"t": n("SaveTextTensor", **sources[text])})
    assert [("t" in (ids or ())) for ids in parts[:2]] == [part == 0, part == 1]


def test_sound_that_nobody_uses_is_not_wanted() -> None:
    assert divided(around() | EAR) == ({"in", "out"}, None, 0.0)
