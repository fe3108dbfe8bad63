"""Prometheus' text format, version 0.0.4. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Family:
    """One metric: its name, and a value for each set of labels.

    ``kind``: ``gauge`` or ``counter``; a counter's name ends in ``_total``. Raises ValueError for a
    name that is none, and for the same labels twice.
    """

    def __init__(self, name: str, kind: str, help_text: str) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a metric")
        if kind not in ("gauge", "counter") or (kind == "counter") != name.endswith("_total"):
            raise ValueError(f"{name} is no {kind}")
        self.name = name
        self.kind = kind
        self.help = help_text
        self._samples: dict[tuple[tuple[str, str], ...], float] = {}

    def add(self, value: float | None, **labels: str | None) -> Family:
        """A sample. What is not known (None) is left out; a label that is None is empty."""
        if value is None:
            return self
        for label in labels:
            if not _LABEL.fullmatch(label):
                raise ValueError(f"{label!r} is no name of a label")
        key = tuple((label, text or "") for label, text in labels.items())
        if key in self._samples:
            raise ValueError(f"{self.name}{key} is there already")
        self._samples[key] = value
        return self

    def lines(self) -> Iterator[str]:
        """None for a family without a sample."""
        if not self._samples:
            return
        yield f"# HELP {self.name} {_escaped(self.help)}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self._samples.items():
            inner = ",".join(f'{label}="{_quoted(text)}"' for label, text in labels)
            yield (
                f"{self.name}{{{inner}}} {_number(value)}"
                if inner
                else (f"{self.name} {_number(value)}")
            )


def render(families: Iterable[Family]) -> bytes:
    """Raises ValueError for two families of one name."""
    names: set[str] = set()
    lines: list[str] = []
    for family in families:
        if family.name in names:
            raise ValueError(f"{family.name} is there already")
        names.add(family.name)
        lines.extend(family.lines())
    return "".join(line + "\n" for line in lines).encode("utf-8", "replace")


def _number(value: float) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
