"""Errors, classed by what the caller does next.

Foreign exceptions (aiohttp's, av's, torch's) are mapped to these at the edge where they arise.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec


class ComfytrickleError(Exception):
    """Base of every error this project raises on purpose."""


class InvalidInput(ComfytrickleError):
    """The caller sent something wrong and can mend it. HTTP 400.

    ``field`` names what is wrong (``"params.width"``), the message says why and what is allowed.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


class NodeError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with one node of a workflow.

    ``type`` uses ComfyUI's own words where it has one (``required_input_missing``,
    ``value_bigger_than_max``, ``return_type_mismatch``, ``missing_node_type``, ...).
    """

    type: str
    message: str
    node_id: str | None = None
    class_type: str | None = None
    input_name: str | None = None
    details: str = ""


class InvalidWorkflow(InvalidInput):
    """A workflow that cannot run, with every error found in it. HTTP 400 with ``node_errors``."""

    def __init__(self, message: str, errors: list[NodeError], field: str = "params.prompt") -> None:
        super().__init__(field, message)
        self.errors = errors

    def node_errors(self) -> dict[str, Any]:
        """ComfyUI's shape: ``{node_id: {"class_type": ..., "errors": [...]}}``.

        Errors that belong to no node stand under the empty id.
        """
        out: dict[str, Any] = {}
        for error in self.errors:
            entry = out.setdefault(
                error.node_id or "", {"class_type": error.class_type, "errors": []}
            )
            item: dict[str, Any] = {
                "type": error.type,
                "message": error.message,
                "details": error.details,
            }
            if error.input_name is not None:
                item["input_name"] = error.input_name
            entry["errors"].append(item)
        return out


class Conflict(ComfytrickleError):
    """The request contradicts what is running. HTTP 409."""


class Quarantined(Conflict):
    """This workflow has killed its workers too often. HTTP 409, with its story.

    ``story``: digest, node types, and every death.
    """

    def __init__(self, message: str, story: dict[str, Any]) -> None:
        super().__init__(message)
        self.story = story


class NotFound(ComfytrickleError):
    """No such stream was ever known here. HTTP 404."""


class Unavailable(ComfytrickleError):
    """Right as it is, but not now: full, draining, or a part is restarting. HTTP 503.

    ``retry_after`` in seconds.
    """

    def __init__(self, reason: str, retry_after: float = 5.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Full(Unavailable):
    """There is no room for it: every slot is taken, or the memory it needs."""


class WorkerError(ComfytrickleError):
    """A worker process did not do what was asked of it (died, hung, broke the protocol)."""


class ProtocolError(WorkerError):
    """What came over the status pipe is not a message of ours; the pipe cannot be trusted again."""


class TrickleError(ComfytrickleError):
    """A trickle server's answer that no retry can mend.

    ``status`` is its HTTP status, None where there was no answer to speak of (a certificate that
    does not verify, an answer without trickle headers).
    """

    def __init__(self, message: str, *, url: str, status: int | None = None) -> None:
        super().__init__(f"{message} ({url})")
        self.url = url
        self.status = status


class ChannelClosed(TrickleError):
    """The channel that is published to has ended on the server; nothing can be sent any more."""


def listen_problem(host: str, port: int, error: OSError) -> str:
    """One line for whoever started a server that cannot listen."""
    # asyncio's own text repeats the address in Python's notation.
    if error.errno is None or isinstance(error, socket.gaierror):
        reason = error.strerror or str(error)
    else:
        reason = os.strerror(error.errno)
    return f"cannot listen on {host}:{port}: {reason} (choose with --host, --port)"
