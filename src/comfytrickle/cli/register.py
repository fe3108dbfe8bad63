"""``comfytrickle register``: this pool as a BYOC capability of a go-livepeer orchestrator."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Coroutine
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfytrickle.calls import DEFAULT_URL
from comfytrickle.cli import exits, running
from comfytrickle.cli.common import UsageError

if TYPE_CHECKING:
    from comfytrickle.registration.run import Options, Registration


def add_parser(subparsers: Any) -> None:
    """The variables are those that ComfyStream and pytrickle read, ours for the token."""
    parser = subparsers.add_parser(
        "register",
        help="offer this pool to a Livepeer orchestrator (BYOC)",
        description="Registers this pool as a BYOC capability of a go-livepeer orchestrator; tries"
        " until it succeeds. With --keep it goes on: it registers again when the orchestrator has"
        " restarted, tells it the free slots, and unregisters when the pool drains or is gone, and"
        " at Ctrl-C or SIGTERM.",
        epilog="Exit status: 0 done, 1 refused or interrupted, 2 wrong usage, 3 not within"
        " --timeout. docs/livepeer.md has the whole setup.",
    )
    add = parser.add_argument
    env = os.environ.get
    add(
        "--orchestrator",
        type=_orchestrator_url,
        default=env("ORCH_URL"),
        metavar="URL",
        help="such as https://orchestrator:8935 ($ORCH_URL)",
    )
    add(
        "--secret",
        metavar="SECRET",
        help="the orchestrator's -orchSecret; every process of this machine can read it here,"
        " --secret-file and $ORCH_SECRET are better",
    )
    add("--secret-file", type=Path, metavar="FILE", help="that holds the secret")
    add(
        "--name",
        default=env("CAPABILITY_NAME") or "comfytrickle",
        help="of the capability; callers ask for it ($CAPABILITY_NAME, else comfytrickle)",
    )
    add(
        "--url",
        type=_url,
        default=env("CAPABILITY_URL"),
        help="of this pool, as the orchestrator reaches it ($CAPABILITY_URL)",
    )
    add(
        "--pool",
        type=_url,
        default=env("COMFYTRICKLE_URL") or DEFAULT_URL,
        metavar="URL",
        help=f"of this pool, as this command reaches it ($COMFYTRICKLE_URL, else {DEFAULT_URL})",
    )
    add(
        "--capacity",
        type=running.count,
        default=env("CAPABILITY_CAPACITY"),
        metavar="N",
        help="streams at a time, at most ($CAPABILITY_CAPACITY, else all slots of the pool)",
    )
    add(
        "--description",
        default=env("CAPABILITY_DESCRIPTION") or "ComfyUI workflows on live video",
        help="for people ($CAPABILITY_DESCRIPTION)",
    )
    add(
        "--price",
        type=_amount,
        metavar="N",
        help="for each second of a stream, such as 0.5 ($CAPABILITY_PRICE_PER_UNIT by"
        " $CAPABILITY_PRICE_SCALING, else 0)",
    )
    add(
        "--currency",
        default="wei",
        help="of the price: wei, eth, or what the orchestrator's price feed has, as usd (wei)",
    )
    add(
        "--token",
        default=env("COMFYTRICKLE_AUTH_TOKEN"),
        help="that the pool wants from its callers ($COMFYTRICKLE_AUTH_TOKEN)",
    )
    add("--keep", action="store_true", help="stay, and keep it registered")
    add("--unregister", action="store_true", help="take it back, and end")
    add(
        "--timeout",
        type=running.positive,
        metavar="S",
        help="give up when it has not succeeded within S seconds (else never)",
    )
    add(
        "--every",
        type=running.positive,
        default=10.0,
        metavar="S",
        help="--keep: look at the pool and the orchestrator each S seconds (10)",
    )
    add(
        "--refresh",
        type=running.positive,
        default=300.0,
        metavar="S",
        help="--keep: register again after S seconds in any case (300)",
    )
    add(
        "--request-timeout",
        type=running.positive,
        default=10.0,
        metavar="S",
        help="of each request (10)",
    )
    add(
        "--insecure",
        action="store_true",
        help="do not verify the orchestrator's certificate; whoever is between can then read the"
        " secret",
    )
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from comfytrickle.cli.register_flags import read_options, warnings

    try:
        options = read_options(args)
    except UsageError as error:
        print(f"comfytrickle register: {error}", file=sys.stderr)
        return exits.USAGE
    for warning in warnings(options):
        _say(f"warning: {warning}")
    return asyncio.run(_run(args, options))


async def _run(args: argparse.Namespace, options: Options) -> int:
    from comfytrickle.errors import ComfytrickleError
    from comfytrickle.registration.run import FAREWELL_S, GIVEN_UP_S, Registration

    async with Registration(options, _say) as registration:
        if args.unregister:
            work = registration.take_back()
        else:
            work = registration.keep() if args.keep else registration.once()
        try:
            ended = await running.until_signal(_within(work, registration, args.timeout))
        except _Late:
            _say(f"given up after {args.timeout:g} s: {registration.last_trouble}")
            await _leave(registration, GIVEN_UP_S)
            return exits.UNREACHABLE
        except ComfytrickleError as error:
            _say(f"refused: {error}")
            return exits.REFUSED
        if ended == "end":
            return exits.OK
        was_kept = args.keep and registration.done.is_set()
        left = not args.unregister and await _leave(registration, FAREWELL_S)
        return exits.OK if was_kept and left else exits.REFUSED


class _Late(Exception):
    """No success within --timeout."""


async def _within(
    work: Coroutine[Any, Any, None], registration: Registration, timeout_s: float | None
) -> None:
    """``work``, whose first success must have come within the time. Raises _Late."""
    task = asyncio.ensure_future(work)
    first = asyncio.ensure_future(registration.done.wait())
    try:
        await asyncio.wait({task, first}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and not first.done():
            raise _Late
        await task
    finally:
        for part in (task, first):
            part.cancel()
        await asyncio.wait({task, first})


async def _leave(registration: Registration, limit_s: float) -> bool:
    """Take back what may have been registered. False: it may still be there."""
    from comfytrickle.errors import ComfytrickleError

    if not registration.may_be_there:
        return True
    if not registration.done.is_set():
        _say(f"it may have been registered all the same: unregistering, {limit_s:g} s at most")
    try:
        await registration.farewell(limit_s)
    except ComfytrickleError as error:
        _say(f"it may still be registered: {error}")
        return False
    return True


def _say(line: str) -> None:
    print(f"comfytrickle register: {line}", file=sys.stderr, flush=True)


def _orchestrator_url(text: str) -> str:
    return _url(text, "https://orchestrator:8935")


def _url(text: str, example: str = DEFAULT_URL) -> str:
    """A base URL, for argparse."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname)
        right = right and not parts.query and not parts.fragment
    except ValueError:
        right = False
    if not right:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL; write for example {example}")
    return text.rstrip("/")


def _amount(text: str) -> Fraction:
    """``1200``, ``0.5`` or ``1/3``, for argparse."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(-1)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a price; write for example 0.5")
    return value
