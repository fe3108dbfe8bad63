from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from comfytrickle.messages import Counters, Failed, Latency, Quantiles, Status, StreamConfig
from comfytrickle.states import ExitCause, Health, State
from control_plane.shapes.reports import StreamFacts, health, iso_time, stream_report
from control_plane.streams.quarantine import Death

CONFIG = StreamConfig(
    stream_id="s1",
    workflow={},
    subscribe_url="http://h/in",
    publish_url="http://h/out",
    width=640,
    height=360,
)
FLOWING = Status(
    seq=9,
    state=State.STREAMING,
    counters=Counters(frames_in=300, frames_out=295, dropped={"latest": 5}, audio_in=10),
    fps_in=30.0,
    fps_out=29.5,
    latency=Latency(total=Quantiles(8.0, 12.0, 15.0)),
    width=512,
    height=512,
    rss=43_000_000,
    input_age_s=0.02,
    output_age_s=0.03,
    source="live",
    sink="live",
)


def facts(status: Status | None = FLOWING, **changes: Any) -> StreamFacts:
    base = StreamFacts(
        config=CONFIG,
        device="cpu:0",
        state=State.STREAMING,
        created_at=1000.0,
        now=1010.5,
        pid=42,
        ready_at=1000.5,
        status=status,
        status_age_s=None if status is None else 0.2,
    )
    return dataclasses.replace(base, **changes)


def flowing(**changes: Any) -> Status:
    return msgspec.structs.replace(FLOWING, **changes)


def counted(**changes: Any) -> Status:
    return flowing(counters=msgspec.structs.replace(FLOWING.counters, **changes))


EXITED = {"state": State.EXITED, "ended_at": 1010.0}


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (facts(), Health.OK),
        (facts(None, state=State.STARTING, ready_at=None), Health.LOADING),
        (facts(state=State.LOADING, ready_at=None), Health.LOADING),
        (facts(None), Health.STALLED),
        (facts(status_age_s=6.0), Health.STALLED),
        (facts(flowing(input_age_s=None, output_age_s=None)), Health.WAITING),
        (facts(flowing(input_age_s=4.0)), Health.WAITING),
        (facts(flowing(input_age_s=1.0), status_age_s=4.0), Health.WAITING),
        (facts(flowing(output_age_s=6.0)), Health.STALLED),
        (facts(flowing(output_age_s=None)), Health.STALLED),  # 10 s of input, nothing out
        (facts(counted(frames_in=30), earlier=Counters()), Health.DEGRADED),  # 5 of 30 dropped
        (facts(counted(frames_in=30)), Health.OK),  # what had waited when it began
        (facts(counted(dropped={"error": 1})), Health.DEGRADED),
        (facts(counted(dropped={"error": 1}), earlier=Counters(dropped={"error": 1})), Health.OK),
        (facts(counted(node_errors=1)), Health.DEGRADED),
        (facts(counted(segments_lost=1)), Health.DEGRADED),
        (facts(counted(dropped={"framerate": 200})), Health.OK),  # as asked for
        (facts(flowing(sink="retrying")), Health.DEGRADED),
        (facts(**EXITED, exit_cause=ExitCause.SOURCE_ENDED), Health.ENDED),
        (facts(**EXITED, exit_cause=ExitCause.REQUESTED), Health.ENDED),
        (facts(**EXITED, exit_cause=ExitCause.KILLED_BY_US, stop_asked=True), Health.ENDED),
        (facts(**EXITED, exit_cause=ExitCause.KILLED_BY_US), Health.FAILED),
        (facts(**EXITED, exit_cause=ExitCause.SIGNALLED, stop_asked=True), Health.FAILED),
        (facts(**EXITED), Health.FAILED),
    ],
)
def test_health(given: StreamFacts, word: Health) -> None:
    assert health(given) is word


def test_output_may_take_its_time_at_first() -> None:
    young = flowing(output_age_s=None, counters=Counters(frames_in=30))
    assert health(facts(young)) is Health.OK


@pytest.mark.parametrize("cause", list(ExitCause))
def test_nothing_is_ok_once_its_worker_is_gone(cause: ExitCause) -> None:
    assert health(facts(**EXITED, exit_cause=cause)) in (Health.FAILED, Health.ENDED)
    report = stream_report(facts(**EXITED, exit_cause=cause))
    assert (report["running"], report["state"], report["pipeline_ready"]) == (
        False,
        "exited",
        False,
    )
    assert report["fps"] == {"in": None, "out": None}
    assert report["memory"] == {"rss": None, "device": None}
    assert report["frames"]["out"] == 295  # totals stay true


