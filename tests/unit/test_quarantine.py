"""Workflows that kill are held, told about, and let out."""

from __future__ import annotations

import pytest

from control_plane.streams.quarantine import Death, Quarantine


def death(at: float, **more: object) -> Death:
    facts = {"stream_id": "s", "cause": "signalled", "signal": "SIGSEGV", "exit_code": -11,
             "message": None}  # fmt: skip
    return Death(at=at, **{**facts, **more})  # type: ignore[arg-type]


def test_a_workflow_is_held_from_when_it_is_shut_in_until_it_is_released() -> None:
    quarantine = Quarantine()
    quarantine.died("abc", ["Crash"], death(1.0))
    assert quarantine.held("abc") is None  # one death is no habit
    assert not quarantine.gave_out("abc", now=1.0)  # it may have been killed from outside
    quarantine.died("abc", ["Crash"], death(2.0))
    quarantine.died("abc", ["Crash"], death(2.5, message="node 3 was running"))
    assert quarantine.held("abc") is None
    assert quarantine.gave_out("abc", now=3.0)
    story = quarantine.held("abc")
    assert story is not None
    assert "3 times" in story.words() and "SIGSEGV" in story.words()
    assert "node 3 was running" in story.words()
    assert story.report()["quarantined_at"] == "1970-01-01T00:00:03.000Z"
    assert [d["time"][-7:] for d in story.report()["deaths"]] == ["01.000Z", "02.000Z", "02.500Z"]
    assert quarantine.all_held() == [story]
    assert quarantine.held("other") is None
    assert quarantine.release("abc")
    assert quarantine.held("abc") is None
    assert not quarantine.release("abc")


def test_a_death_in_a_node_names_it() -> None:
    quarantine = Quarantine()
    for at in (1.0, 2.0, 3.0):
        quarantine.died("abc", ["Bad"], death(at, message="no", node_id="7", node_type="Bad"))
    assert quarantine.gave_out("abc", now=3.0)
    story = quarantine.held("abc")
    assert story is not None and "in node 7 (Bad): no" in story.words()
    last = story.report()["deaths"][-1]
    assert (last["node_id"], last["node_type"]) == ("7", "Bad")


def test_only_a_killer_can_be_shut_in() -> None:
    with pytest.raises(KeyError):
        Quarantine().gave_out("innocent", now=0.0)


def test_deaths_of_long_ago_are_no_habit() -> None:
    quarantine = Quarantine()
    for at in (0.0, 1000.0, 2000.0):
        quarantine.died("abc", [], death(at))
    assert not quarantine.gave_out("abc", now=2000.0)


def test_memory_is_bounded() -> None:
    quarantine = Quarantine()
    for n in range(3000):
        for _ in range(20 if n == 2999 else 1):
            quarantine.died(f"w{n}", [], death(float(n)))
    assert quarantine.gave_out("w2999", now=2999.0)
    story = quarantine.held("w2999")
    assert story is not None and len(story.deaths) == 10
    with pytest.raises(KeyError):
        quarantine.gave_out("w0", now=0.0)  # long forgotten
