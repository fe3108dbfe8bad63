"""The engines that streams can choose from, by the names that the operator gave them.

Only what the operator configured can be chosen: a path in a request would be code of the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from comfytrickle.errors import InvalidInput
from comfytrickle.messages import EngineConfig

EMBEDDED = "embedded"
COMFYUI = "comfyui"

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)=(.+)", re.DOTALL)


def split_named(text: str, default: str) -> tuple[str, str]:
    """``"NAME=REST"`` -> (NAME, REST); a text without a name gets ``default``."""
    match = _NAMED.fullmatch(text)
    return (match.group(1), match.group(2)) if match else (default, text)


def workspaces(entries: list[str]) -> dict[str, str]:
    """``[NAME=]FOLDER`` of ComfyUI workspaces, by name. Raises ValueError."""
    found: dict[str, str] = {}
    for entry in entries:
        name, folder = split_named(entry, COMFYUI)
        if name == EMBEDDED:
            raise ValueError(f"{name!r} is the name of the engine that is always there")
        if name in found:
            raise ValueError(
                f"two are called {name!r}: give each a name of its own, as NAME=FOLDER"
            )
        found[name] = folder
    return found


def workflow_key(digest: str, engine: EngineConfig) -> str:
    """A workflow as one engine runs it: what it takes, and whether it kills its workers, is
    remembered of that alone."""
    return digest if engine.kind == EMBEDDED else f"{digest}@{engine.name}"


class Engines:
    """At least the embedded one. Which are there does not change."""

    def __init__(self, base: EngineConfig, folders: Mapping[str, str], default: str | None) -> None:
        """``base``: what all have in common; ``folders``: of ComfyUI workspaces, by name.
        ``default``: which one a stream gets that names none; by default the first workspace, or
        the embedded one. "comfyui" without a folder is the ComfyUI that is installed as a package.
        Raises ValueError."""
        self._configs = {EMBEDDED: msgspec.structs.replace(base, kind=EMBEDDED, name=EMBEDDED)}
        if default == COMFYUI and COMFYUI not in folders:
            self._configs[COMFYUI] = msgspec.structs.replace(base, kind=COMFYUI, name=COMFYUI)
        for name, folder in folders.items():
            self._configs[name] = msgspec.structs.replace(
                base, kind=COMFYUI, name=name, workspace=folder
            )
        self.default = next(iter(folders), EMBEDDED) if default is None else default
        if self.default not in self._configs:
            raise ValueError(f"{default!r} is not one of {', '.join(self._configs)}")

    def get(self, name: str | None, field: str = "params.engine") -> EngineConfig:
        """None: the default. Raises InvalidInput."""
        config = self._configs.get(self.default if name is None else name)
        if config is None:
            known = ", ".join(self._configs)
            raise InvalidInput(field, f"there is no engine {name!r}; there are: {known}")
        return config

    def __iter__(self) -> Iterator[EngineConfig]:
        """The default first: it is booted first."""
        yield self._configs[self.default]
        yield from (c for name, c in self._configs.items() if name != self.default)
