"""Prometheus' text format, read back by a strict reader."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.shapes.exposition import Family, render
from tests.support.prometheus import Scrape


def read(*families: Family) -> Scrape:
    return Scrape(render(families).decode())


@given(st.text(), st.floats(allow_nan=False) | st.integers(-(10**18), 10**18))
def test_any_label_and_any_number_come_back(text: str, value: float) -> None:
    known = text.encode("utf-8", "replace").decode()
    family = Family("a_b", "gauge", "h").add(value, stream=text)
    assert read(family)("a_b", stream=known) == float(value)


def test_the_text_to_the_letter() -> None:
    gauge = Family("x", "gauge", "back\\slash and\nline").add(1.5, a='q"\\\n', b=None).add(True)
    counter = Family("y_total", "counter", "Some.").add(3)
    empty = Family("z", "gauge", "Nothing known.").add(None)
    assert render([gauge, counter, empty]) == (
        b"# HELP x back\\\\slash and\\nline\n# TYPE x gauge\n"
        b'x{a="q\\"\\\\\\n",b=""} 1.5\nx 1\n'
        b"# HELP y_total Some.\n# TYPE y_total counter\ny_total 3\n"
    )
    special = [Family(f"n{n}", "gauge", "h").add(v) for n, v in enumerate((math.nan, -math.inf))]
    assert render(special).split(b"\n")[2::3] == [b"n0 NaN", b"n1 -Inf"]


@pytest.mark.parametrize(
    ("name", "kind"), [("1x", "gauge"), ("x-y", "gauge"), ("x", "counter"), ("x_total", "gauge"),
                       ("x", "summary")],
)  # fmt: skip
def test_a_name_that_is_none(name: str, kind: str) -> None:
    with pytest.raises(ValueError, match="no "):
        Family(name, kind, "h")


def test_nothing_is_there_twice() -> None:
    family = Family("x", "gauge", "h").add(1, a="b")
    with pytest.raises(ValueError, match="already"):
        family.add(2, a="b")
    with pytest.raises(ValueError, match="no name of a label"):
        family.add(2, **{"a-b": "c"})
    with pytest.raises(ValueError, match="already"):
        render([family, Family("x", "gauge", "h")])