def test_a_running_stream() -> None:
    report = stream_report(facts())
    assert report["request_id"] == "s1"
    assert (report["running"], report["pipeline_ready"], report["pid"]) == (True, True, 42)
    assert (report["width"], report["height"]) == (512, 512)  # what the engine sees
    assert report["uptime_s"] == 10.5
    assert report["started_at"] == "1970-01-01T00:16:40.000Z"
    assert report["frame_count"] == 295
    frames = {"in": 300, "out": 295, "dropped": {"latest": 5}, "passed_through": 0}
    assert report["frames"] == frames
    assert report["latency_ms"]["total"] == {"p50": 8.0, "p95": 12.0, "p99": 15.0}
    assert report["latency_ms"]["decode"] is None
    assert report["memory"] == {"rss": 43_000_000, "device": None}
    assert report["last_error"] is None and report["exit_cause"] is None
    json.dumps(report)


def test_what_is_not_known_is_null() -> None:
    report = stream_report(facts(None, state=State.STARTING, ready_at=None, pid=None))
    for key in ("frame_count", "node_errors", "transport_retries", "source", "sink"):
        assert report[key] is None, key
    assert report["frames"]["in"] is None and report["frames"]["passed_through"] is None
    assert report["audio"]["out"] is None
    assert report["latency_ms"] == {"decode": None, "engine": None, "encode": None, "total": None}
    assert (report["width"], report["height"]) == (640, 360)  # as asked for


def test_an_old_report_gives_no_rates() -> None:
    report = stream_report(facts(status_age_s=7.0))
    assert report["fps"]["in"] is None and report["memory"]["rss"] is None
    assert report["health"] == "stalled"


def test_a_worker_that_died_without_a_word() -> None:
    died = facts(
        **EXITED,
        exit_cause=ExitCause.SIGNALLED,
        exit_code=-9,
        exit_signal="SIGKILL",
        log_tail="last words\n",
    )
    error = stream_report(died)["last_error"]
    assert error["kind"] == "worker" and "SIGKILL" in error["message"]
    assert error["log_tail"] == "last words\n"
    assert error["time"] == iso_time(1010.0)


def test_a_survived_error_is_not_why_it_died_but_is_mentioned() -> None:
    hiccup = (1003.0, Failed("node", "bad luck", node_id="3", node_type="Blur"))
    alive = stream_report(facts(failures=[hiccup]))["last_error"]
    assert (alive["node_id"], alive["message"], alive["log_tail"]) == ("3", "bad luck", None)
    died = facts(**EXITED, exit_cause=ExitCause.NONZERO, exit_code=1, failures=[hiccup])
    message = stream_report(died)["last_error"]["message"]
    assert "exit code 1" in message and "bad luck" in message


def test_a_last_word_is_the_reason() -> None:
    word = (1009.0, Failed("source", "410 Gone", retryable=False))
    died = facts(**EXITED, exit_cause=ExitCause.NONZERO, exit_code=1, failures=[word])
    error = stream_report(died)["last_error"]
    assert (error["kind"], error["message"]) == ("source", "410 Gone")


def test_the_node_that_a_replaced_worker_died_of_is_the_last_error() -> None:
    word = (1009.0, Failed("node", "no (30 frames in a row)", "7", "Bad", retryable=False))
    death = Death(1009.0, "s1", "nonzero", None, 1, "no", "its log\n", "7", "Bad")
    report = stream_report(facts(failures=[word], deaths=[death], restarts=1))
    error = report["last_error"]
    assert (error["kind"], error["node_id"], error["node_type"]) == ("node", "7", "Bad")
    assert error["message"] == "no (30 frames in a row)" and error["log_tail"] == "its log\n"
    assert (report["deaths"][0]["node_id"], report["deaths"][0]["node_type"]) == ("7", "Bad")
    hiccup = (1010.0, Failed("node", "bad luck", "7", "Bad"))
    later = stream_report(facts(failures=[word, hiccup], deaths=[death], restarts=1))
    assert later["last_error"]["log_tail"] is None  # this worker has not died of it


def test_frames_that_were_passed_through_are_shown_and_make_it_degraded() -> None:
    status = counted(node_errors=7, passed_through=7)
    assert stream_report(facts(status))["frames"]["passed_through"] == 7
    assert health(facts(status)) is Health.DEGRADED
    assert health(facts(status, earlier=status.counters)) is Health.OK
