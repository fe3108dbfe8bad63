"""Which channel or segment a request path means."""

from __future__ import annotations

import pytest

from comfytrickle.trickle.target import Moved, Target, normal_base, parse_index, parse_target


@pytest.mark.parametrize(
    ("raw", "base", "target"),
    [
        ("/c", "/", Target("c", None)),
        ("/c?x=1", "/", Target("c", None)),
        ("/c/0?a=/b", "/", Target("c", "0")),
        ("/c/next", "/", Target("c", "next")),
        ("/a%2Fb/1", "/", Target("a/b", "1")),
        ("/caf%C3%A9/1", "/", Target("café", "1")),
        ("/.hidden/1", "/", Target(".hidden", "1")),
        ("/live/c/1", "/live/", Target("c", "1")),
        ("/c/1", "/live/", None),
        ("/livec/1", "/live/", None),
        ("/live", "/live/", None),
        ("/", "/", None),
        ("/c/", "/", None),
        ("/c/1/2", "/", None),
        ("*", "/", None),
    ],
)
def test_paths(raw: str, base: str, target: Target | None) -> None:
    assert parse_target(raw, base) == target


@pytest.mark.parametrize(
    ("raw", "location"),
    [
        ("//c/0", "/c/0"),
        ("/c//0?q=1", "/c/0?q=1"),
        ("/./c/0", "/c/0"),
        ("/x/../c/", "/c/"),
        ("/c//", "/c/"),
        ("//", "/"),
        ("/..", "/"),
    ],
)
def test_roundabout_paths_are_sent_to_the_short_one(raw: str, location: str) -> None:
    with pytest.raises(Moved) as moved:
        parse_target(raw, "/")
    assert moved.value.location == location
    assert parse_target(location, "/") is None or location.startswith("/c")


def test_a_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        parse_target("/%FF/0", "/")


@pytest.mark.parametrize(
    ("path", "base"),
    [("/", "/"), ("", "/"), ("live", "/live/"), ("/live/", "/live/"), ("/a/b", "/a/b/")],
)
def test_base_paths(path: str, base: str) -> None:
    assert normal_base(path) == base


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("00", 0), ("+0", 0), ("-1", -1), ("12", 12), ("+7", 7), (str(2**62), 2**62)],
)
def test_numbers(text: str, number: int) -> None:
    assert parse_index(text) == number


@pytest.mark.parametrize(
    "text", ["abc", "", "1_0", " 1", "1.0", "--1", "+", "٣", "next", str(2**62 + 1), "9" * 5000]
)
def test_not_numbers(text: str) -> None:
    assert parse_index(text) is None
