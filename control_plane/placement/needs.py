"""How much memory each workflow was seen to take: what the next start of it will need.

Pure, but for what it remembers. Bounded: what was used longest ago goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from comfytrickle.messages import Status, StreamConfig
from control_plane.placement.devices import Device

_WORKFLOWS_KEPT = 1000
_SIZES_KEPT = 16  # of each

# What a CUDA context and the libraries' handles take beside torch's pool, where the driver does
# not tell what a process has in all.
CONTEXT_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Workload:
    """A workflow at a size; without one, at that of its source, whatever that is."""

    digest: str
    width: int | None = None
    height: int | None = None

    @classmethod
    def of(cls, digest: str, config: StreamConfig) -> Workload:
        return cls(digest, config.width, config.height)


def taken(device: Device, status: Status, listed: int | None) -> int | None:
    """Bytes that a worker has taken where its frames are computed: on its GPU, or of its own.

    ``listed``: what the driver says of its process, which is all of it; the worker itself knows
    the peak of torch's pool. None: nothing is known.
    """
    if device.torch_device == "cpu":
        return status.rss
    if status.device_memory is None:
        return listed
    if listed is None:
        return status.device_memory + CONTEXT_BYTES
    return max(listed, status.device_memory)


class Needs:
    """``default``: of a workflow that never ran (0: it is placed without regard to memory).
    ``cap``: what a worker can take at most."""

    def __init__(self, default: int = 0, cap: int | None = None) -> None:
        self._default = default
        self._cap = cap
        self._seen: OrderedDict[str, OrderedDict[tuple[int | None, int | None], int]] = (
            OrderedDict()
        )

    def of(self, load: Workload) -> int:
        """Bytes. At a size that never ran: the most that it took at another one."""
        sizes = self._seen.get(load.digest)
        if not sizes:
            need = self._default
        else:
            need = sizes.get((load.width, load.height)) or max(sizes.values())
        return need if self._cap is None else min(need, self._cap)

    def running(self, load: Workload, amount: int) -> None:
        """A worker with it has taken so much by now."""
        self._note(load, max(amount, self._known(load)))

    def ended(self, load: Workload, peak: int) -> None:
        """A worker that did its work has ended. Its peak counts from now on, also when it is less
        than once before: one that leaked is not held against a workflow for ever."""
        self._note(load, peak)

    def _known(self, load: Workload) -> int:
        sizes = self._seen.get(load.digest)
        return 0 if sizes is None else sizes.get((load.width, load.height), 0)

    def _note(self, load: Workload, amount: int) -> None:
        sizes = self._seen.setdefault(load.digest, OrderedDict())
        self._seen.move_to_end(load.digest)
        sizes[load.width, load.height] = amount
        sizes.move_to_end((load.width, load.height))
        if len(sizes) > _SIZES_KEPT:
            sizes.popitem(last=False)
        if len(self._seen) > _WORKFLOWS_KEPT:
            self._seen.popitem(last=False)


class Meter:
    """Follows one worker, from its start to its end, as long as it runs what it started with:
    what it takes after a change of its params says nothing sure of either workflow."""

    def __init__(self, needs: Needs, device: Device, load: Workload, revision: int) -> None:
        self._needs = needs
        self._device = device
        self._load = load
        self._revision = revision
        self._peak = 0
        self._worked = False

    def heard(self, status: Status, listed: int | None) -> int | None:
        """Its report. Returns what it has taken by now, if that is known."""
        amount = taken(self._device, status, listed)
        if amount is not None and status.revision == self._revision:
            self._peak = max(self._peak, amount)
            self._worked = self._worked or status.counters.came_out > 0
            self._needs.running(self._load, amount)
        return amount

    def ended(self) -> None:
        """No report will come any more. One that died while it loaded has shown nothing."""
        if self._worked:
            self._needs.ended(self._load, self._peak)
