"""The parts of an engine stage that are about sound, for streams that have none."""

from __future__ import annotations

from typing import Any

from workers.sound.ear import Ear
from workers.sound.route import SoundRoute


def deaf() -> dict[str, Any]:
    """Arguments of EngineStage."""
    return {"ear": Ear(lambda: None), "route": SoundRoute(), "lead": lambda: 0}
