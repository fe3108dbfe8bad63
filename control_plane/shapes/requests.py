"""What a caller asks for, in canonical form. Pure.

Reads the bodies of every family of callers: their names for the same thing, their ways to leave
something out. Unknown keys are no error: they are returned by name in ``ignored``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from comfytrickle.errors import InvalidInput
from comfytrickle.messages import EncodeConfig, EngineConfig, StreamConfig
from comfytrickle.workflow.model import Workflow
from comfytrickle.workflow.parse import parse_prompt
from control_plane.shapes import bodies

SIZE_MIN, SIZE_MAX = 16, 4096
FRAMERATE_MIN, FRAMERATE_MAX = 0.1, 240.0
DROPS = ("latest", "never")
ON_ERRORS = ("restart", "passthrough", "stop")
WHILE_LOADING = ("old", "notice")
ON_ERROR_AFTER_MAX = 10_000  # frames in a row
PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
BITRATE_MIN, BITRATE_MAX = 10_000, 200_000_000  # bits per second
AUDIO_BITRATE_MIN, AUDIO_BITRATE_MAX = 16_000, 320_000  # what both encoders do for stereo
GOP_MIN, GOP_MAX = 0.1, 10.0  # seconds
# A source channel that is not there yet is waited for, but a mistyped URL must not keep a slot.
APPEAR_TIMEOUT_S = 120.0
TIMEOUT_MAX = 7 * 86400.0

URL_KEYS = ("subscribe_url", "publish_url", "control_url", "events_url", "data_url")
PROMPT_KEYS = ("prompt", "prompts")
TIMEOUT_KEYS = ("appear_timeout_s", "idle_timeout_s")  # of a start only
PARAM_KEYS = (
    *PROMPT_KEYS, "width", "height", "max_framerate", "drop", "engine", "on_error",
    "on_error_after", "while_loading", "encode", *TIMEOUT_KEYS,
)  # fmt: skip
ENCODE_KEYS = ("preset", "bitrate", "crf", "gop_s", "audio", "audio_bitrate")
AUDIOS = ("auto", "aac", "opus", "none")
_DEFAULT = StreamConfig("", {})


class StartRequest(msgspec.Struct, frozen=True):
    """A start, checked. ``stream_id`` None: the caller gave none."""

    stream_id: str | None
    workflow: dict[str, Any]
    digest: str  # of the workflow
    converted: list[str]  # in words, what was converted in it
    urls: dict[str, str | None]
    width: int | None
    height: int | None
    max_framerate: float | None
    drop: str
    engine: str | None  # by name; None: the default one
    on_error: str
    on_error_after: int
    while_loading: str
    encode: EncodeConfig
    appear_timeout_s: float
    idle_timeout_s: float | None
    ignored: list[str]

    def config(self, stream_id: str, engine: EngineConfig, verify_tls: bool) -> StreamConfig:
        """Without a device yet: ``engine`` is replaced when a slot was found."""
        return StreamConfig(
            stream_id=stream_id,
            workflow=self.workflow,
            width=self.width,
            height=self.height,
            max_framerate=self.max_framerate,
            drop=self.drop,
            on_error=self.on_error,
            on_error_after=self.on_error_after,
            while_loading=self.while_loading,
            encode=self.encode,
            appear_timeout_s=self.appear_timeout_s,
            idle_timeout_s=self.idle_timeout_s,
            engine=engine,
            verify_tls=verify_tls,
            subscribe_url=self.urls["subscribe_url"],
            publish_url=self.urls["publish_url"],
            control_url=self.urls["control_url"],
            events_url=self.urls["events_url"],
            data_url=self.urls["data_url"],
        )


class ParamsRequest(msgspec.Struct, frozen=True):
    """A change of a live stream, checked. None leaves a thing as it is."""

    workflow: dict[str, Any] | None = None
    width: int | None = None
    height: int | None = None
    max_framerate: float | None = None
    on_error: str | None = None
    on_error_after: int | None = None
    while_loading: str | None = None
    drop: str | None = None  # these are fixed at the start: accepted when they change nothing
    engine: str | None = None
    encode: EncodeConfig | None = None
    ignored: list[str] = []

    @property
    def changes_frames(self) -> bool:
        """Or what follows when one fails: in short, the worker has to be told."""
        given = (
            self.workflow, self.width, self.max_framerate, self.on_error, self.on_error_after,
            self.while_loading,
        )  # fmt: skip
        return any(value is not None for value in given)


def read_start(body: Mapping[str, Any], header_id: str | None = None) -> StartRequest:
    """Raises InvalidInput, InvalidWorkflow."""
    stream_id = bodies.stream_id(header=header_id, body=body)
    urls = {key: bodies.url(body, key) for key in URL_KEYS}
    if urls["publish_url"] is not None and urls["publish_url"] == urls["subscribe_url"]:
        raise InvalidInput(
            "publish_url", "is the same as subscribe_url: the stream would read its own output"
        )
    params = bodies.nested_object(body, "params")
    width, height = _size(params, "params.")
    workflow = _workflow(params, "params.")
    known = (*URL_KEYS, *bodies.ID_KEYS, "params")
    return StartRequest(
        stream_id=stream_id,
        workflow=workflow.to_api(),
        digest=workflow.digest,
        converted=list(workflow.converted),
        urls=urls,
        width=width,
        height=height,
        max_framerate=_framerate(params, "params."),
        drop=bodies.one_of(params, "drop", DROPS, "params.") or "latest",
        engine=bodies.name(params, "engine", "params."),
        on_error=bodies.one_of(params, "on_error", ON_ERRORS, "params.") or _DEFAULT.on_error,
        on_error_after=_error_limit(params, "params.") or _DEFAULT.on_error_after,
        while_loading=bodies.one_of(params, "while_loading", WHILE_LOADING, "params.")
        or _DEFAULT.while_loading,
        encode=_encode(params, "params.") or EncodeConfig(),
        appear_timeout_s=_appear_timeout(params, "params."),
        idle_timeout_s=bodies.real(params, "idle_timeout_s", 1, TIMEOUT_MAX, "params."),
        ignored=[key for key in body if key not in known] + _unknown_params(params, "params."),
    )


def read_params(body: Mapping[str, Any]) -> ParamsRequest:
    """A body either flat or nested under ``params``. Raises InvalidInput, InvalidWorkflow."""
    where = "params." if "params" in body else ""
    params = bodies.nested_object(body, "params") if where else dict(body)
    width, height = _size(params, where)
    beside = (*bodies.ID_KEYS, *URL_KEYS, "params")  # callers repeat their whole start request
    ignored = [key for key in body if key not in beside] if where else []
    if not where:
        params = {key: value for key, value in params.items() if key not in beside}
    given = any(params.get(key) not in (None, "") for key in PROMPT_KEYS)
    return ParamsRequest(
        workflow=_workflow(params, where).to_api() if given else None,
        width=width,
        height=height,
        max_framerate=_framerate(params, where),
        on_error=bodies.one_of(params, "on_error", ON_ERRORS, where),
        on_error_after=_error_limit(params, where),
        while_loading=bodies.one_of(params, "while_loading", WHILE_LOADING, where),
        drop=bodies.one_of(params, "drop", DROPS, where),
        engine=bodies.name(params, "engine", where),
        encode=_encode(params, where),
        ignored=ignored
        + [where + key for key in TIMEOUT_KEYS if key in params]
        + _unknown_params(params, where),
    )


def read_workflow(body: Mapping[str, Any]) -> Workflow:
    """The workflow to validate: under prompt, prompts or workflow, flat or in params; or the
    body itself is the workflow. Raises InvalidInput, InvalidWorkflow."""
    for where, holder in (("", body), ("params.", body.get("params"))):
        if not isinstance(holder, Mapping):
            continue
        for key in (*PROMPT_KEYS, "workflow"):
            value = holder.get(key)
            is_node = isinstance(value, Mapping) and "class_type" in value
            if key in holder and not is_node:  # a node may be called so
                return parse_prompt(value, where + key)
    if not body:
        raise InvalidInput("prompt", "is missing")
    return parse_prompt(dict(body), "")


def read_engine(body: Mapping[str, Any]) -> str | None:
    """The name of the engine that is to validate: flat or in params. Raises InvalidInput."""
    params = body.get("params")
    for where, holder in (("params.", params), ("", body)):
        # In a bare workflow, a node may be called so.
        if isinstance(holder, Mapping) and not isinstance(holder.get("engine"), Mapping):
            found = bodies.name(holder, "engine", where)
            if found is not None:
                return found
    return None


def _workflow(params: Mapping[str, Any], where: str) -> Workflow:
    given = [key for key in PROMPT_KEYS if params.get(key) not in (None, "")]
    if len(given) == 2 and params["prompt"] != params["prompts"]:
        raise InvalidInput(where + "prompts", "prompt and prompts are both given, and differ")
    key = given[0] if given else PROMPT_KEYS[0]
    return parse_prompt(params.get(key), where + key)


def _size(params: Mapping[str, Any], where: str) -> tuple[int | None, int | None]:
    width, height = (
        bodies.integer(params, key, SIZE_MIN, SIZE_MAX, where) for key in ("width", "height")
    )
    for key, value in (("width", width), ("height", height)):
        if value is not None and value % 2:
            raise InvalidInput(where + key, f"must be even (4:2:0 video), not {value}")
    if (width is None) != (height is None):
        missing = "width" if width is None else "height"
        raise InvalidInput(where + missing, "give both width and height, or none")
    return width, height


def _framerate(params: Mapping[str, Any], where: str) -> float | None:
    value = bodies.real(params, "max_framerate", FRAMERATE_MIN, FRAMERATE_MAX, where)
    return None if value is None else float(value)


def _error_limit(params: Mapping[str, Any], where: str) -> int | None:
    return bodies.integer(params, "on_error_after", 1, ON_ERROR_AFTER_MAX, where)


def _appear_timeout(params: Mapping[str, Any], where: str) -> float:
    value = bodies.real(params, "appear_timeout_s", 0, TIMEOUT_MAX, where)
    return APPEAR_TIMEOUT_S if value is None else float(value)


def _encode(params: Mapping[str, Any], where: str) -> EncodeConfig | None:
    if params.get("encode") in (None, ""):
        return None
    values = bodies.nested_object(params, "encode", where)
    where += "encode."
    default = EncodeConfig()
    crf = bodies.real(values, "crf", 0, 51, where)
    gop = bodies.real(values, "gop_s", GOP_MIN, GOP_MAX, where)
    return EncodeConfig(
        preset=bodies.one_of(values, "preset", PRESETS, where) or default.preset,
        bitrate=bodies.integer(values, "bitrate", BITRATE_MIN, BITRATE_MAX, where),
        crf=default.crf if crf is None else float(crf),
        gop_s=default.gop_s if gop is None else float(gop),
        audio=bodies.one_of(values, "audio", AUDIOS, where) or default.audio,
        audio_bitrate=bodies.integer(
            values, "audio_bitrate", AUDIO_BITRATE_MIN, AUDIO_BITRATE_MAX, where
        )
        or default.audio_bitrate,
    )


def _unknown_params(params: Mapping[str, Any], where: str) -> list[str]:
    names = [where + key for key in params if key not in PARAM_KEYS]
    encode = params.get("encode")
    if isinstance(encode, Mapping):
        names += [f"{where}encode.{key}" for key in encode if key not in ENCODE_KEYS]
    return names
