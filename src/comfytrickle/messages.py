"""Every message that crosses the status pipe, who sends it, and when.

The pipe is a stream socket pair; a message is a 4-byte big-endian length and a msgpack body
(:mod:`comfytrickle.pipe`). Messages are typed and tagged, never pickled, so that the other end
could as well be on another machine.

    parent                                   worker
      |  (process starts)                      |
      |<----------------------------- Hello ---|   it runs, and speaks PROTOCOL_VERSION
      |--- ConfigureStream ------------------->|   or ConfigureInspector
      |<----------------------------- Ready ---|   only after everything was built
      |<---------------------------- Status ---|   every STATUS_INTERVAL_S, from there on
      |                                        |
      |--- ConfigureWarm --------------------->|   in place of it, for a worker kept in store:
      |<------------------------------ Warm ---|   its engine is built; ConfigureStream comes later
      |                                        |
      |--- UpdateParams ---------------------->|
      |<---- ParamsApplied / ParamsRejected ---|
      |<----------------------------- Texts ---|   with a frame whose workflow gave texts
      |--- Watch ----------------------------->|   while somebody looks on
      |<--------------------- FramesRefused ---|   what came by the inlet and is no picture
      |--- Drain ----------------------------->|   stop reading, flush, end the sink channel
      |<--------------------------- Exiting ---|   last word; then the process exits with 0
      |                                        |
      |<---------------------------- Failed ---|   at any time: an error worth showing.
                                                   retryable=False: the worker will exit

Parent death is EOF on this pipe: the worker then exits at once. Worker death is EOF too, and the
process sentinel.
"""

from __future__ import annotations

from typing import Any

import msgspec

from comfytrickle.errors import NodeError
from comfytrickle.states import State

PROTOCOL_VERSION = 1
STATUS_INTERVAL_S = 0.5


class Launch(msgspec.Struct, frozen=True):
    """What a worker must know before it can say Hello; an argument of its entry point.

    ``env`` is applied before anything that could initialise CUDA is imported (it pins the device
    with CUDA_VISIBLE_DEVICES = UUID).
    """

    name: str  # the stream's id, or "inspector"; appears in every log line
    log_path: str
    env: dict[str, str] = {}
    memory_limit: int | None = None  # bytes that the process may take of the machine's memory
    log_level: str = "INFO"
    log_max_bytes: int = 10_000_000
    log_backups: int = 2


class EngineConfig(msgspec.Struct, frozen=True):
    """Which engine a worker builds, and from where nodes come."""

    name: str = "embedded"  # as the operator calls it
    kind: str = "embedded"  # embedded | comfyui
    node_paths: list[str] = []  # user node packs (--nodes PATH)
    workspace: str | None = None  # ComfyUI checkout; None: the one that is installed as a package
    device: str = "cpu"  # torch device inside the worker: "cpu" or "cuda:0" (after pinning)
    threads: int = 1  # torch intra-op threads
    memory_limit: int | None = None  # bytes of device memory that torch may take


class EncodeConfig(msgspec.Struct, frozen=True):
    """How frames leave. Defaults are for live: no B-frames, no lookahead, one packet per frame."""

    codec: str = "h264"
    encoder: str = "auto"  # auto (NVENC where it opens, else x264) | libx264 | h264_nvenc
    preset: str = "superfast"
    crf: float = 23.0
    bitrate: int | None = None  # bits per second; takes the place of crf
    gop_s: float = 1.0  # seconds between keyframes = length of a segment
    threads: int = 1
    # auto (as it came; what a workflow makes: AAC) | aac | opus (as it came when it is that) | none
    audio: str = "auto"
    audio_bitrate: int = 128_000  # bits per second, of sound that is encoded here


class ResumePoint(msgspec.Struct, frozen=True):
    """The last that a stream's former worker sent (comfytrickle.progress has the fields)."""

    segment: int
    source_pts: int
    pts: int
    audio_pts: int


