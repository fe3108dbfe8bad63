"""A strict reader of Prometheus' text format 0.0.4, after the words of its specification."""

from __future__ import annotations

import re

_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)"
    r"(?:\{(?P<labels>[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\n]|\\[\\\"n])*\""
    r"(?:,[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\n]|\\[\\\"n])*\")*)\})?"
    r" (?P<value>NaN|[+-]Inf|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
_ESCAPE = re.compile(r"\\(.)")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Scrape:
    """What was read. Raises AssertionError at the first thing that is not as it should be."""

    def __init__(self, text: str) -> None:
        self.types: dict[str, str] = {}
        self.samples: Samples = {}
        assert text.endswith("\n")
        helped: set[str] = set()
        current = ""
        for line in text.removesuffix("\n").split("\n"):
            if line.startswith("# HELP "):
                current = line.split(" ")[2]
                assert current not in helped, f"{current}: two helps"  # so: one group each
                assert len(line.split(" ", 3)) == 4, line
                helped.add(current)
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name == current and kind in ("counter", "gauge"), line
                self.types[name] = kind
            else:
                self._sample(line, current)
        assert helped == self.types.keys() == {name for name, _ in self.samples}

    def _sample(self, line: str, current: str) -> None:
        found = _LINE.fullmatch(line)
        assert found, line
        assert found["name"] == current, f"{line}: stands below {current}"
        pairs = [(k, _unescaped(v)) for k, v in _LABEL.findall(found["labels"] or "")]
        assert len(dict(pairs)) == len(pairs), f"{line}: a label twice"
        key = (current, frozenset(pairs))
        assert key not in self.samples, f"{line}: twice"
        self.samples[key] = float(found["value"])

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def labelled(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for found, labels in self.samples if found == name]

    def totals(self) -> Samples:
        """Counters that belong to no stream: they must never go backwards."""
        return {
            key: value
            for key, value in self.samples.items()
            if self.types[key[0]] == "counter" and "stream" not in dict(key[1])
        }


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: {"n": "\n"}.get(found[1], found[1]), text)
