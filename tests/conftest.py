"""Every test leaves the machine as it found it: no process, thread, descriptor or shared memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.summary import pytest_terminal_summary as pytest_terminal_summary  # a hook
from tests.support.leaks import Baseline, find_leaks

# In a plain checkout, nothing installed, the processes that tests start need our packages too.
ROOT = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)

_baseline = pytest.StashKey[Baseline]()


def _torch_has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu and not _torch_has_cuda():
        for item in gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.stash[_baseline] = Baseline.take()
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    yield
    leaks = find_leaks(item.stash[_baseline], wait_s=5.0)
    if leaks:
        pytest.fail("left behind: " + "; ".join(leaks), pytrace=False)
