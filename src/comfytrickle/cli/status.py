"""``comfytrickle status``."""

from __future__ import annotations

import argparse
from typing import Any

from comfytrickle import calls
from comfytrickle.cli import common, exits, tables
from comfytrickle.cli.client import Client


def add_parser(subparsers: Any) -> None:
    parser = common.add_command(subparsers, "status", "Show how a stream goes.", status)
    parser.add_argument("id", nargs="?", help="the stream (else the only active one)")


def status(args: argparse.Namespace, client: Client) -> int:
    answer = client.call(calls.status(args.id))
    if args.json:
        common.print_json(answer)
    else:
        print(tables.stream_status(answer))
    return exits.OK
