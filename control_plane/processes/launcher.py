"""The only place that creates a worker process.

Workers are forked by a fork server that has torch and av imported already (measured: ready in
0.024 s with 6 MB of its own, against 2.5 s and 150 MB by a fresh interpreter). So a worker is a
child of the fork server, not ours: exit codes come through the start method's own pipe, and parent
death is noticed by the end of the status pipe.

All calls into ``multiprocess`` block, and run in one thread, one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import multiprocess
from multiprocess import forkserver, resource_tracker

import comfytrickle
from comfytrickle.errors import WorkerError
from comfytrickle.messages import EngineConfig, Launch
from comfytrickle.orphans import children_of, kill_child
from comfytrickle.shared import Shared
from control_plane.engines.engines import COMFYUI
from workers import entry
from workers.inherited import Inherited

log = logging.getLogger(__name__)

_PRELOAD = "workers.preload"
_PRELOAD_COMFYUI = "workers.preload_comfyui"

# Of every worker. Read by the C library and OpenMP when the fork server starts, so they cannot be
# set later.
# The malloc thresholds keep frame buffers from being mapped and unmapped for every frame
# (100 to 350 page faults a frame); OpenMP threads that spin while waiting triple the CPU time
# of small tensor operations.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "OMP_WAIT_POLICY": "PASSIVE",
    # numpy's import starts a thread pool otherwise, in a process that is there to be forked.
    "OPENBLAS_NUM_THREADS": "1",
}

# After a process has ended, how long the fork server may take to reap it and tell its exit code.
_REAP_S = 2.0
# multiprocess's exit code for a child whose fork server died: not a code of the child's.
_FORK_SERVER_GONE = 255
_ORPHANS_S = 1.0  # for their ends
_SERVER_ENDS_S = 5.0  # for a killed fork server, whose memory is being given back


class ChildProcess:
    """A worker process as the operating system sees it. Owned by one Worker handle."""

    def __init__(self, process: Any, lifeline: socket.socket) -> None:
        self._process = process
        self._lifeline = lifeline
        self.pid: int = process.pid
        # A descriptor for the process itself: a signal through it can never hit another process
        # that got the same number, and it tells of the end also when the fork server is gone.
        try:
            self._pidfd: int | None = os.pidfd_open(self.pid)
        except ProcessLookupError:
            self._pidfd = None  # ended and reaped already

    async def wait(self) -> int | None:
        """Until the process has ended: its exit code (negative: the signal that ended it).

        None: the fork server died before it could tell.
        """
        if self._pidfd is not None:
            await _readable(self._pidfd)
        # The fork server reaps it and sends the code here, or has died, which ends the pipe.
        sentinel = int(self._process.sentinel)
        try:
            await asyncio.wait_for(_readable(sentinel), _REAP_S)
        except asyncio.TimeoutError:
            return None
        code = self._process.exitcode
        return None if code in (None, _FORK_SERVER_GONE) else int(code)

    def signal(self, number: signal.Signals) -> None:
        """To the process alone; nothing happens when it has ended."""
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass  # ended meanwhile, which is what the caller wants

    def kill_group(self) -> None:
        """SIGKILL to the worker and to everything it forked (it leads a session of its own)."""
        self.signal(signal.SIGKILL)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # no such group: nothing was forked, or it never came to make one

    def close(self) -> None:
        """After it ended: release descriptors."""
        self._lifeline.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._process.join(0)
        try:
            self._process.close()
        except ValueError:
            # The fork server did not tell of its end, or hangs; what is left here, a pipe, is
            # closed when this object is collected.
            log.warning("worker %d has ended, and the fork server does not say so", self.pid)


async def _readable(descriptor: int) -> None:
    """Until ``descriptor`` can be read, or has ended."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)


def preloads(engines: Iterable[EngineConfig]) -> list[str]:
    """Modules to preload for these engines."""
    comfyui = any(engine.kind == COMFYUI for engine in engines)
    # Last of all _PRELOAD, which has the memory of all of them frozen.
    return [*([_PRELOAD_COMFYUI] if comfyui else []), _PRELOAD]


