"""Sound through the comfyui engine in a child process of the lab, as numpy arrays."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from comfytrickle.errors import InvalidWorkflow
from comfytrickle.workflow import parse_prompt
from tests.support.comfyui_lab import State
from workers.engine.live import live_outlook, load_live
from workers.engine.protocol import Audio, NodeFailed, RunContext

Graph = dict[str, Any]
Samples = np.ndarray[Any, np.dtype[np.float32]]
RATE = 48_000


def load(state: State, graph: Graph) -> dict[str, Any]:
    """Returns its detail, which has to be the outlook, with what else is said of it."""
    workflow = parse_prompt(graph)
    outlook = live_outlook(state["engine"], workflow)
    live = state["live"] = load_live(state["engine"], workflow)
    assert live.detail == outlook
    return {
        **detail(state),
        "parts": [live.picture is not None, live.sound is not None],
        "piece_s": live.piece_s,
        "makes_sound": live.makes_sound,
    }


def refused(state: State, graph: Graph) -> list[tuple[str, str | None]]:
    try:
        load_live(state["engine"], parse_prompt(graph)).close()
    except InvalidWorkflow as error:
        return [(e.type, e.node_id) for e in error.errors]
    return []


def hear(state: State, samples: Samples) -> tuple[Any, dict[str, Any]]:
    """(what comes out, or (node id, node type, message); what reached the texts)."""
    context = RunContext()
    try:
        made = state["live"].sound.hear(_audio(samples), context)
    except NodeFailed as error:
        return (error.node_id, error.node_type, error.message), context.taken
    if made is not None:
        assert made["sample_rate"] == RATE
    return None if made is None else made["waveform"].numpy(), context.taken


def see(state: State, picture: Samples, samples: Samples | None) -> Samples:
    """A frame, beside that piece of sound."""
    context = RunContext(sound=None if samples is None else _audio(samples))
    output: Samples = state["live"].picture.run(torch.from_numpy(picture), context).numpy()
    return output


def detail(state: State) -> dict[str, Any]:
    return dict(json.loads(json.dumps(state["live"].detail)))


def close(state: State) -> None:
    state.pop("live").close()


def _audio(samples: Samples) -> Audio:
    return {"waveform": torch.from_numpy(samples), "sample_rate": RATE}