class StreamConfig(msgspec.Struct, frozen=True):
    """One stream, checked and in canonical form. URLs are http(s); sizes are even, 16..4096."""

    stream_id: str
    workflow: dict[str, Any]  # API-format graph, converted
    subscribe_url: str | None = None
    publish_url: str | None = None
    control_url: str | None = None
    events_url: str | None = None
    data_url: str | None = None
    width: int | None = None  # both or none; none = the source's own size
    height: int | None = None
    max_framerate: float | None = None  # cap on frames given to the engine
    drop: str = "latest"  # latest | never (back-pressure)
    on_error: str = "restart"  # restart | passthrough | stop (workers/stages/node_errors.py)
    on_error_after: int = 30  # frames in a row that fail in a node, 1..10000
    while_loading: str = "old"  # old | notice: what is shown while a new workflow loads
    engine: EngineConfig = EngineConfig()
    encode: EncodeConfig = EncodeConfig()
    resume: bool = False  # a replacement worker: go on at the sink's next segment
    resume_at: ResumePoint | None = None  # where its predecessor was; None: it had sent nothing
    owes_sink: bool = False  # a predecessor made the sink channel: it is this stream's to end
    revision: int = 0  # of the params this configuration carries
    idle_timeout_s: float | None = None  # without a frame from the source; then the stream ends
    appear_timeout_s: float | None = None  # how long a missing source channel is waited for
    verify_tls: bool = True


class Message(msgspec.Struct, frozen=True, tag=True, tag_field="t"):
    """Base of all messages; the tag is the class name."""


# --- parent to worker -------------------------------------------------------------------------


class ConfigureStream(Message, frozen=True):
    """Answer to Hello or Warm: serve this stream. Sent once.

    ``launch``: the name and log to take on, for a worker that was launched under another.
    """

    config: StreamConfig
    launch: Launch | None = None


class ConfigureWarm(Message, frozen=True):
    """Answer to Hello: build the engine and wait for a stream. With a ``workflow``, run some frames
    of the given size through it, so that what it needs is loaded and compiled. Sent once."""

    engine: EngineConfig
    workflow: dict[str, Any] | None = None
    width: int | None = None
    height: int | None = None


class ConfigureInspector(Message, frozen=True):
    """Answer to Hello: hold an engine and answer Inspect and Describe. Sent once."""

    engine: EngineConfig


class UpdateParams(Message, frozen=True):
    """Change a live stream between two frames. None leaves a thing as it is."""

    revision: int
    workflow: dict[str, Any] | None = None
    width: int | None = None
    height: int | None = None
    max_framerate: float | None = None
    on_error: str | None = None
    on_error_after: int | None = None
    while_loading: str | None = None


class Drain(Message, frozen=True):
    """Stop reading, flush what is in flight, end the sink channel, exit; within deadline_s."""

    deadline_s: float
    reason: str = "requested"


class Watch(Message, frozen=True):
    """Somebody looks on: write such pictures into the outlet. Sent again when anything changes.

    ``sides``: in, out, both (in one picture). Empty: nobody does any more. ``fps`` and ``width``
    (of one picture; None: its own) are upper limits; ``quality`` is 1..100.
    """

    sides: list[str] = []
    fps: float = 15.0
    width: int | None = None
    quality: int = 90


class Ping(Message, frozen=True):
    """Answer at once with Status (used to tell a slow worker from a dead one)."""


class DumpStacks(Message, frozen=True):
    """Write the stacks of all threads to the worker's log (faulthandler)."""


class Inspect(Message, frozen=True):
    """To an inspector: can this workflow run? Answered by Inspected with the same call_id."""

    call_id: int
    workflow: dict[str, Any]


class Describe(Message, frozen=True):
    """To an inspector: which nodes are there? Answered by Described with the same call_id."""

    call_id: int


# --- worker to parent -------------------------------------------------------------------------


class Hello(Message, frozen=True):
    """First message of a worker: it runs."""

    pid: int
    protocol: int = PROTOCOL_VERSION


class Ready(Message, frozen=True):
    """Everything was built; frames can come. Sent only on leaving the scope that built it."""

    load_s: float
    device_name: str = ""


class Warm(Message, frozen=True):
    """Answer to ConfigureWarm: the engine is built."""

    load_s: float


class Quantiles(msgspec.Struct, frozen=True):
    """Milliseconds, over the last few hundred frames."""

    p50: float
    p95: float
    p99: float


class Latency(msgspec.Struct, frozen=True):
    """Where a frame's time goes. total: last byte of the frame in -> its packet handed to the
    publisher. None: nothing measured yet."""

    decode: Quantiles | None = None
    engine: Quantiles | None = None
    encode: Quantiles | None = None
    total: Quantiles | None = None