class Launcher:
    """Starts worker processes from a preloaded fork server."""

    def __init__(self, preload: Sequence[str] = (_PRELOAD,)) -> None:
        """``preload``: modules that the fork server imports before it forks."""
        self._context = multiprocess.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="launcher")
        self._workers: set[int] = set()  # pids; used in that thread
        self._booting = False
        self._closed = False

    async def boot(self) -> None:
        """Start the fork server and wait until its imports are done (2 to 3 s).

        Begin it at start-up as a task: /health does not wait for it. Raises WorkerError when the
        fork server cannot start.
        """
        self._booting = True
        await self._call(self._boot)
        self._booting = False

    def _boot(self) -> None:
        with _environment():
            forkserver.ensure_running()
        if self._closed:
            return
        # A process that ends at once: when it was forked, the imports before it are done.
        probe = self._context.Process(target=os.getpid)
        probe.start()
        probe.join()
        code = probe.exitcode
        probe.close()
        if code != 0:
            raise WorkerError(f"the fork server's first process ended with {code}")

    async def launch(
        self, sock: socket.socket, shared: Shared | None, launch: Launch
    ) -> ChildProcess:
        """Fork a worker. ``sock`` is its end of the status pipe; closed here in any case.

        ``shared`` stays the caller's; the worker gets descriptors of its own.
        """
        inherited = None if shared is None else [Inherited(d) for d in shared.descriptors]
        arguments = (inherited, msgspec.json.encode(launch))
        try:
            child: ChildProcess = await self._call(self._launch, sock, *arguments)
            return child
        finally:
            sock.close()

    def _launch(self, sock: socket.socket, *arguments: Any) -> ChildProcess:
        try:
            return self._fork(sock, *arguments)
        except (EOFError, ConnectionError) as error:
            # The fork server was killed just now. A worker that it may have forked still, without
            # telling, has lost its lifeline; the next attempt starts a new fork server.
            log.warning("the fork server is gone (%r): starting another", error)
            _end_fork_server()
            return self._fork(sock, *arguments)

    def _fork(self, sock: socket.socket, *arguments: Any) -> ChildProcess:
        ours, theirs = socket.socketpair()
        try:
            process = self._context.Process(target=entry.main, args=(sock, theirs, *arguments))
            with _environment():  # in case the fork server has to be started for this one
                process.start()
            child = ChildProcess(process, ours)
            self._workers.add(child.pid)
            return child
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    async def bury(self, pid: int) -> None:
        """A worker has ended: end what it has started and left, also outside of its group."""
        if not self._closed:
            await self._call(self._bury, pid)

    def _bury(self, pid: int) -> None:
        self._workers.discard(pid)
        self._end_orphans()

    def _end_orphans(self) -> None:
        """The fork server's children that are no workers. In the thread that makes workers: none
        is being made meanwhile."""
        server = forkserver._forkserver._forkserver_pid
        deadline = time.monotonic() + _ORPHANS_S
        while server is not None and time.monotonic() < deadline:
            orphans = set(children_of(server)) - self._workers
            if not orphans:
                return
            for pid in orphans:
                kill_child(pid, server)
            time.sleep(0.005)  # until they are reaped, and their children have come up

    async def _call(self, function: Any, *args: Any) -> Any:
        if self._closed:
            raise WorkerError("the launcher is closed")
        future = asyncio.get_running_loop().run_in_executor(self._thread, function, *args)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The thread goes on; a child that it makes after all must not be lost.
            future.add_done_callback(_discard)
            raise
        except (OSError, EOFError) as error:
            raise WorkerError(f"cannot start a process: {error!r}") from error

    async def close(self) -> None:
        """End the fork server. Workers must have ended before. Idempotent."""
        if self._closed:
            return
        self._closed = True
        server = forkserver._forkserver._forkserver_pid
        if self._booting and server is not None:
            # The thread waits until its imports are done, which nobody needs any more.
            os.kill(server, signal.SIGKILL)  # our child, not reaped yet: never another
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._end_orphans)
        await loop.run_in_executor(self._thread, _stop_fork_server)
        self._thread.shutdown(wait=True)


def _discard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and future.exception() is None:
        child = future.result()
        if isinstance(child, ChildProcess):
            log.warning("worker %d was started for a caller that is gone: killed", child.pid)
            child.kill_group()
            child._process.join(5)
            child.close()


def _end_fork_server() -> None:
    """It does not serve any more: have it ended. Its socket closes before it can be seen to be
    dead, and until then ``multiprocess`` would go on asking it."""
    pid = forkserver._forkserver._forkserver_pid
    if pid is None:
        return
    server = os.pidfd_open(pid)  # our child, not reaped yet: never another
    try:
        signal.pidfd_send_signal(server, signal.SIGKILL)
        select.select([server], [], [], _SERVER_ENDS_S)
    finally:
        os.close(server)


def _stop_fork_server() -> None:
    # The only public way is to let them notice our death. A control plane that stops says that
    # nothing of it is left, so it ends both itself. By a signal: asked politely, the fork server
    # waits for every worker to end, and one may be stuck in the kernel.
    server = forkserver._forkserver
    if server._forkserver_pid is not None:
        os.kill(server._forkserver_pid, signal.SIGTERM)  # our child, not reaped yet: never another
    server._stop()
    resource_tracker._resource_tracker._stop()  # started with it; we name nothing it would track


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What the fork server gets, in the thread that starts it only for as long as that takes."""
    # The fork server imports what it preloads with its own default path, and skips it silently when
    # that fails: in a plain checkout (nothing installed) our packages' folders must be on it.
    roots = [str(Path(m.__path__[0]).parent) for m in (comfytrickle, sys.modules["workers"])]
    path = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
    changed = {k: v for k, v in ENVIRONMENT.items() if k not in os.environ}
    changed["PYTHONPATH"] = path
    saved = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
