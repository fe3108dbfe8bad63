"""``comfytrickle trickle-server``: the embedded trickle server on its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from comfytrickle.durations import parse_duration
from comfytrickle.errors import listen_problem
from comfytrickle.trickle.server import TrickleServer
from comfytrickle.trickle.store import Limits

DEFAULT_PORT = 2939


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``trickle-server``; ``func`` runs it and returns the exit code."""
    defaults = Limits()
    parser = subparsers.add_parser(
        "trickle-server",
        help="serve trickle channels (segmented HTTP publish/subscribe)",
        description="Serve trickle channels. Prints its URL, and runs until SIGINT or SIGTERM.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="0 picks a free one (%(default)s)"
    )
    parser.add_argument("--path", default="/", help="base path of all channels (%(default)s)")
    parser.add_argument(
        "--no-autocreate",
        dest="autocreate",
        action="store_false",
        help="answer 404 to a POST on a channel that does not exist, instead of creating it",
    )
    parser.add_argument(
        "--changefeed",
        action="store_true",
        help="publish which channels come and go on the channel _changes",
    )
    parser.add_argument(
        "--idle-timeout",
        type=_duration,
        default="5m",
        metavar="TIME",
        help="remove a channel that had no byte for so long; 0: never (%(default)s)",
    )
    parser.add_argument(
        "--sweep-interval",
        type=_interval,
        default="1m",
        metavar="TIME",
        help="how often idle channels are looked for (%(default)s)",
    )
    parser.add_argument(
        "--abort-grace",
        type=_duration,
        default="5s",
        metavar="TIME",
        help="how long a segment waits for a publisher that was cut off (%(default)s)",
    )
    parser.add_argument(
        "--max-segment-bytes", type=_positive, default=defaults.max_segment_bytes, metavar="N"
    )
    parser.add_argument(
        "--max-channels", type=_positive, default=defaults.max_channels, metavar="N"
    )
    parser.add_argument(
        "--max-waiting",
        type=_positive,
        default=defaults.max_waiting,
        metavar="N",
        help="requests that may wait for a first byte at the same time (%(default)s)",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal. 0: asked to stop. 1: could not listen."""
    try:
        asyncio.run(_serve(args))
    except OSError as exc:
        print(listen_problem(args.host, args.port, exc), file=sys.stderr)
        return 1
    return 0


async def _serve(args: argparse.Namespace) -> None:
    server = TrickleServer(
        path=args.path,
        autocreate=args.autocreate,
        changefeed=args.changefeed,
        idle_timeout_s=args.idle_timeout,
        sweep_interval_s=args.sweep_interval,
        abort_grace_s=args.abort_grace,
        limits=Limits(
            max_segment_bytes=args.max_segment_bytes,
            max_channels=args.max_channels,
            max_waiting=args.max_waiting,
        ),
    )
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await server.start(args.host, args.port)
    try:
        print(server.url, flush=True)
        await stop.wait()
    finally:
        await server.close()


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _interval(text: str) -> float:
    value = _duration(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be longer than 0")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
