"""Every fault of a worker, done to one stream beside a healthy one: what came of it.

What the tests assert and scripts/bench_faults.py shows. The pool needs ``FLAGS``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from comfytrickle.testsrc.encoder import EncoderSpec
from tests.support import misbehaving
from tests.support.lane import SPEC, Lane, Report
from tests.support.live import Api

DEADLINES = {"stuck": 2.0, "silent": 3.0, "first-frame": 3.0, "load": 3.0}
FLAGS = (
    *("--nodes", str(Path(misbehaving.__file__).parent)),
    *(word for name, s in DEADLINES.items() for word in (f"--{name}-timeout-s", str(s))),
    *("--restart-budget", "3"),
)
BEFORE = 20  # frames in the sink before the fault
AFTER = 30  # frames after it


class Then(Enum):
    """What has to become of the stream."""

    RESTART = "restart"  # its worker is replaced
    GO_ON = "go on"  # the same worker goes on
    END = "end"  # it cannot be served


@dataclass(frozen=True)
class Fault:
    """``deed``: of tests/support/misbehaving; None: done from outside, by ``outside``.

    ``always``: in every worker that the stream gets. ``at_load``: before the first frame.
    ``at_counter``: at that picture of the source. ``lost``: frames that the deed itself costs.
    """

    name: str
    then: Then
    deed: str | None = None
    node: str = "Misbehave"
    outside: Callable[[int], None] | None = None  # pid of the worker
    always: bool = False
    at_load: bool = False
    at_counter: int = -1
    lost: int = 0

    def workflow(self, trigger: Path, stamp: Path) -> dict[str, Any]:
        """Between LoadTensor and SaveTensor the node that misbehaves."""
        middle: dict[str, Any] = {"class_type": self.node, "inputs": {"image": ["1", 0]}}
        told: dict[str, Any] = {"trigger": "" if self.always else str(trigger), "stamp": str(stamp)}
        graph = {
            "1": {"class_type": "LoadTensor", "inputs": {}},
            "7": middle,
            "9": {"class_type": "SaveTensor", "inputs": {"images": ["7", 0]}},
        }
        if self.node == "Misbehave" and self.deed is not None:
            middle["inputs"] |= {"deed": self.deed, "at_counter": self.at_counter, **told}
            if self.always and self.at_counter < 0:
                middle["inputs"]["after"] = BEFORE
        elif self.node == "MisbehaveConstant":
            graph["5"] = {"class_type": self.node, "inputs": {"deed": self.deed, **told}}
            middle["class_type"] = "Misbehave"
            # never itself: its trigger does not come
            middle["inputs"] |= {"deed": "raise_error", "trigger": "/nonexistent/trigger"}
            middle["inputs"]["level"] = ["5", 0]
        elif self.deed is None and self.node == "Misbehave":
            del graph["7"]
            graph["9"]["inputs"]["images"] = ["1", 0]
        return graph


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def _kill_with_its_fork_server(pid: int) -> None:
    server = psutil.Process(pid).parent()
    assert server is not None
    server.kill()
    os.kill(pid, signal.SIGKILL)


def _kill_the_fork_server(pid: int) -> None:
    server = psutil.Process(pid).parent()
    assert server is not None
    server.kill()


_RESTARTS = [
    "segfault",
    "leave",
    "kill_itself",
    "fork_and_leave",
    "fork_a_daemon_and_leave",
    "loop_in_python",
    "loop_holding_the_gil",
    "wait_holding_the_gil",
    "search_holding_the_gil",
    "loop_in_c",
    "sleep",
    "stop_itself",
    "ignore_the_end",
    "close_descriptors",
    "garbage_on_the_pipe",
    "announce_much_on_the_pipe",
    "flood_the_pipe",
    "hoard",
    "hoard_to_the_limit",
]
_GO_ON = {
    "fork_a_daemon": 0,
    "leak_threads": 0,
    "raise_error": 1,
    "sys_exit": 1,
}

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("killed", Then.RESTART, outside=_kill),
        Fault("stopped", Then.RESTART, outside=_stop),
        Fault("fork_server_killed", Then.GO_ON, outside=_kill_the_fork_server),
        Fault("killed_with_fork_server", Then.RESTART, outside=_kill_with_its_fork_server),
        *(Fault(deed, Then.RESTART, deed) for deed in _RESTARTS),
        Fault("poisonous_picture", Then.RESTART, "segfault", always=True, at_counter=50, lost=60),
        *(Fault(deed, Then.GO_ON, deed, lost=lost) for deed, lost in _GO_ON.items()),
        Fault("raise_always", Then.END, "raise_error", always=True),
        Fault("segfault_always", Then.END, "segfault", always=True),
        Fault("not_built", Then.END, node="CannotBeBuilt", at_load=True, always=True),
        Fault("raise_at_load", Then.END, "raise_error", "MisbehaveConstant", at_load=True,
              always=True),
        Fault("segfault_at_load", Then.END, "segfault", "MisbehaveConstant", at_load=True,
              always=True),
        Fault("never_ready", Then.END, node="NeverBuilt", at_load=True, always=True),
    )
}  # fmt: skip


@dataclass
class Outcome:
    """What one fault did. Times are seconds after it."""

    fault: str
    begun: float  # time.monotonic(), of the fault
    detected_s: float | None = None
    output_again_s: float | None = None
    report: Report | None = None
    status: dict[str, Any] = field(default_factory=dict)
    over: bool = False  # the stream ended by the fault

    @property
    def ended(self) -> str:
        """How the stream ended, in a few words."""
        status = self.status
        error = (status.get("last_error") or {}).get("message") or ""
        words = f"{status.get('health')}: {status.get('exit_cause')}"
        return f"{words} ({error.splitlines()[0][:80]})" if self.over and error else words


class Victim:
    """One stream to which a fault is done."""

    def __init__(
        self,
        api: Api,
        session: aiohttp.ClientSession,
        channels: str,
        folder: Path,
        fault: Fault,
        name: str | None = None,
    ) -> None:
        self._api = api
        self._session = session
        self._channels = channels
        self.fault = fault
        self.name = name or fault.name
        self._trigger = folder / f"{self.name}.trigger"
        self._stamp = folder / f"{self.name}.stamp"

    async def suffer(self, spec: EncoderSpec = SPEC, **params: Any) -> Outcome:
        """Start the stream, do it, wait for what has to come of it, end the stream."""
        fault = self.fault
        workflow = fault.workflow(self._trigger, self._stamp)
        if fault.at_load and not fault.always:
            self._trigger.touch()
        async with Lane.open(self._session, self._channels, self.name, spec) as lane:
            begun = time.monotonic()
            await self._api.start(
                self.name, lane.source_url, lane.sink_url, prompt=workflow, **params
            )
            if fault.at_load:
                outcome = Outcome(fault.name, self._stamped() or begun)
            else:
                await lane.came(BEFORE)
                outcome = Outcome(fault.name, await self._do())
            await self._see(outcome, lane)
            await lane.end()
            if not outcome.over:
                await lane.over()
                await self._api.wait(self.name, lambda s: not s["running"])
            outcome.report = await lane.report()
            outcome.output_again_s = self._again(outcome, lane)
        outcome.status = await self._api.status(self.name)
        return outcome

    async def _do(self) -> float:
        """The moment of the fault."""
        fault = self.fault
        if fault.outside is not None:
            pid = (await self._api.status(self.name))["pid"]
            begun = time.monotonic()
            fault.outside(pid)
            return begun
        if not fault.always:
            self._trigger.touch()
        deadline = time.monotonic() + 30
        while (stamped := self._stamped()) is None:
            assert time.monotonic() < deadline, f"{fault.name}: it was not done"
            await asyncio.sleep(0.005)
        return stamped

    def _stamped(self) -> float | None:
        try:
            text = self._stamp.read_text()
        except FileNotFoundError:
            return None
        return float(text.split()[0]) if text.endswith("\n") else None

    async def _see(self, outcome: Outcome, lane: Lane) -> None:
        """Until what has to come of it has come."""
        then = self.fault.then
        if then is Then.END:
            status = await self._api.wait(self.name, lambda s: not s["running"], 60)
            outcome.over = True
        elif then is Then.RESTART:
            status = await self._api.wait(self.name, lambda s: s["restarts"], 60)
        else:
            expects_error = self.fault.lost
            status = await self._api.wait(
                self.name, lambda s: not expects_error or s["node_errors"], 60
            )
        outcome.detected_s = _detected(status, outcome.begun)
        if not outcome.over:
            await lane.came(AFTER)

    def _again(self, outcome: Outcome, lane: Lane) -> float | None:
        if outcome.over:
            return None
        restarted = self.fault.then is Then.RESTART
        look = lane.output_again if restarted else lane.first_after
        again = look(outcome.begun)
        return None if again is None else again - outcome.begun


def _detected(status: dict[str, Any], begun: float) -> float | None:
    """Seconds from the fault to the first death on record, or to the first error."""
    told = status["deaths"][0] if status["deaths"] else status["last_error"]
    if told is None:
        return None
    at = datetime.fromisoformat(told["time"].replace("Z", "+00:00")).timestamp()
    return at + time.monotonic() - time.time() - begun
