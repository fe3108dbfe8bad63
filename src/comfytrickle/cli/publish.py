"""``comfytrickle publish``: a file, or the test pattern, into a trickle channel."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfytrickle.cli import running
from comfytrickle.errors import ComfytrickleError

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from comfytrickle.testsrc.sending import Sent
    from comfytrickle.testsrc.sources import Chunk
    from comfytrickle.trickle.publisher import Publisher

TESTSRC = "testsrc"


class ChannelTaken(ComfytrickleError):
    """Another publisher writes the channel."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``publish``; ``func`` runs it and returns the exit code."""
    parser = subparsers.add_parser(
        "publish",
        help="publish a media file or a test pattern to a trickle channel",
        description="Publish a media file of any container, or the moving test pattern, to a"
        " trickle channel as MPEG-TS, one segment per GOP. What MPEG-TS can carry is not encoded"
        " anew.",
    )
    add = parser.add_argument
    add("source", metavar="FILE|testsrc", help="a media file, or testsrc for the test pattern")
    add(
        "url",
        type=running.channel,
        metavar="URL",
        help="the channel, e.g. http://127.0.0.1:2939/in",
    )
    add(
        "--realtime",
        action=argparse.BooleanOptionalAction,
        help="write each frame when it is due (default for testsrc), or as fast as it goes"
        " (default for a file)",
    )
    add("--loop", action="store_true", help="play a file again and again, timestamps going on")
    add("--size", type=running.size, default=(512, 512), metavar="WxH", help="testsrc: 512x512")
    add("--fps", type=running.rate, default=Fraction(30), help="testsrc: frames per second (30)")
    add("--beep", action="store_true", help="testsrc: a flash and a beep at every full second")
    add("--frames", type=running.count, metavar="N", help="end after N video frames")
    add("--seconds", type=running.positive, metavar="S", help="end after S seconds of media")
    add(
        "--gop",
        type=running.positive,
        default=1.0,
        metavar="S",
        help="seconds between keyframes and so length of a segment (1); a file is cut at its own"
        " keyframes, at least half of this apart",
    )
    add(
        "--no-delete", dest="delete", action="store_false", help="leave the channel open at the end"
    )
    add(
        "--force",
        action="store_true",
        help="also to a channel that somebody publishes to already: it will be of use to nobody",
    )
    add("--insecure", action="store_true", help="do not verify the server's certificate")
    add("--json", action="store_true", help="print the summary as one JSON object on stdout")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0: all published (or stopped by a signal). 1: it failed, with the reason on stderr."""
    try:
        if args.source != TESTSRC:
            Path(args.source).open("rb").close()  # to say so before a server is waited for
        asyncio.run(_publish(args))
    except (ComfytrickleError, OSError) as error:
        print(f"comfytrickle publish: {error}", file=sys.stderr)
        return 1
    return 0


def _chunks(args: argparse.Namespace) -> Iterator[Chunk]:
    from comfytrickle.testsrc.encoder import EncoderSpec
    from comfytrickle.testsrc.files import file_chunks
    from comfytrickle.testsrc.sources import pattern_chunks

    if args.source != TESTSRC:
        return file_chunks(Path(args.source), args.loop, args.gop)
    width, height = args.size
    gop = max(1, round(args.gop * args.fps))
    spec = EncoderSpec(width, height, args.fps, gop=gop)
    return pattern_chunks(spec, args.frames, beep=args.beep)


async def _publish(args: argparse.Namespace) -> None:
    from comfytrickle.testsrc.sending import Sent, send
    from comfytrickle.trickle.client_session import open_session
    from comfytrickle.trickle.publisher import Publisher

    sent = Sent()
    began = time.monotonic()
    realtime = args.realtime if args.realtime is not None else args.source == TESTSRC

    publisher: Publisher | None = None

    async def work() -> None:
        nonlocal publisher
        delete = await _delete_at_end(session, args)
        publisher = Publisher(session, args.url, delete_on_close=delete)
        progress = asyncio.create_task(_progress(args.url, sent, publisher))
        try:
            await publisher.start()
            await send(
                publisher,
                _chunks(args),
                sent,
                realtime=realtime,
                frames=args.frames,
                seconds=args.seconds,
            )
        finally:
            progress.cancel()

    async with open_session(verify_tls=not args.insecure) as session:
        try:
            ended = await running.until_signal(work())
        finally:
            if publisher is not None:
                await publisher.close()
    retries = 0 if publisher is None else publisher.counters.retries
    _summary(args, sent, retries, time.monotonic() - began, ended)


async def _delete_at_end(session: ClientSession, args: argparse.Namespace) -> bool | None:
    """Whether the channel is to be deleted at the end; None: if this publisher made it.

    Raises ChannelTaken when somebody else publishes to it: each would throw away what the other
    sends, and the first to end would end the channel for both.
    """
    from comfytrickle.trickle.client_session import TRANSPORT_ERRORS
    from comfytrickle.trickle.writers import look

    try:
        found = await look(session, args.url)
    except TRANSPORT_ERRORS:
        # The publisher goes on trying; a server that was away may have lost its channels.
        return None if args.delete else False
    if found.written and not args.force:
        raise ChannelTaken(
            f"{args.url}: somebody publishes to this channel already; end that one, or take another"
            " channel"
        )
    if not args.delete:
        return False
    return True if found.certain and not found.written else None


async def _progress(url: str, sent: Sent, publisher: Publisher) -> None:
    while True:
        await asyncio.sleep(1)
        late = f", {sent.late} late" if sent.late else ""
        unreachable = publisher.state == "retrying"
        state = "cannot reach the server, retrying" if unreachable else publisher.state
        if unreachable and publisher.last_error:
            state += f" ({publisher.last_error.removeprefix(f'{url}: ')})"
        print(
            f"{url}: {state}, {sent.frames} frames, {sent.segments} segments,"
            f" {sent.bytes / 1e6:.2f} MB, {sent.media_s:.1f} s{late}",
            file=sys.stderr,
        )


def _summary(
    args: argparse.Namespace, sent: Sent, retries: int, seconds: float, ended: str
) -> None:
    report: dict[str, Any] = {
        "url": args.url,
        "frames": sent.frames,
        "segments": sent.segments,
        "bytes": sent.bytes,
        "media_s": round(sent.media_s, 3),
        "seconds": round(seconds, 3),
        "late": sent.late,
        "retries": retries,
        "interrupted": ended == "signal",
    }
    if args.json:
        print(json.dumps(report), flush=True)
    else:
        print(
            f"published {sent.frames} frames in {sent.segments} segments,"
            f" {sent.bytes / 1e6:.2f} MB, {sent.media_s:.1f} s of media in {seconds:.1f} s",
            file=sys.stderr,
        )
