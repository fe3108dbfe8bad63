"""The settings of the control plane, and where each value comes from.

Defaults < TOML file (``--config``) < environment (``COMFYTRICKLE_<KEY>``) < flags. A value that is
wrong is refused with the name of its source and its key, never replaced by a default.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from comfytrickle.errors import InvalidInput
from comfytrickle.messages import EngineConfig
from comfytrickle.sizes import parse_bytes
from comfytrickle.typed import typed_name
from control_plane.engines.engines import Engines, split_named, workspaces

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENV_PREFIX = "COMFYTRICKLE_"
WORKER_MEMORY_MIN = 256_000_000
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(Exception):
    """A value that cannot be used; the message names its source and key."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator can choose. Paths are made absolute, so the worker's cwd is free."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8889  # 0: any free port
    engine: str | None = None  # of streams that name none; see control_plane.engines.Engines
    workspace: list[str] = []  # ComfyUI checkouts, each as [NAME=]FOLDER
    nodes: list[str] = []  # node packs of the user
    devices: str = "auto"  # see control_plane.placement.devices.parse_spec
    slots_per_gpu: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    max_streams: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None  # None: all slots
    queue_s: Annotated[float, msgspec.Meta(ge=0, le=600)] = 0.0  # a start may wait for a place
    # Amounts of memory as in comfytrickle.sizes. Of a worker at most; needed by a workflow that
    # never ran here (0: it is placed without regard to memory).
    worker_memory: str | None = None
    unknown_memory: str = "0"
    warm: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0  # workers kept ready for each engine
    # [ENGINE=]FILE: so many for each of these, that have loaded it and run frames of warm_size.
    warm_workflow: list[str] = []
    warm_size: Annotated[list[int], msgspec.Meta(min_length=2, max_length=2)] | None = None
    torch_threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1  # of each worker
    log_dir: str | None = None  # None: default_log_dir(port)
    log_level: str = "INFO"
    keep_logs: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 200  # log files of past streams
    keep_finished: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 100  # streams kept readable
    keep_finished_s: Annotated[float, msgspec.Meta(ge=0)] = 3600.0  # and for how long
    question_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 20.0  # to the inspector
    # How often a stream's worker is replaced in a row, and after how long one is forgiven.
    restart_budget: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5
    restart_forgive_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    # When a worker is taken for hung: see Deadlines (streams/watchdog.py), Budgets.
    load_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 300.0
    silent_timeout_s: Annotated[float, msgspec.Meta(ge=2)] = 5.0
    first_frame_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    stuck_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    drain_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 20.0  # at SIGTERM
    auth_token: str | None = None  # callers must then send Authorization: Bearer
    verify_tls: bool = True  # of the channels' servers

    @property
    def worker_memory_bytes(self) -> int | None:
        return None if self.worker_memory is None else parse_bytes(self.worker_memory)

    @property
    def unknown_memory_bytes(self) -> int:
        return parse_bytes(self.unknown_memory)


def default_log_dir(port: int) -> Path:
    """Where logs go unless told: the user's state folder (XDG), apart for each port."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "comfytrickle" / f"port-{port}"


def load(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Read all sources. Raises SettingsError; SystemExit for wrong flags and --help."""
    flags = vars(make_parser(typed_name(environ)).parse_args(argv))
    config = flags.pop("config", None) or environ.get(ENV_PREFIX + "CONFIG")
    values: dict[str, Any] = {}
    if config:
        values.update(_from_file(Path(config)))
    values.update(_from_environment(environ))
    for key, value in flags.items():
        values[key] = _checked(key, value, f"--{key.replace('_', '-')}")
    return _whole(values)


def _whole(values: dict[str, Any]) -> Settings:
    """What concerns several keys, or needs the file system."""
    level = str(values.get("log_level", "INFO")).upper()
    values["log_level"] = level
    if level not in LEVELS:
        raise SettingsError(f"log_level: {level!r} is not one of {', '.join(LEVELS)}")
    settings = msgspec.convert(values, Settings)
    folders = _workspaces(settings.workspace)
    engines = _engines(folders, settings.engine)
    for key in ("worker_memory", "unknown_memory"):
        amount = getattr(settings, key)
        if amount is not None:
            _check_amount(key, amount)
    if settings.auth_token == "":
        raise SettingsError("auth_token: is empty; leave it out to allow everyone")
    warm = [split_named(entry, engines.default) for entry in settings.warm_workflow]
    for name, _ in warm:
        _known_engine(engines, name)
    for key, path in [
        *(("nodes", pack) for pack in settings.nodes),
        *(("workspace", folder) for folder in folders.values()),
        *(("warm_workflow", file) for _, file in warm),
    ]:
        if not Path(path).expanduser().exists():
            raise SettingsError(f"{key}: there is no {path}")
    log_dir = Path(settings.log_dir) if settings.log_dir else default_log_dir(settings.port)
    return msgspec.structs.replace(
        settings,
        nodes=[_absolute(pack) for pack in settings.nodes],
        workspace=[f"{name}={_absolute(folder)}" for name, folder in folders.items()],
        warm_workflow=[f"{name}={_absolute(file)}" for name, file in warm],
        log_dir=_absolute(str(log_dir)),
    )


def _workspaces(entries: list[str]) -> dict[str, str]:
    try:
        return workspaces(entries)
    except ValueError as error:
        raise SettingsError(f"workspace: {error}") from None


