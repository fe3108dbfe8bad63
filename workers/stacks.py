"""The stacks of all threads, into the log."""

from __future__ import annotations

import faulthandler
import logging

log = logging.getLogger(__name__)


def dump_stacks() -> None:
    """stderr is the worker's log file (:mod:`comfytrickle.logs`)."""
    log.info("stacks of all threads follow")
    faulthandler.dump_traceback(all_threads=True)
