"""Each fault of a worker, beside a healthy stream: that one loses nothing, nothing is left behind,
and the faulty one goes on where it was.
"""

from __future__ import annotations

import pytest

from tests.faults.conftest import House
from tests.support.faults import DEADLINES, FAULTS, Outcome

pytestmark = pytest.mark.realtime  # six streams at once, and no frame of any is to be lost
SLACK_S = 20.0  # a busy machine; the figures are those of scripts/bench_faults.py


def check_replaced(outcome: Outcome, within: float) -> None:
    """The subscriber needed to do nothing, and missed next to nothing."""
    name, status, report = outcome.fault, outcome.status, outcome.report
    assert report is not None
    assert report.disorder == [], name
    # Expected are none: one is a frame that was in the kernel's hands when its sender died.
    assert len(report.missing) <= 2, (name, report.missing)
    assert report.seqs_go_on, (name, report.seqs)
    assert (status["restarts"], status["exit_cause"]) == (1, "source_ended"), name
    assert outcome.detected_s is not None and outcome.detected_s < within + SLACK_S, name
    assert outcome.output_again_s is not None and outcome.output_again_s < within + SLACK_S, name


def crash_file(house: House, name: str) -> str:
    """What was kept of the dead worker's log."""
    return (house.pool.log_dir / "streams" / f"{name}.log.crash").read_text()


DEATHS = {
    "killed": ("signalled", "SIGKILL", -9),
    "segfault": ("signalled", "SIGSEGV", -11),
    "leave": ("nonzero", None, 37),
    "fork_and_leave": ("nonzero", None, 38),
    "fork_a_daemon_and_leave": ("nonzero", None, 39),
    "close_descriptors": ("nonzero", None, 1),
}


async def test_a_worker_that_dies(house: House) -> None:
    outcomes = await house.do_all(*DEATHS)
    for name, ending in DEATHS.items():
        outcome = outcomes[name]
        check_replaced(outcome, 0.5)
        (death,) = outcome.status["deaths"]
        assert (death["exit_cause"], death["signal"], death["exit_code"]) == ending, name
        error = outcome.status["last_error"]
        assert error["kind"] == "worker" and (ending[1] or str(ending[2])) in error["message"]
        assert crash_file(house, name) == death["log_tail"] == error["log_tail"]
    tail = outcomes["segfault"].status["deaths"][0]["log_tail"]
    assert "Fatal Python error: Segmentation fault" in tail and "in segfault" in tail
    assert "about to leave" in outcomes["leave"].status["deaths"][0]["log_tail"]


async def test_a_worker_that_hangs(house: House) -> None:
    stuck = {"loop_in_python", "loop_in_c", "sleep"}
    silent = {"wait_holding_the_gil", "search_holding_the_gil", "stopped"}
    outcomes = await house.do_all(*sorted(stuck | silent))
    for name, outcome in outcomes.items():
        check_replaced(outcome, DEADLINES["stuck" if name in stuck else "silent"] + 1.0)
        (death,) = outcome.status["deaths"]
        assert (death["exit_cause"], death["signal"]) == ("unresponsive", "SIGKILL"), name
        why = "engine thread has been at one frame" if name in stuck else "no status for"
        assert why in death["message"] and outcome.status["last_error"]["kind"] == "hung", name
        assert crash_file(house, name) == death["log_tail"], name
        if name != "stopped":  # that one could not write any more
            deed = FAULTS[name].deed
            assert f"in {deed}" in death["log_tail"], (name, death["log_tail"])


async def test_a_worker_that_talks_nonsense(house: House) -> None:
    reasons = {
        "garbage_on_the_pipe": "status pipe",
        "flood_the_pipe": "messages within a second",
        "announce_much_on_the_pipe": "no status for",
        "ignore_the_end": "no status for",
    }
    outcomes = await house.do_all(*reasons)
    for name, reason in reasons.items():
        check_replaced(outcomes[name], DEADLINES["silent"] + 1.0)
        (death,) = outcomes[name].status["deaths"]
        assert death["signal"] == "SIGKILL" and reason in death["message"], name


async def test_a_worker_that_gets_over_it(house: House) -> None:
    names = ("fork_a_daemon", "leak_threads", "raise_error", "sys_exit")
    for name, outcome in (await house.do_all(*names)).items():
        status, report, costs = outcome.status, outcome.report, FAULTS[name].lost
        assert report is not None and report.disorder == [] and report.seqs_go_on, name
        assert len(report.missing) == costs == status["node_errors"], name
        ending = (status["restarts"], status["exit_cause"], status["exit_code"])
        assert ending == (0, "source_ended", 0), name
        if costs:
            error = status["last_error"]
            assert (error["kind"], error["node_type"]) == ("node", "Misbehave"), name


async def test_a_worker_that_wants_too_much_memory(house: House) -> None:
    outcomes = await house.do_all("hoard", "hoard_to_the_limit")
    for name, outcome in outcomes.items():
        check_replaced(outcome, 0.5)
        error, (death,) = outcome.status["last_error"], outcome.status["deaths"]
        assert (error["kind"], error["node_type"]) == ("node", "Misbehave"), name
        assert "MemoryError" in error["message"] and "out of memory" in error["message"], name
        assert (death["exit_cause"], death["node_type"]) == ("nonzero", "Misbehave"), name


async def test_the_fork_server_dies(house: House) -> None:
    alone = (await house.do_all("fork_server_killed"))["fork_server_killed"]
    assert alone.report is not None
    assert (alone.report.missing, alone.report.disorder) == ([], [])
    assert alone.status["restarts"] == 0
    both = (await house.do_all("killed_with_fork_server"))["killed_with_fork_server"]
    check_replaced(both, 5.0)  # another one was started


async def test_pictures_that_kill_whoever_looks_at_them(house: House) -> None:
    outcome = (await house.do_all("poisonous_picture"))["poisonous_picture"]
    status, report = outcome.status, outcome.report
    assert report is not None and report.disorder == [] and report.seqs_go_on
    assert report.missing and report.missing[0] == FAULTS["poisonous_picture"].at_counter
    assert len(report.missing) <= 60  # their segment, and one more at the most
    # The second worker may send some that came right before it, and the third then tries again.
    assert status["restarts"] in (2, 3) and status["exit_cause"] == "source_ended"


async def test_a_workflow_that_cannot_be_served(house: House) -> None:
    names = ("not_built", "raise_at_load", "segfault_at_load", "never_ready")
    for name, outcome in (await house.do_all(*names)).items():
        status, report = outcome.status, outcome.report
        assert report is not None and report.counters == [], name
        assert (status["health"], status["restarts"]) == ("failed", 3), name
        causes, error = {death["exit_cause"] for death in status["deaths"]}, status["last_error"]
        if name == "never_ready":
            assert causes == {"startup_timeout"}
            assert "it loads for 3 s and longer" in error["message"]
            assert "nodes.py" in error["log_tail"]
        elif name == "segfault_at_load":
            assert causes == {"signalled"} and "SIGSEGV" in error["message"]
        else:
            assert causes == {"startup_error"}, name
            assert "misbehaving: " in error["message"], name
            assert error["node_id"] == ("7" if name == "not_built" else "5")
