"""``comfytrickle params``."""

from __future__ import annotations

import argparse
from typing import Any

from comfytrickle import calls
from comfytrickle.cli import common, exits
from comfytrickle.cli.client import Client


def add_parser(subparsers: Any) -> None:
    parser = common.add_command(
        subparsers, "params", "Change a live stream between two frames.", params
    )
    parser.add_argument("id", nargs="?", help="the stream (else the only active one)")
    common.add_param_flags(parser)


def params(args: argparse.Namespace, client: Client) -> int:
    change = common.read_params(args)
    if not change:
        raise common.UsageError("nothing to change: give --workflow, --width, --param, ...")
    answer = client.call(calls.change(args.id, change))
    if args.json:
        common.print_json(answer)
    else:
        print(f"{answer['request_id']}: {answer['message']}, revision {answer['revision']}")
        if answer.get("ignored"):
            print(f"  ignored: {', '.join(answer['ignored'])}")
    return exits.OK
