"""``comfytrickle demo``: see it all work on this machine, and have every frame checked."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from fractions import Fraction
from pathlib import Path

from comfytrickle.cli import running
from comfytrickle.errors import ComfytrickleError
from comfytrickle.typed import typed_name


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register ``demo``; ``func`` runs it and returns the exit code."""
    parser = subparsers.add_parser(
        "demo",
        prog=typed_name(os.environ),
        help="see it all work on this machine",
        description="Starts a trickle server and a control plane, sends a moving test pattern"
        " through a workflow, and checks each frame that comes back: that none is missing, that"
        " it is in order, what the workflow made of it, and how long it took.",
        epilog="Exit status: 0 every frame was right, 1 not so, or something failed.",
    )
    add = parser.add_argument
    add("--workflow", type=Path, metavar="FILE", help="API format (default: the negative)")
    add("--seconds", type=running.positive, metavar="N", help="end after N seconds (else Ctrl-C)")
    add("--size", type=running.size, default=(512, 512), metavar="WxH", help="512x512")
    add("--fps", type=running.rate, default=Fraction(30), help="frames per second (30)")
    add("--out", type=Path, metavar="FILE.ts", help="keep what comes back")
    add("--devices", help="of the control plane: auto (default), cpu:N, or GPU indices")
    add("--nodes", action="append", default=[], metavar="PATH", help="a node pack; may be repeated")
    add("--workspace", metavar="DIR", help="run the workflow in this ComfyUI checkout")
    add("--json", action="store_true", help="the result as one JSON object, last line of stdout")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0: every frame came back right. 1: not so, or it failed, with the reason on stderr."""
    from comfytrickle.demo import workflows
    from comfytrickle.demo.report import summary
    from comfytrickle.demo.run import DemoOptions, run_demo

    try:
        width, height = args.size
        workflow = workflows.from_file(args.workflow) if args.workflow else workflows.invert()
        options = DemoOptions(
            workflow, width, height, args.fps, args.seconds, args.out, _plane_flags(args)
        )
        report = asyncio.run(run_demo(options))
    except (ComfytrickleError, OSError, ValueError) as error:
        print(f"comfytrickle demo: {error}", file=sys.stderr)
        return 1
    print(summary(report), file=sys.stderr if args.json else sys.stdout, flush=True)
    if args.json:
        print(json.dumps(report), flush=True)
    return 0 if report["ok"] else 1


def _plane_flags(args: argparse.Namespace) -> tuple[str, ...]:
    flags: list[str] = []
    if args.devices:
        flags += ["--devices", args.devices]
    for path in args.nodes:
        flags += ["--nodes", path]
    if args.workspace:
        flags += ["--engine", "comfyui", "--workspace", args.workspace]
    return tuple(flags)
