"""A frame queue and its two ends, for tests in one process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comfytrickle.shm.layout import Policy
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Ring
from comfytrickle.shm.writer import RingWriter
from tests.support.ring_frames import bytes_of, info_of

CAPACITY = 30_000
PATIENCE_S = 30.0


@pytest.fixture(params=list(Policy), ids=lambda policy: policy.name.lower(), name="ring")
def ring_fixture(request: pytest.FixtureRequest) -> Iterator[Ring]:
    ring = Ring.create(CAPACITY, 3, request.param)
    yield ring
    ring.close()


@pytest.fixture(name="writer")
def writer_fixture(ring: Ring) -> Iterator[RingWriter]:
    writer = RingWriter(ring)
    yield writer
    writer.close()


@pytest.fixture(name="reader")
def reader_fixture(ring: Ring) -> Iterator[RingReader]:
    reader = RingReader(ring)
    yield reader
    reader.close()


def put(writer: RingWriter, size: int = 1000) -> int:
    n = writer.sequence
    assert writer.write(info_of(n), bytes_of(n, size), timeout=PATIENCE_S)
    return n