class Counters(msgspec.Struct, frozen=True):
    """Totals since the worker started. Every frame that came in and did not go out is in dropped.

    Causes of dropped: damaged (bytes lost or undecodable), undecodable (waiting for a keyframe
    after damage), latest (a newer frame was there), framerate (max_framerate), error (the graph
    raised), encode, sink (it was never sent: the sink's server was away for too long).
    Audio is counted in units: PES packets in, and out as they came or as they were encoded.
    Causes of audio_dropped: damaged, late (silence was sent in its place), off (it is not wanted),
    stale (it waited for a first frame for too long).
    """

    frames_in: int = 0
    frames_out: int = 0
    dropped: dict[str, int] = {}
    bytes_in: int = 0
    bytes_out: int = 0
    segments_in: int = 0
    segments_out: int = 0
    segments_lost: int = 0  # fell out of the server's window before they could be read
    audio_in: int = 0
    audio_out: int = 0
    audio_silence: int = 0  # units of silence that were put into gaps; not in audio_out
    audio_unheard: int = 0  # pieces of sound that went out without the workflow: it is too slow
    audio_dropped: dict[str, int] = {}
    transport_retries: int = 0
    node_errors: int = 0
    passed_through: int = 0  # frames sent on as they came in, with a mark: no workflow made them

    @property
    def came_out(self) -> int:
        """Frames; of a stream without video, units of audio."""
        return self.frames_out or self.audio_out

    @property
    def came_in(self) -> int:
        return self.frames_in or self.audio_in


class Status(Message, frozen=True):
    """How it goes. Sent every STATUS_INTERVAL_S and on every change of state. seq grows by one."""

    seq: int
    state: State
    counters: Counters = Counters()
    fps_in: float | None = None
    fps_out: float | None = None
    latency: Latency = Latency()
    width: int | None = None  # of the frames that the engine sees
    height: int | None = None
    revision: int = 0
    rss: int | None = None  # bytes resident in the worker process, shared pages included
    device_memory: int | None = None  # bytes, the most that torch has held on the device
    input_age_s: float | None = None  # since the last frame came in
    output_age_s: float | None = None  # since the last frame went out
    busy_s: float | None = None  # the longest that a thread has been at its present frame
    busy_stage: str | None = None  # which: decode, engine, encode
    source: str = (
        "connecting"  # connecting | waiting (no such channel yet) | live | retrying | ended
    )
    sink: str = "connecting"  # none | connecting | live | retrying | ended
    detail: dict[str, Any] = {}  # engine facts: how the graph runs and why, input codec, ...


class ParamsApplied(Message, frozen=True):
    """From this revision on, frames run with the new params."""

    revision: int


class ParamsRejected(Message, frozen=True):
    """The new params cannot run; the old ones go on untouched."""

    revision: int
    reason: str
    node_errors: list[NodeError] = []


class Failed(Message, frozen=True):
    """An error worth showing on the stream's status.

    kind: startup, workflow, node, device, source, sink, decode, encode, internal.
    retryable=False: this worker gives up and exits. final=True: another worker is not wanted
    either. at: time.time() of what it tells of; None: now.
    """

    kind: str
    message: str
    node_id: str | None = None
    node_type: str | None = None
    retryable: bool = True
    final: bool = False
    at: float | None = None


class FramesRefused(Message, frozen=True):
    """Frames from the inlet that cannot be decoded, since the last such message. At most 20 a
    second. ``seqs``: the sender's numbers of the last of them; ``reason``: the last one's."""

    seqs: list[int]
    count: int
    reason: str


class Exiting(Message, frozen=True):
    """Last word. reason: requested | source_ended | failed."""

    reason: str


class TextLine(msgspec.Struct, frozen=True):
    """One text that a SaveTextTensor node was given. ``at``: time.time(); ``pts``: of the frame in
    the output, in 90 kHz ticks. ``truncated``: its end was cut off."""

    text: str
    node_id: str
    pts: int
    at: float
    truncated: bool = False


class Texts(Message, frozen=True):
    """What the workflow had to say beside one frame."""

    lines: list[TextLine]


class Inspected(Message, frozen=True):
    """Answer to Inspect. valid is True exactly if errors is empty; detail then says how it would
    run, as a stream's status does."""

    call_id: int
    valid: bool
    errors: list[NodeError] = []
    detail: dict[str, Any] = {}


class Described(Message, frozen=True):
    """Answer to Describe: ComfyUI's /object_info shape, and node packs that failed to load."""

    call_id: int
    nodes: dict[str, Any]
    failed_packs: dict[str, str] = {}


ToWorker = (
    ConfigureStream
    | ConfigureWarm
    | ConfigureInspector
    | UpdateParams
    | Drain
    | Watch
    | Ping
    | DumpStacks
    | Inspect
    | Describe
)
ToParent = (
    Hello
    | Warm
    | Ready
    | Status
    | ParamsApplied
    | ParamsRejected
    | Failed
    | FramesRefused
    | Texts
    | Exiting
    | Inspected
    | Described
)
