"""Durations as people write them."""

from __future__ import annotations

import pytest

from comfytrickle.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300.0),
        ("90s", 90.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1m0.5s", 60.5),
        ("2", 2.0),
        ("0", 0.0),
        ("1s500ms", 1.5),
    ],
)
def test_reads(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 m", "-5m", "5x", "m5", "1h30", "1.s", "٣s", "nan"])
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)
