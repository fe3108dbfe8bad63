"""What is told on an events channel, from one look at a stream to the next."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from comfytrickle.messages import Counters, Failed, Status, StreamConfig
from comfytrickle.states import ExitCause, State
from control_plane.channels import event_shapes
from control_plane.channels.event_shapes import Chronicle
from control_plane.shapes.reports import StreamFacts
from control_plane.streams.quarantine import Death

NOW = 1_700_000_000.0
CONFIG = StreamConfig("s", {"1": {"class_type": "LoadTensor", "inputs": {}}}, width=64, height=48)


def facts(now: float = NOW, **more: Any) -> StreamFacts:
    values: dict[str, Any] = {
        "state": State.STREAMING,
        "created_at": NOW - 100,
        "ready_at": NOW - 99,
    }
    return StreamFacts(CONFIG, "cpu:0", **{**values, "now": now, **more})


def status(**more: Any) -> Status:
    counters = Counters(frames_in=10, frames_out=9)
    ages = {"input_age_s": 0.5, "output_age_s": 0.25}
    return Status(seq=1, state=State.STREAMING, counters=counters, **{**ages, **more})


def types(events: list[event_shapes.Event]) -> list[str]:
    return [event["type"] for _, event in events]


def test_an_event_on_the_wire() -> None:
    sent = json.loads(event_shapes.to_json(event_shapes.trace("stream_started"), "s", NOW))
    assert sent == {
        "event": {"type": "stream_started", "stream_id": "s", "timestamp": 1_700_000_000_000},
        "queue_event_type": "stream_trace",
    }


def test_the_first_segments_are_traced_once() -> None:
    chronicle = Chronicle(NOW)
    assert chronicle.look(facts()) == []
    only_in = Status(seq=1, state=State.READY, counters=Counters(frames_in=1))
    assert types(chronicle.look(facts(status=only_in))) == ["runner_receive_first_ingest_segment"]
    assert types(chronicle.look(facts(status=status()))) == ["runner_send_first_processed_segment"]
    assert chronicle.look(facts(status=status())) == []


def test_failures_restarts_and_params_are_told_once() -> None:
    chronicle = Chronicle(NOW)
    first = (NOW - 1, Failed("node", "no", "7", "Bad"))
    again = (NOW, Failed("node", "no", "7", "Bad"))
    ((queue, event),) = chronicle.look(facts(failures=[first]))
    assert queue == "ai_stream_events"
    assert event == {
        "type": "error", "message": "no", "kind": "node", "node_id": "7", "node_type": "Bad",
        "time": 1_699_999_999_000,
    }  # fmt: skip
    assert chronicle.look(facts(failures=[first])) == []
    third = (NOW + 1, Failed("node", "no", "7", "Bad"))
    assert types(chronicle.look(facts(failures=[first, again, third]))) == ["error", "error"]
    assert chronicle.look(facts(failures=[first, again, third])) == []
    # Those that were told have been forgotten meanwhile: what is there now is new.
    assert types(chronicle.look(facts(failures=[again]))) == ["error"]

    death = Death(NOW, "s", "signalled", "SIGKILL", -9, None, "one\ntwo", "7", "Bad")
    ((_, event),) = chronicle.look(facts(failures=[again], restarts=1, deaths=[death]))
    assert (event["type"], event["restart_count"], event["node_id"]) == ("restart", 1, "7")

    changed = StreamConfig("s", {"2": {}}, revision=1)
    later = replace(facts(failures=[again], restarts=1), config=changed)
    ((_, event),) = chronicle.look(later)
    assert (event["type"], event["revision"]) == ("params_update", 1)
    assert event["params"] == {"prompt": {"2": {}}} and len(event["params_hash"]) == 32


def test_a_status_has_ai_runners_shape() -> None:
    chronicle = Chronicle(NOW - 100)
    queue, event = chronicle.status(
        facts(status=status(fps_in=30.0, fps_out=29.5), status_age_s=0.5)
    )
    assert queue == "ai_stream_events"
    params = event["inference_status"].pop("last_params")
    assert params == {"prompt": CONFIG.workflow, "width": 64, "height": 48}
    assert event["inference_status"].pop("last_params_hash") == event_shapes.hash_of(params)
    assert event == {
        "type": "status",
        "pipeline": "comfyui",
        "start_time": 1_699_999_900_000,
        "state": "ONLINE",
        "last_state_update_time": 1_700_000_000_000,
        "input_status": {"last_input_time": 1_699_999_999_000, "fps": 30.0},
        "inference_status": {
            "last_output_time": 1_699_999_999_250,
            "fps": 29.5,
            "last_params_update_time": None,
            "last_error": None,
            "last_error_time": None,
            "last_restart_time": None,
            "last_restart_logs": None,
            "restart_count": 0,
        },
    }
    later = chronicle.status(facts(NOW + 5, status=status(), status_age_s=0.5))[1]
    assert later["last_state_update_time"] == 1_700_000_000_000  # it has not changed since


def test_every_health_has_a_word() -> None:
    chronicle = Chronicle(NOW)
    states = {
        "LOADING": facts(ready_at=None, state=State.LOADING),
        "OFFLINE": facts(status=status(input_age_s=60.0), status_age_s=0.1),
        "DEGRADED_INFERENCE": facts(status=status(output_age_s=9.0), status_age_s=0.1),
        "ERROR": facts(state=State.EXITED, exit_cause=ExitCause.SIGNALLED),
    }
    for word, at in states.items():
        assert chronicle.status(at)[1]["state"] == word
