"""Which engines there are, and which one a stream gets."""

from __future__ import annotations

import pytest

from comfytrickle.errors import InvalidInput
from comfytrickle.messages import EngineConfig
from control_plane.engines.engines import Engines, split_named, workflow_key, workspaces
from control_plane.processes.launcher import preloads

BASE = EngineConfig(node_paths=["/packs"], threads=3)


def names(engines: Engines) -> list[str]:
    return [engine.name for engine in engines]


def test_without_a_workspace_there_is_the_embedded_one() -> None:
    engines = Engines(BASE, {}, None)
    assert names(engines) == ["embedded"] and engines.default == "embedded"
    chosen = engines.get(None)
    assert (chosen.kind, chosen.workspace, chosen.node_paths) == ("embedded", None, ["/packs"])
    assert preloads(engines) == ["workers.preload"]


def test_workspaces_are_chosen_by_name() -> None:
    engines = Engines(BASE, {"new": "/a", "old": "/b"}, None)
    assert names(engines) == ["new", "embedded", "old"]  # the default first
    assert engines.get(None) == engines.get("new")
    old = engines.get("old")
    assert (old.kind, old.name, old.workspace, old.threads) == ("comfyui", "old", "/b", 3)
    assert engines.get("embedded").workspace is None
    assert Engines(BASE, {"new": "/a"}, "embedded").get(None).kind == "embedded"
    assert preloads(engines)[-1] == "workers.preload"  # it freezes what the ones before loaded
    with pytest.raises(InvalidInput, match="'x'; there are: embedded, new, old") as refused:
        engines.get("x")
    assert refused.value.field == "params.engine"
    with pytest.raises(ValueError, match="'x' is not one of embedded"):
        Engines(BASE, {}, "x")


def test_the_installed_package_needs_no_folder() -> None:
    chosen = Engines(BASE, {}, "comfyui").get(None)
    assert (chosen.kind, chosen.workspace) == ("comfyui", None)


def test_a_name_before_a_folder() -> None:
    assert split_named("a.b-c=/x=y", "d") == ("a.b-c", "/x=y")
    assert split_named("/x=y", "d") == ("d", "/x=y")
    assert split_named("C:x", "d") == ("d", "C:x")
    assert workspaces(["/a", "two=/b"]) == {"comfyui": "/a", "two": "/b"}


def test_what_a_workflow_does_is_remembered_of_its_engine() -> None:
    engines = Engines(BASE, {"new": "/a"}, None)
    assert workflow_key("abc", engines.get("embedded")) == "abc"
    assert workflow_key("abc", engines.get("new")) == "abc@new"
