"""What the tests of the comfyui engine share: a process for each workspace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.comfyui_lab import Child, Lab, open_lab
from tests.support.comfyui_started import WHICH, Started, started_engine


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with open_lab() as opened:
        yield opened


@pytest.fixture(scope="module", params=WHICH)
def started(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Started]:
    """One process for each workspace."""
    folder = tmp_path_factory.mktemp("comfyui") / "ComfyUI"
    with started_engine(lab, folder, request.param) as opened:
        yield opened


@pytest.fixture
def child(started: Started) -> Child:
    return started.child
