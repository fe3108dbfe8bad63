"""All that a worker and its parent share by descriptor: the progress page and the frame queues.

The parent makes it before it launches the worker, so that one in store has it as well. Until
something is written, it takes a few pages.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from comfytrickle.frame_message import HEADER_BYTES, MAX_MESSAGE
from comfytrickle.progress import ProgressPage
from comfytrickle.shm.layout import Policy
from comfytrickle.shm.ring import Descriptors, Ring

_SLOTS = 4
MAX_SHOWN = HEADER_BYTES + (16 << 20)  # bytes of one picture for viewers
_QUEUE = len(Descriptors._fields)


@dataclass(frozen=True, slots=True)
class Shared:
    """Owns its descriptors; ``close`` releases them.

    ``outlet``: frame messages from the worker, the oldest go. ``inlet``: frame messages to it; who
    writes waits for room.
    """

    page: ProgressPage
    outlet: Descriptors
    inlet: Descriptors

    @classmethod
    def create(cls) -> Shared:
        """Raises WorkerError on a machine that can have no frame queues."""
        outlet = _queue(MAX_SHOWN, Policy.OVERWRITE)
        inlet = _queue(MAX_MESSAGE, Policy.BLOCK)
        return cls(ProgressPage.create(), outlet, inlet)

    @classmethod
    def of(cls, descriptors: list[int]) -> Shared:
        """What another process made; ``descriptors`` as they stood there, taken over."""
        page, queues = descriptors[0], descriptors[1:]
        return cls(ProgressPage(page), Descriptors(*queues[:_QUEUE]), Descriptors(*queues[_QUEUE:]))

    @property
    def descriptors(self) -> list[int]:
        return [self.page.descriptor, *self.outlet, *self.inlet]

    def close(self) -> None:
        self.page.close()
        for descriptor in (*self.outlet, *self.inlet):
            os.close(descriptor)


def attach(descriptors: Descriptors) -> Ring:
    """A ring of its own; the descriptors stay the caller's."""
    copies = Descriptors(*map(os.dup, descriptors))
    try:
        return Ring(copies)
    except BaseException:
        for descriptor in copies:
            os.close(descriptor)
        raise


def _queue(capacity: int, policy: Policy) -> Descriptors:
    """Its descriptors alone: hundreds of megabytes of addresses are mapped when they are used."""
    ring = Ring.create(capacity, _SLOTS, policy)
    try:
        return ring.duplicate()
    finally:
        ring.close()
