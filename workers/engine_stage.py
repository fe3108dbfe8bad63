"""Second thread: builds the engine, then runs every frame through the workflow.

It owns the engine, the loaded workflow and the conversion buffers. A change of params takes effect
here, between two frames; until its workflow is loaded (:mod:`workers.loader`), the old one goes on.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from comfytrickle.messages import (
    Failed,
    ParamsApplied,
    ParamsRejected,
    StreamConfig,
    Texts,
    UpdateParams,
)
from comfytrickle.workflow import parse_prompt
from workers.device import DeviceFailed, device_problem
from workers.engine.bridge import FrameBridge
from workers.engine.factory import build_engine
from workers.engine.live import LiveWorkflow, load_live
from workers.engine.protocol import Engine, NodeFailed, RunContext
from workers.loader import Change, Loader
from workers.mark import marked
from workers.media.frames import RGB, Frame
from workers.media.slot import Slot
from workers.node_errors import GaveOut, NodeErrors, Reaction
from workers.notice import Loading, loading_notice
from workers.outlet import Outlet
from workers.queues import Closed, Handover
from workers.stages import Stage
from workers.stats import Drops, Stats
from workers.texts import lines_of

log = logging.getLogger(__name__)

# The same failure for every frame is logged and reported once in this many seconds.
_REPORT_EVERY_S = 2.0

Size = tuple[int, int]  # width, height


class EngineStage(Stage):
    """Take the frame the slot gives, run it, pass on what reached SaveTensor."""

    def __init__(
        self,
        config: StreamConfig,
        slot: Slot,
        output: Handover[Frame],
        stats: Stats,
        engine: Engine | None = None,
        warmed: LiveWorkflow | None = None,
        *,
        on_ready: Callable[[float], None],
        on_params: Callable[[ParamsApplied | ParamsRejected], None],
        on_failed: Callable[[Failed], None],
        on_error: Callable[[str, Exception], None],
        on_texts: Callable[[Texts], object] = lambda _: None,
        outlet: Outlet | None = None,
    ) -> None:
        """``engine``: one that was built before; ``warmed``: a workflow that it has loaded. Both
        are closed here."""
        super().__init__("engine", on_error)
        self._config = config
        self._slot = slot
        self._output = output
        self._outlet = outlet or Outlet(None)
        self._stats = stats
        self._engine = engine
        self._warmed = warmed
        self._on_ready = on_ready
        self._on_params = on_params
        self._on_failed = on_failed
        self._on_texts = on_texts
        self._changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self._loader = Loader(self._changed)
        self._reported_at = 0.0
        self._unreported = 0
        self._drops = Drops()
        self._errors = NodeErrors(config.on_error, config.on_error_after)
        self._loading = Loading(config.while_loading)
        # Of the last frame that worked: the source's size, and that of what became of it.
        self._sizes: tuple[Size, Size] | None = None
        self._interrupted = False
        self.revision = config.revision
        self.detail: dict[str, Any] = {}

    def update(self, params: UpdateParams) -> None:
        """Ask for new params; the answer comes through ``on_params``. From one thread."""
        self._loading.change(params.while_loading)  # of this very change, if it says so
        if params.workflow is not None:
            self._loading.asked(time.monotonic())
        self._loader.ask(params)

    def interrupt(self) -> None:
        """Run no further frame, and end the one at work, or the load, as soon as the engine can
        look. Any thread. Ask again until it is over: what just begins may not hear it."""
        self._interrupted = True
        if self._engine is not None:
            self._engine.interrupt()

    def dropped(self) -> dict[str, int]:
        """Frames that failed in the graph, by cause."""
        return self._drops.snapshot()

    def work(self) -> None:
        begun = time.monotonic()
        if self._engine is None:
            self._engine = build_engine(self._config.engine)
        try:
            workflow = load_live(self._engine, parse_prompt(self._config.workflow))
        except NodeFailed as error:
            if self._was_interrupted(error):
                return
            raise
        self._close_warmed()  # what it shares with the stream's own stays loaded
        self.detail = workflow.detail
        bridge = FrameBridge(self._engine.device)
        self._loader.begin(self._engine)
        self._on_ready(time.monotonic() - begun)
        try:
            self._serve(workflow, bridge)
        except Closed:
            pass  # the encoder has gone first and has said why

    def abort(self) -> None:
        self._slot.close()
        self._output.end()

    def release(self) -> None:
        self._loader.end()
        while not self._changes.empty():
            self._changes.get().drop()
        self._close_warmed()
        if self._engine is not None:
            self._engine.close()

    def _close_warmed(self) -> None:
        if self._warmed is not None:
            self._warmed.close()
            self._warmed = None

    def _serve(self, workflow: LiveWorkflow, bridge: FrameBridge) -> None:
        try:
            while True:
                frame = self._slot.take()
                while not self._changes.empty():
                    workflow = self._apply(workflow, self._changes.get())
                if frame is None:
                    if self._slot.closed:
                        return
                    continue
                self._run(workflow, bridge, frame)
        finally:
            workflow.close()

    def _run(self, workflow: LiveWorkflow, bridge: FrameBridge, frame: Frame) -> None:
        if self._interrupted:
            self._drops.add("interrupted")
            return
        begun = self.busy_since = time.monotonic()
        if self._loading.is_due(begun):
            self.busy_since = None
            self._stats.passed_through += 1
            self._send(frame, loading_notice(frame.rgb, self._output_size(frame), begun))
            return
        if workflow.picture is None:
            self.busy_since = None
            self._pass_on(frame, replace(frame, engine_done=begun))
            return
        context = RunContext()
        try:
            rgb, owner = bridge.download(workflow.picture.run(bridge.upload(frame.rgb), context))
        except NodeFailed as error:
            if self._was_interrupted(error):
                self._drops.add("interrupted")
                return
            shown = self._after_failure(frame, error)
            if shown is None:
                return
            self._send(frame, shown)
            return
        except RuntimeError as error:  # kernels run later than they are called: seen in a copy
            self._check_device(error)
            raise
        else:
            self._errors.worked()
            self._sizes = _size(frame.rgb), _size(rgb)
        finally:
            self.busy_since = None
        done = time.monotonic()
        self._stats.engine.add(done - begun)
        if context.taken and (lines := lines_of(context, frame.pts)):
            self._on_texts(Texts(lines))
        self._pass_on(frame, replace(frame, rgb=rgb, owner=owner, engine_done=done))

    def _send(self, frame: Frame, picture: RGB) -> None:
        """One that no workflow made."""
        done = time.monotonic()
        made = replace(frame, rgb=picture, owner=picture, engine_done=done)
        self._pass_on(frame, made, marked=True)

    def _pass_on(self, frame: Frame, made: Frame, *, marked: bool = False) -> None:
        if self._outlet.watches_output:
            self._outlet.offer_output(frame, made, marked=marked)
        self._output.put(made)

    def _output_size(self, frame: Frame) -> Size:
        """That of the last frame that worked: another one would cost a new encoder, and viewers a
        jump."""
        size = _size(frame.rgb)
        if self._sizes is not None and self._sizes[0] == size:
            return self._sizes[1]
        return size

    def _after_failure(self, frame: Frame, error: NodeFailed) -> RGB | None:
        """The picture to send in place of what failed; None: it is dropped. Raises GaveOut,
        DeviceFailed."""
        self._stats.node_errors += 1
        reaction = self._errors.failed(out_of_memory=error.out_of_memory)
        gives_out = reaction in (Reaction.REPLACE, Reaction.END)
        self._report(error, at_once=gives_out)
        if reaction is not Reaction.PASS:
            self._drops.add("error")
        self._check_device(error)
        if gives_out:
            final = reaction is Reaction.END
            raise GaveOut(error, self._errors.in_a_row, final=final) from None
        if reaction is Reaction.DROP:
            return None
        self._stats.passed_through += 1
        return marked(frame.rgb, self._output_size(frame))

    def _was_interrupted(self, error: NodeFailed) -> bool:
        """By us: a node may do it too, and that is a failure of its own."""
        if self._interrupted and error.interrupted:
            log.warning("%s", error)
            return True
        return False

    def _check_device(self, error: Exception) -> None:
        """Raises DeviceFailed when no later frame can fare better."""
        problem = device_problem()
        if problem is not None:
            raise DeviceFailed(f"{problem}; met in: {error}") from None

    def _changed(self, change: Change) -> None:
        """From the loader's thread: what was asked for can be applied."""
        self._changes.put(change)
        self._slot.poke()

    def _apply(self, current: LiveWorkflow, change: Change) -> LiveWorkflow:
        """Between two frames."""
        if change.params.workflow is not None:
            self._loading.settled()
        if isinstance(change.answer, ParamsApplied):
            if change.workflow is not None:
                current.close()
                current = change.workflow
                self.detail = current.detail
                self._errors.worked()
                self._sizes = None
            self._errors.change(change.params.on_error, change.params.on_error_after)
            if change.params.max_framerate is not None:
                self._slot.set_max_framerate(change.params.max_framerate)
            self.revision = change.params.revision
            log.info("params of revision %d are in use", self.revision)
        self._on_params(change.answer)
        return current

    def _report(self, error: NodeFailed, *, at_once: bool) -> None:
        now = time.monotonic()
        self._unreported += 1
        if now - self._reported_at < _REPORT_EVERY_S and not at_once:
            return
        log.error("%s (%d frames failed since the last report)\n%s", error, self._unreported,
                  error.traceback)  # fmt: skip
        self._reported_at, self._unreported = now, 0
        if not at_once:  # else the stage's own end tells it
            self._on_failed(
                Failed("node", error.message, error.node_id, error.node_type, at=time.time())
            )


def _size(rgb: RGB) -> Size:
    return int(rgb.shape[1]), int(rgb.shape[0])
