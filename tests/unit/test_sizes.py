"""Amounts of memory as people write and read them."""

from __future__ import annotations

import pytest

from comfytrickle.sizes import parse_bytes, show_bytes


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("6GB", 6_000_000_000),
        ("6g", 6_000_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("512MiB", 536_870_912),
        (" 800 MB ", 800_000_000),
        ("0", 0),
        ("123", 123),
    ],
)
def test_reads(text: str, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "6 XB", "1e9", "6GB!", "٣GB", "nan"])
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory"):
        parse_bytes(text)


def test_shows() -> None:
    amounts = (6_123_000_000, 3_200_000_000, 999_900_000, 1_000, 17)
    assert [show_bytes(a) for a in amounts] == ["6.1 GB", "3.2 GB", "999.9 MB", "1.0 kB", "17 B"]
