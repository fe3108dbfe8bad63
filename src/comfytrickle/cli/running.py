"""What the streaming commands share: ending on a signal, sizes and rates as arguments."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def on_signal(action: Any) -> Iterator[None]:
    """While inside, SIGINT, SIGTERM and SIGHUP call ``action()`` in the running loop."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, action)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def until_signal(work: Coroutine[Any, Any, None], seconds: float | None = None) -> str:
    """Run ``work`` to its end, a signal, or ``seconds``; which one: "end", "signal", "time".

    The work is cancelled in the latter two and has ended on return. Raises what it raises.
    """
    task = asyncio.ensure_future(work)
    reason = "end"

    def stop(why: str) -> None:
        nonlocal reason
        if not task.done():
            reason = why
            task.cancel()

    timer = None
    if seconds is not None:
        timer = asyncio.get_running_loop().call_later(seconds, stop, "time")
    try:
        with on_signal(lambda: stop("signal")):
            await asyncio.wait({task})
    finally:
        if timer is not None:
            timer.cancel()
        if not task.done():  # we are cancelled ourselves
            task.cancel()
            await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    return reason


def size(text: str) -> tuple[int, int]:
    """``1280x720`` -> (1280, 720), for argparse."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write for example 1280x720")
    return int(parts[0]), int(parts[1])


def channel(text: str) -> str:
    """The URL of a channel, for argparse."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        right = False
    if not right:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a channel; write for example http://127.0.0.1:2939/in"
        )
    return text


def rate(text: str) -> Fraction:
    """``30``, ``29.97`` or ``30000/1001`` -> frames per second, for argparse."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a frame rate; write for example 30 or 30000/1001"
        )
    return value


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number greater than 0")
    return value


def count(text: str) -> int:
    """A whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number greater than 0")
    return int(text)
