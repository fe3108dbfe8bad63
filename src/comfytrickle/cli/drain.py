"""``comfytrickle drain``."""

from __future__ import annotations

import argparse
from typing import Any

from comfytrickle import calls
from comfytrickle.cli import common, exits
from comfytrickle.cli.client import Client


def add_parser(subparsers: Any) -> None:
    text = "Let no new streams in; those that run go on to their own end."
    parser = common.add_command(subparsers, "drain", text, drain)
    parser.add_argument("--undo", action="store_true", help="let new streams in again")


def drain(args: argparse.Namespace, client: Client) -> int:
    answer = client.call(calls.drain(undo=args.undo))
    if args.json:
        common.print_json(answer)
    else:
        print(answer["message"])
    return exits.OK
