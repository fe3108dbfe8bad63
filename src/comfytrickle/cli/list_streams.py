"""``comfytrickle list``."""

from __future__ import annotations

import argparse
from typing import Any

from comfytrickle import calls
from comfytrickle.cli import common, exits, tables
from comfytrickle.cli.client import Client


def add_parser(subparsers: Any) -> None:
    parser = common.add_command(subparsers, "list", "List the streams.", list_streams)
    parser.add_argument("--all", action="store_true", help="also those that ended lately")


def list_streams(args: argparse.Namespace, client: Client) -> int:
    answer = client.call(calls.streams(ended=args.all))
    if args.json:
        common.print_json(answer)
    elif answer["count"]:
        print(tables.stream_list(answer["streams"]))
    else:
        print("no streams")
    return exits.OK
