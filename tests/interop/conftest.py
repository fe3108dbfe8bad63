"""The peer's site folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.peer_site import NoPeer, peer_site


@pytest.fixture(scope="session")
def site() -> Path:
    try:
        return peer_site()
    except NoPeer as error:
        pytest.skip(str(error))
