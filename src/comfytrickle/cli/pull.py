"""``comfytrickle pull``: a trickle channel into a file or a pipe."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from comfytrickle.cli import running
from comfytrickle.errors import ComfytrickleError
from comfytrickle.trickle.protocol import SEQ_CURRENT, SEQ_NEXT

if TYPE_CHECKING:
    from comfytrickle.trickle.subscriber import Subscriber

_SAID = {
    "waiting": "there is no such channel yet, waiting for it",
    "retrying": "cannot reach the server, retrying",
}
_START = {"current": SEQ_CURRENT, "next": SEQ_NEXT}


@dataclass(slots=True)
class Pulled:
    """Totals so far."""

    bytes: int = 0
    segments: int = 0
    gaps: int = 0  # segments with something missing before them
    first_byte_s: float | None = None


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``pull``; ``func`` runs it and returns the exit code."""
    parser = subparsers.add_parser(
        "pull",
        help="write what a trickle channel carries to a file or to stdout",
        description="Write what a trickle channel carries, byte for byte, until the channel ends,"
        " the time is over, or Ctrl-C. Play it at once: comfytrickle pull URL - | ffplay -",
    )
    add = parser.add_argument
    add(
        "url",
        type=running.channel,
        metavar="URL",
        help="the channel, e.g. http://127.0.0.1:2939/out",
    )
    add("out", metavar="OUT.ts|-", help="a file, or - for stdout")
    add("--seconds", type=running.positive, metavar="N", help="end after N seconds")
    add(
        "--from",
        dest="start",
        choices=sorted(_START),
        default="current",
        help="begin with the segment that is being written (current, default) or the next one",
    )
    add("--insecure", action="store_true", help="do not verify the server's certificate")
    add(
        "--json",
        action="store_true",
        help="the summary as one JSON object, on stdout (on stderr when OUT is -)",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0: something came. 1: it failed, or nothing came; the reason is on stderr."""
    try:
        with ExitStack() as stack:
            out: BinaryIO = sys.stdout.buffer
            if args.out != "-":
                out = stack.enter_context(Path(args.out).open("wb"))
            return asyncio.run(_pull(args, out))
    except BrokenPipeError:
        # the reader (a player) has gone: a usual end. Python would complain at exit again.
        sys.stderr.flush()
        _forget_stdout()
        return 0
    except (ComfytrickleError, OSError) as error:
        print(f"comfytrickle pull: {error}", file=sys.stderr)
        return 1


def _forget_stdout() -> None:
    import os

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


async def _pull(args: argparse.Namespace, out: BinaryIO) -> int:
    from comfytrickle.trickle.client_session import open_session
    from comfytrickle.trickle.subscriber import Subscriber

    pulled = Pulled()
    began = time.monotonic()
    async with (
        open_session(verify_tls=not args.insecure) as session,
        Subscriber(
            session,
            args.url,
            start=_START[args.start],
            on_state=lambda state: _say_state(args.url, state, subscriber.last_error),
        ) as subscriber,
    ):
        ended = await running.until_signal(_copy(subscriber, out, pulled, began), args.seconds)
        if ended == "end":
            ended = subscriber.end_reason or "closed"
    _summary(args, pulled, ended, time.monotonic() - began)
    return 0 if pulled.bytes else 1


def _say_state(url: str, state: str, error: str | None) -> None:
    """People want to know why nothing comes."""
    if state in _SAID:
        why = f": {error.removeprefix(f'{url}: ')}" if error and state == "retrying" else ""
        print(f"{url}: {_SAID[state]}{why}", file=sys.stderr)


async def _copy(subscriber: Subscriber, out: BinaryIO, pulled: Pulled, began: float) -> None:
    async for segment in subscriber:
        pulled.segments += 1
        pulled.gaps += segment.gap
        async for data in segment:
            if pulled.first_byte_s is None:
                pulled.first_byte_s = time.monotonic() - began
            # a slow reader holds us up here, on purpose: nothing is buffered without bound
            out.write(data)
            out.flush()
            pulled.bytes += len(data)


def _summary(args: argparse.Namespace, pulled: Pulled, ended: str, seconds: float) -> None:
    if args.json:
        report = {
            "url": args.url,
            "bytes": pulled.bytes,
            "segments": pulled.segments,
            "gaps": pulled.gaps,
            "first_byte_s": None if pulled.first_byte_s is None else round(pulled.first_byte_s, 3),
            "seconds": round(seconds, 3),
            "ended": ended,
        }
        print(json.dumps(report), file=sys.stderr if args.out == "-" else sys.stdout, flush=True)
        return
    gaps = f", {pulled.gaps} gaps" if pulled.gaps else ""
    print(
        f"pulled {pulled.segments} segments, {pulled.bytes / 1e6:.2f} MB in {seconds:.1f} s{gaps}"
        f" ({ended})",
        file=sys.stderr,
    )
