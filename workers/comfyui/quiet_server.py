"""ComfyUI's web server, built but never served: nodes and the executor want one to talk to."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from types import ModuleType
from typing import Any

# These put something into the loop of a running server. It does not run here, so what they put
# there would stay for ever (9 callbacks a frame).
_SAY = ("send_sync", "send_progress_text", "queue_updated")


def build_quiet_server(server: ModuleType, loop: AbstractEventLoop) -> Any:
    """A PromptServer (it makes itself ``PromptServer.instance``) that says nothing to anybody."""
    built = server.PromptServer(loop)
    for name in _SAY:
        setattr(built, name, _say_nothing)
    # The executor of some versions reads these before it sets them.
    for name in ("client_id", "last_node_id", "last_prompt_id"):
        if not hasattr(built, name):
            setattr(built, name, None)
    return built


def _say_nothing(*args: Any, **kwargs: Any) -> None:
    """In place of a message to a browser."""