def _engines(folders: Mapping[str, str], default: str | None) -> Engines:
    try:
        return Engines(EngineConfig(), folders, default)
    except ValueError as error:
        raise SettingsError(f"engine: {error}") from None


def _known_engine(engines: Engines, name: str) -> None:
    try:
        engines.get(name, "warm_workflow")
    except InvalidInput as error:
        raise SettingsError(str(error)) from None


def _check_amount(key: str, text: str) -> None:
    try:
        amount = parse_bytes(text)
    except ValueError as error:
        raise SettingsError(f"{key}: {error}") from error
    if key == "worker_memory" and amount < WORKER_MEMORY_MIN:
        raise SettingsError(f"{key}: no worker can live on {text!r}; allow 256MB at least")


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve())


def _from_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"--config: cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    known = Settings.__struct_fields__
    for key in content:
        if key not in known:
            raise SettingsError(f"{path}: unknown key {key!r}; known are {', '.join(known)}")
    return {key: _checked(key, value, f"{path}: {key}") for key, value in content.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in Settings.__struct_fields__:
        name = ENV_PREFIX + key.upper()
        raw = environ.get(name)
        if not raw:  # unset and empty mean the same to a shell script
            continue
        value: Any = raw
        if key in ("nodes", "workspace", "warm_workflow"):
            value = raw.split(os.pathsep)
        elif key == "warm_size":
            value = raw.split("x")
        values[key] = _checked(key, value, f"environment {name}", strict=False)
    return values


def _checked(key: str, value: Any, source: str, strict: bool = True) -> Any:
    field = next(f for f in msgspec.structs.fields(Settings) if f.name == key)
    try:
        return msgspec.convert(value, field.type, strict=strict)
    except msgspec.ValidationError as error:
        shown = "" if key == "auth_token" else f"{value!r}: "
        raise SettingsError(f"{source}: {shown}{error}") from error


def _size(text: str) -> list[int]:
    width, _, height = text.partition("x")
    try:
        return [int(width), int(height)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT") from None


def make_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The flags. Absent ones leave no trace, so that other sources can speak. ``command``: how it
    was called, for the usage line."""
    parser = argparse.ArgumentParser(
        prog=command or "python -m control_plane",
        description="Serve ComfyUI workflows on live video: HTTP control plane with one isolated"
        " worker process per stream.",
        epilog=f"Each flag is also a key of the TOML file and an environment variable"
        f" {ENV_PREFIX}<KEY>.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", metavar="FILE", help="settings as TOML")
    add("--host", help="address to listen on (127.0.0.1)")
    add("--port", type=int, help="port to listen on (8889; 0: any free one)")
    add(
        "--engine",
        metavar="NAME",
        help="of streams that name none (the first workspace, or embedded)",
    )
    add("--workspace", action="append", metavar="[NAME=]DIR", help="a ComfyUI checkout; repeatable")
    add("--nodes", action="append", metavar="PATH", help="a node pack; may be repeated")
    add("--devices", help="auto (default), cpu:N for N CPU slots, or GPU indices or UUIDs: 0,1")
    add("--slots-per-gpu", type=int, metavar="N", help="streams that one GPU may carry (1)")
    add("--max-streams", type=int, metavar="N", help="limit over all devices (none)")
    add("--queue-s", type=float, metavar="S", help="a start may wait so long for a place (0)")
    add("--worker-memory", metavar="SIZE", help="limit of each worker's memory: 6GB (none)")
    add("--unknown-memory", metavar="SIZE", help="what an unknown workflow needs: 4GB (0)")
    add("--warm", type=int, metavar="N", help="workers kept ready for each engine (0)")
    add(
        "--warm-workflow",
        action="append",
        metavar="[ENGINE=]FILE",
        help="that many have loaded and run it before a stream comes; may be repeated",
    )
    add("--warm-size", type=_size, metavar="WxH", help="of the frames they run (512x512)")
    add("--torch-threads", type=int, metavar="N", help="CPU threads of torch in a worker (1)")
    add("--log-dir", metavar="DIR", help="where the workers' logs go")
    add("--log-level", help=f"one of {', '.join(LEVELS)} (INFO)")
    add("--keep-logs", type=int, metavar="N", help="log files of past streams to keep (200)")
    add("--keep-finished", type=int, metavar="N", help="finished streams kept readable (100)")
    add("--keep-finished-s", type=float, metavar="S", help="and for how many seconds (3600)")
    add("--question-timeout-s", type=float, metavar="S", help="limit of one node check (20)")
    add("--restart-budget", type=int, metavar="N", help="restarts of a worker in a row (5)")
    add("--restart-forgive-s", type=float, metavar="S", help="one is forgiven each S seconds (30)")
    add("--load-timeout-s", type=float, metavar="S", help="limit of loading a workflow (300)")
    add("--silent-timeout-s", type=float, metavar="S", help="a worker without a word is hung (5)")
    add("--first-frame-timeout-s", type=float, metavar="S", help="limit of its first frame (60)")
    add("--stuck-timeout-s", type=float, metavar="S", help="limit of each later frame (10)")
    add("--drain-timeout-s", type=float, metavar="S", help="limit of the drain at SIGTERM (20)")
    add("--auth-token", metavar="TOKEN", help="asked of callers; better in the environment")
    add("--no-verify-tls", dest="verify_tls", action="store_false", help="trust any certificate")
    return parser
