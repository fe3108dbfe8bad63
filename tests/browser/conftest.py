"""What the page's tests share. They are skipped where there is no Chromium, or no playwright."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import api, live  # noqa: F401 - the same fixtures

if TYPE_CHECKING:
    from tests.support.browser import Chromium

if importlib.util.find_spec("playwright") is None:
    collect_ignore_glob = ["test_*.py"]  # they import it; see pytest_report_header


def pytest_report_header() -> str | None:
    if importlib.util.find_spec("playwright") is None:
        return "browser tests: left out, playwright is not installed (pip install '.[dev]')"
    return None


@pytest.fixture
def chromium() -> str:
    from tests.support.browser import NAMES, find_chromium

    found = find_chromium()
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    return found


@pytest.fixture
async def browser(chromium: str, tmp_path: Path) -> AsyncIterator[Chromium]:
    from tests.support.browser import open_browser

    async with open_browser(chromium, tmp_path / "shots") as browser:
        yield browser
