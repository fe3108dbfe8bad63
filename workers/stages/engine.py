"""Second thread: builds the engine, then runs every frame through the workflow.

It owns the engine, the loaded workflow and the conversion buffers. A change of params takes effect
here, between two frames; until its workflow is loaded (:mod:`workers.stages.loader`), the old one
goes on.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from comfytrickle.errors import ComfytrickleError
from comfytrickle.messages import (
    Failed,
    ParamsApplied,
    ParamsRejected,
    StreamConfig,
    Texts,
    UpdateParams,
)
from comfytrickle.workflow import parse_prompt
from workers.ends.outlet import Outlet
from workers.engine.bridge import FrameBridge
from workers.engine.factory import build_engine
from workers.engine.live import LiveWorkflow, load_live
from workers.engine.protocol import Engine, NodeFailed, RunContext
from workers.media.frames import RGB, Frame
from workers.media.slot import Slot
from workers.sound.ear import Ear
from workers.sound.route import SoundRoute
from workers.stages.hearing import Hearing
from workers.stages.loader import Change, Loader
from workers.stages.mark import marked
from workers.stages.node_errors import Reaction
from workers.stages.node_trouble import NodeTrouble, check_device
from workers.stages.notice import Loading, loading_notice
from workers.stages.queues import Closed, Handover
from workers.stages.stage import Stage
from workers.stages.stats import Drops, Stats
from workers.stages.texts import lines_of

log = logging.getLogger(__name__)

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
        ear: Ear,
        route: SoundRoute,
        lead: Callable[[], int],
        on_texts: Callable[[Texts], object] = lambda _: None,
        outlet: Outlet | None = None,
    ) -> None:
        """``engine``: one that was built before; ``warmed``: a workflow that it has loaded. Both
        are closed here. ``ear``, ``route``: where sound comes from and goes to; ``lead``: the PID
        of the track that is heard."""
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
        self._on_texts = on_texts
        self._changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self._loader = Loader(self._changed)
        self._drops = Drops()
        self._trouble = NodeTrouble("frame", config, stats, on_failed)
        self._sound_trouble = NodeTrouble("piece", config, stats, on_failed)
        self._hearing = Hearing(
            ear, route, stats, self, lead, on_taken=self._heard, on_failed=self._sound_failed
        )
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
        self._hearing.follow(workflow)
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
                self._hear(workflow, frame)
                if frame is None:  # it was poked, or it is over
                    if self._slot.closed and not self._slot.waiting:
                        return
                    continue
                self._run(workflow, bridge, frame)
        finally:
            workflow.close()

    def _hear(self, workflow: LiveWorkflow, frame: Frame | None) -> None:
        """Sound comes before the frame, which may be shown by it."""
        if workflow.piece_s:
            if frame is not None:
                self._hearing.frame_came(frame.pts)
            self._hearing.hear(workflow, untouched=self._interrupted)

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
        context = RunContext(sound=self._hearing.at(frame.pts) if workflow.piece_s else None)
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
            check_device(error)
            raise
        else:
            self._trouble.worked()
            self._sizes = _size(frame.rgb), _size(rgb)
        finally:
            self.busy_since = None
        done = time.monotonic()
        self._stats.engine.add(done - begun)
        self._took(context, frame.pts)
        self._pass_on(frame, replace(frame, rgb=rgb, owner=owner, engine_done=done))

    def _took(self, context: RunContext, pts: int) -> None:
        if context.taken and (lines := lines_of(context, pts)):
            self._on_texts(Texts(lines))

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
        try:
            reaction = self._trouble.met(error)
        except ComfytrickleError:
            self._drops.add("error")
            raise
        if reaction is Reaction.DROP:
            self._drops.add("error")
            return None
        self._stats.passed_through += 1
        return marked(frame.rgb, self._output_size(frame))

    def _heard(self, context: RunContext, pts: int) -> None:
        self._sound_trouble.worked()
        self._took(context, pts)

    def _sound_failed(self, error: NodeFailed) -> None:
        """A piece of sound, which then goes on as it came. Raises GaveOut, DeviceFailed."""
        if not self._was_interrupted(error):
            self._sound_trouble.met(error)

    def _was_interrupted(self, error: NodeFailed) -> bool:
        """By us: a node may do it too, and that is a failure of its own."""
        if self._interrupted and error.interrupted:
            log.warning("%s", error)
            return True
        return False

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
                self._hearing.follow(change.workflow, before=current)
                current.close()
                current = change.workflow
                self.detail = current.detail
                self._trouble.worked()
                self._sound_trouble.worked()
                self._sizes = None
            for trouble in (self._trouble, self._sound_trouble):
                trouble.change(change.params.on_error, change.params.on_error_after)
            if change.params.max_framerate is not None:
                self._slot.set_max_framerate(change.params.max_framerate)
            self.revision = change.params.revision
            log.info("params of revision %d are in use", self.revision)
        self._on_params(change.answer)
        return current


def _size(rgb: RGB) -> Size:
    return int(rgb.shape[1]), int(rgb.shape[0])
