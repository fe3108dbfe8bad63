"""The bodies of requests as schemas, for GET /openapi.json. They are read by
:mod:`control_plane.shapes.requests`; a test holds both together.

Numbers may come as strings everywhere; null, "" and leaving a field out are the same.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from control_plane.shapes import requests as r

Workflow = Annotated[
    dict[str, Any] | str | list[Any],
    Meta(description="In API format: an object, a JSON string, or a list with one of either."),
]
Channel = Annotated[str, Meta(description="URL of a channel, http or https; none if empty.")]
Size = Annotated[int, Meta(ge=r.SIZE_MIN, le=r.SIZE_MAX, multiple_of=2)] | str
Framerate = Annotated[float, Meta(ge=r.FRAMERATE_MIN, le=r.FRAMERATE_MAX)] | str


def _word(words: tuple[str, ...]) -> Meta:
    return Meta(extra_json_schema={"enum": list(words)})


class Encode(Struct):
    """How the output is encoded."""

    preset: Annotated[str, _word(r.PRESETS)] | None = None
    bitrate: Annotated[int, Meta(ge=r.BITRATE_MIN, le=r.BITRATE_MAX)] | str | None = None
    crf: Annotated[float, Meta(ge=0, le=51)] | str | None = None
    gop_s: Annotated[float, Meta(ge=r.GOP_MIN, le=r.GOP_MAX)] | str | None = None
    audio: Annotated[str, _word(r.AUDIOS)] | None = None
    audio_bitrate: (
        Annotated[int, Meta(ge=r.AUDIO_BITRATE_MIN, le=r.AUDIO_BITRATE_MAX)] | str | None
    ) = None


class LiveParams(Struct):
    """What can be changed while a stream runs. Other keys are ignored, and named in the answer."""

    prompt: Workflow | None = None
    prompts: Workflow | None = None
    width: Size | None = None
    height: Size | None = None
    max_framerate: Framerate | None = None
    drop: Annotated[str, _word(r.DROPS)] | None = None
    engine: str | None = None
    on_error: Annotated[str, _word(r.ON_ERRORS)] | None = None
    on_error_after: Annotated[int, Meta(ge=1, le=r.ON_ERROR_AFTER_MAX)] | str | None = None
    while_loading: Annotated[str, _word(r.WHILE_LOADING)] | None = None
    encode: Encode | None = None


class Params(LiveParams):
    """Of a start. Other keys are ignored, and named in the answer."""

    appear_timeout_s: Annotated[float, Meta(ge=0, le=r.TIMEOUT_MAX)] | str | None = None
    idle_timeout_s: Annotated[float, Meta(ge=1, le=r.TIMEOUT_MAX)] | str | None = None


class Ids(Struct):
    """Which stream is meant: the first of these that is there."""

    stream_id: str | int | None = None
    gateway_request_id: str | int | None = None
    request_id: str | int | None = None
    manifest_id: str | int | None = None


class StartBody(Ids):
    """A start. Other keys are ignored, and named in the answer."""

    subscribe_url: Channel | None = None
    publish_url: Channel | None = None
    control_url: Channel | None = None
    events_url: Channel | None = None
    data_url: Channel | None = None
    params: Params | str | None = None


class ParamsBody(LiveParams):
    """A change, flat or nested under ``params``, beside the ids of a start."""

    stream_id: str | int | None = None
    gateway_request_id: str | int | None = None
    request_id: str | int | None = None
    manifest_id: str | int | None = None
    params: LiveParams | str | None = None
