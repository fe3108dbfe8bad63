"""The parts of the control plane, put together, and the order in which they start and end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from comfytrickle.errors import WorkerError
from comfytrickle.messages import (
    ConfigureInspector,
    ConfigureStream,
    ConfigureWarm,
    EngineConfig,
    Launch,
    StreamConfig,
    ToParent,
)
from comfytrickle.workflow import parse_prompt
from control_plane.engines.engines import Engines, split_named, workspaces
from control_plane.engines.inspectors import Inspectors
from control_plane.engines.recipes import Need, Recipe
from control_plane.engines.warm_pool import WarmPool
from control_plane.pictures.inlet import Inlets
from control_plane.pictures.preview import Previews
from control_plane.placement import devices
from control_plane.placement.admission import Admission
from control_plane.placement.gpus import GpuSource, NvmlGpus
from control_plane.placement.inventory import Inventory
from control_plane.placement.needs import Needs
from control_plane.placement.readings import Readings
from control_plane.processes.budgets import Budgets
from control_plane.processes.launcher import Launcher, preloads
from control_plane.processes.logfiles import LogDir
from control_plane.processes.worker import Worker
from control_plane.settings import Settings
from control_plane.streams.policy import RestartLimits
from control_plane.streams.streams import Streams
from control_plane.streams.watchdog import Deadlines

log = logging.getLogger(__name__)

_LONGEST_BOOT_PAUSE_S = 30.0
_KILLED_S = 5.0  # from SIGKILL until a process is gone


class Service:
    """Owns the launcher, the inspector, the inventory and the streams. Serves no HTTP itself."""

    def __init__(self, settings: Settings, gpus: GpuSource | None = None) -> None:
        """``gpus``: those of the NVIDIA driver unless told."""
        self.settings = settings
        self.started_at = time.time()
        self.spec = devices.parse_spec(settings.devices)  # refused before anything is started
        assert settings.log_dir is not None  # settings.load fills it in
        self.logs = LogDir(Path(settings.log_dir), settings.keep_logs)
        self.engines = Engines(
            EngineConfig(
                node_paths=settings.nodes,
                threads=settings.torch_threads,
                memory_limit=settings.worker_memory_bytes,
            ),
            workspaces(settings.workspace),
            settings.engine,
        )
        self.launcher = Launcher(preloads(self.engines))
        self._budgets = Budgets(ready=settings.load_timeout_s)
        self.inspectors = Inspectors(
            self.engines, self._make_inspector, settings.question_timeout_s
        )
        self._gpus = gpus or NvmlGpus()
        self.inventory = Inventory(max_streams=settings.max_streams)
        self.admission = Admission(
            self.inventory,
            Needs(settings.unknown_memory_bytes, settings.worker_memory_bytes),
            Readings(self._gpus, self.inventory),
            queue_s=settings.queue_s,
        )
        self.streams = Streams(
            self._make_stream_worker,
            self.inspectors.of,
            self.admission,
            self.logs,
            limits=RestartLimits(
                budget=settings.restart_budget, forgive_s=settings.restart_forgive_s
            ),
            deadlines=Deadlines(
                silent=settings.silent_timeout_s,
                first_frame=settings.first_frame_timeout_s,
                stuck=settings.stuck_timeout_s,
            ),
            log_level=settings.log_level,
            worker_memory=settings.worker_memory_bytes,
            keep_finished=settings.keep_finished,
            keep_finished_s=settings.keep_finished_s,
        )
        self.warm = WarmPool(
            settings.warm,
            _recipes(settings, self.engines),
            self._make_warm_worker,
            lambda: list(self.inventory.devices),
            self.inventory.used,
        )
        self.previews = Previews()
        self.inlets = Inlets()
        self.booted = False
        self.boot_error: str | None = None
        self.closing = asyncio.Event()  # whoever streams an endless answer ends it then

    async def boot(self) -> None:
        """Find the devices, start the fork server, then the inspectors. /health waits for none.

        Raises InvalidInput when a named GPU is not there, GpuError when the driver is broken,
        OSError when logs cannot be written.
        """
        self.logs.create()
        found = await asyncio.to_thread(
            devices.resolve,
            self.spec,
            self._gpus.find,
            slots_per_gpu=self.settings.slots_per_gpu,
            visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
            cpus=devices.usable_cpus(),
        )
        self.inventory.fill(found)
        self.admission.begin()
        log.info("logs of the workers: %s", self.settings.log_dir)
        log.info(
            "%d slots on %s", self.inventory.total, ", ".join(f"{d.id} ({d.name})" for d in found)
        )
        pause = 1.0
        while True:
            try:
                await self.launcher.boot()
                break
            except WorkerError as error:
                self.boot_error = str(error)
                log.error("%s; next attempt in %g s", error, pause)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_BOOT_PAUSE_S, pause * 2)
        self.boot_error = None
        self.booted = True
        log.info("fork server ready after %.1f s", time.time() - self.started_at)
        self.inspectors.begin()
        self.warm.begin()

    def not_ready(self) -> str | None:
        """Why starts on the default engine cannot succeed at this moment; None when they can."""
        if self.streams.draining:
            return "draining"
        if not self.booted:
            return self.boot_error or "the fork server is still loading"
        inspector = self.inspectors.default
        if not inspector.ready:
            return inspector.last_error or "the inspector is still loading"
        return None

    async def close(self, hurry: asyncio.Event) -> bool:
        """Drain all streams within the budget, then end everything. ``hurry`` cuts it short.

        False: what had not ended by then was killed.
        """
        self.closing.set()
        self.streams.draining = True
        ending = asyncio.ensure_future(self._end_workers())
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.wait(
            [ending, hurried],
            timeout=self.settings.drain_timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        hurried.cancel()
        in_time = ending.done()
        if not in_time:
            log.warning("not all workers ended in time: killed")
            self._kill_workers()
            await asyncio.wait([ending], timeout=_KILLED_S)
        if ending.done():
            await ending
        else:
            log.error("some workers survived SIGKILL; they end with their system call")
            ending.cancel()
        await self.previews.close()
        await self.inlets.close()
        await self.admission.close()
        await self.launcher.close()
        return in_time

    def _kill_workers(self) -> None:
        """Their handles are waiting for the end of the processes, and see it at once."""
        workers = [stream.worker for stream in self.streams.registry.active()]
        for worker in (*workers, *self.inspectors.workers()):
            if worker is not None:
                worker.kill()

    async def _end_workers(self) -> None:
        await asyncio.gather(self.streams.drain(), self.inspectors.close(), self.warm.close())

    def _make_inspector(self, engine: EngineConfig) -> Worker:
        """On no GPU: a check must not take memory from a stream."""
        is_default = engine.name == self.engines.default
        alone = len(list(self.engines)) == 1
        return Worker(
            self.launcher,
            Launch(
                name="inspector" if alone else f"inspector-{engine.name}",
                log_path=str(self.logs.inspector(None if is_default else engine.name)),
                env={"CUDA_VISIBLE_DEVICES": ""},
                log_level=self.settings.log_level,
            ),
            ConfigureInspector(engine),
            budgets=Budgets(
                ready=self.settings.load_timeout_s, call=self.settings.question_timeout_s + 10.0
            ),
        )

    def _make_stream_worker(
        self, launch: Launch, config: StreamConfig, on_message: Callable[[ToParent], None]
    ) -> Worker:
        size = (config.width, config.height) if config.width and config.height else None
        digest = parse_prompt(config.workflow).digest
        warm = self.warm.take(launch.env, Need(config.engine.name, digest, size))
        if warm is not None:
            warm.assign(launch, config, on_message)
            return warm
        return Worker(
            self.launcher,
            launch,
            ConfigureStream(config),
            on_message=on_message,
            budgets=self._budgets,
        )

    def _make_warm_worker(self, recipe: Recipe, device: devices.Device, number: int) -> Worker:
        name = f"warm-{number}"
        settings = self.settings
        launch = Launch(
            name=name,
            log_path=str(self.logs.stream(name)),
            env=device.env,
            log_level=settings.log_level,
            memory_limit=device.process_limit(settings.worker_memory_bytes),
        )
        engine = msgspec.structs.replace(
            self.engines.get(recipe.engine), device=device.torch_device
        )
        size = recipe.size
        configure = ConfigureWarm(
            engine=engine,
            workflow=recipe.workflow,
            width=size[0] if size else None,
            height=size[1] if size else None,
        )
        return Worker(self.launcher, launch, configure, budgets=self._budgets)


def _recipes(settings: Settings, engines: Engines) -> list[Recipe]:
    """What the warm pool keeps: for each engine its warm workflows, or else the engine alone.
    Raises InvalidInput, InvalidWorkflow, OSError."""
    size = (settings.warm_size[0], settings.warm_size[1]) if settings.warm_size else None
    recipes = []
    for entry in settings.warm_workflow:
        engine, path = split_named(entry, engines.default)
        workflow = parse_prompt(Path(path).read_text(encoding="utf-8"), f"warm_workflow {path}")
        recipes.append(Recipe(engine, workflow.digest, size, workflow.to_api()))
    named = {recipe.engine for recipe in recipes}
    return recipes + [Recipe(engine.name) for engine in engines if engine.name not in named]
