"""The answers as schemas, for GET /openapi.json. Tests read real answers with them: a field that is
not here, or is of another type, fails there.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

Open = dict[str, Any]


class Told(Struct, forbid_unknown_fields=True):
    """Base of all answers: every field is there."""


class Error(Told):
    """What is wrong, for people; ``field`` comes with every 400."""

    error: str
    field: str | None = None
    node_errors: Open | None = None
    quarantine: Open | None = None
    error_id: str | None = None


class Message(Told):
    msg: str


class DetailError(Told):
    """The only shape in which go-livepeer reads an error."""

    detail: Message
    field: str | None = None
    node_errors: Open | None = None
    quarantine: Open | None = None
    error_id: str | None = None


class Channels(Told):
    subscribe_url: str | None
    publish_url: str | None
    control_url: str | None
    events_url: str | None
    data_url: str | None
    width: int | None
    height: int | None


class Started(Told):
    status: str
    message: str
    request_id: str
    config: Channels
    state: str
    current_state: str
    engine: str
    device: str | None
    pid: int | None
    converted: list[str]
    ignored: list[str]


class LiveStarted(Started):
    """The URLs of the request, "" for none."""

    subscribe_url: str
    publish_url: str
    control_url: str
    events_url: str


class Stopped(Told):
    status: str
    message: str
    request_id: str
    state: str


class Changed(Told):
    status: str
    message: str
    request_id: str
    revision: int
    ignored: list[str]


class RunningParams(Told):
    request_id: str
    revision: int
    params: Open


class Audio(Told):
    """Units of sound; ``unheard``: pieces that the workflow had no time for."""

    in_: int | None = field(name="in")
    out: int | None
    silence: int | None
    unheard: int | None
    dropped: dict[str, int]  # by cause


class StreamStatus(Told):
    """Numbers are measurements; what is not known is null."""

    request_id: str
    running: bool
    state: str
    health: str
    pipeline_ready: bool
    engine: str
    device: str | None
    pid: int | None
    uptime_s: float
    started_at: str
    ready_at: str | None
    ended_at: str | None
    width: int | None
    height: int | None
    subscribe_url: str | None
    publish_url: str | None
    control_url: str | None
    events_url: str | None
    data_url: str | None
    frame_count: int | None
    frames: dict[str, int | dict[str, int] | None]
    fps: dict[str, float | None]
    latency_ms: dict[str, dict[str, float] | None]
    audio: Audio
    segments: dict[str, int | None]
    bytes: dict[str, int | None]
    transport_retries: int | None
    node_errors: int | None
    source: str | None
    sink: str | None
    memory: dict[str, int | None]
    params_revision: int
    restarts: int
    deaths: list[Open]
    last_error: Open | None
    exit_cause: str | None
    exit_code: int | None
    exit_signal: str | None
    detail: Open


class Streams(Told):
    streams: dict[str, StreamStatus]
    count: int


class Memory(Told):
    total: int | None
    free: int | None


class DeviceReport(Told):
    id: str
    name: str
    slots: int
    used: int
    memory: Memory
    utilisation: float | None
    health: str
    reason: str | None


class Inspector(Told):
    ready: bool
    pid: int | None
    restarts: int
    last_error: str | None


class Engine(Inspector):
    default: bool


class Slots(Told):
    total: int
    free: int


class Warm(Told):
    engine: str
    workflow: str | None
    size: list[int] | None
    ready: int
    wanted: int
    last_error: str | None


class Health(Told):
    """``status``: LOADING, IDLE, OK or ERROR; ``reason``: why no start can succeed now."""

    status: str
    reason: str | None
    version: str
    uptime_s: float
    draining: bool
    streams: dict[str, int]
    slots: Slots
    waiting: int
    devices: list[DeviceReport]
    inspector: Inspector
    engines: dict[str, Engine]
    warm: list[Warm]


class Ready(Told):
    ready: bool
    reason: str | None = None


class Version(Told):
    pipeline: str
    model_id: str
    version: str


class GpuInfo(Told):
    id: str
    name: str
    memory_total: int | None
    memory_free: int | None
    major: int | None
    minor: int | None


class GpuStats(Told):
    id: str
    name: str
    memory_total: int | None
    memory_free: int | None
    utilization_compute: int | None
    utilization_memory: int | None


class HardwareInfo(Told):
    pipeline: str
    model_id: str
    gpu_info: dict[str, GpuInfo]


class HardwareStats(Told):
    pipeline: str
    model_id: str
    gpu_stats: dict[str, GpuStats]


class Draining(Told):
    """``count``: of the streams that still run."""

    status: str
    message: str
    draining: bool
    count: int


class Quarantine(Told):
    workflows: list[Open]
    count: int


class Done(Told):
    status: str
    message: str


class Validated(Told):
    valid: bool
    node_errors: Open
    converted: list[str]
    workflow: Open | None
    error: str | None = None
    detail: Open | None = None


class FailedPacks(Told):
    failed: dict[str, str]
    count: int


class Examples(Told):
    examples: list[Open]
    count: int
