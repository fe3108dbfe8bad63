"""``comfytrickle logs``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from comfytrickle import calls
from comfytrickle.cli import common, exits
from comfytrickle.cli.client import Client


def add_parser(subparsers: Any) -> None:
    parser = common.add_command(subparsers, "logs", "Show a stream's log.", logs)
    parser.add_argument("id", help="the stream")
    parser.add_argument(
        "--tail", type=int, default=calls.TAIL, metavar="N", help="last lines (%(default)s)"
    )
    parser.add_argument("--follow", "-f", action="store_true", help="go on until the stream ends")


def logs(args: argparse.Namespace, client: Client) -> int:
    lines = client.text(calls.logs(args.id, args.tail, args.follow))
    if args.json:
        common.print_json({"request_id": args.id, "lines": [line.rstrip("\n") for line in lines]})
        return exits.OK
    for line in lines:
        sys.stdout.write(line)
        sys.stdout.flush()
    return exits.OK
