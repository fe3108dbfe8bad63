"""``comfytrickle stop``."""

from __future__ import annotations

import argparse
from typing import Any

from comfytrickle import calls
from comfytrickle.cli import common, exits
from comfytrickle.cli.client import Client


def add_parser(subparsers: Any) -> None:
    parser = common.add_command(subparsers, "stop", "Stop a stream.", stop)
    parser.add_argument("id", nargs="?", help="the stream (else the only active one)")


def stop(args: argparse.Namespace, client: Client) -> int:
    answer = client.call(calls.stop(args.id))
    if args.json:
        common.print_json(answer)
    else:
        print(f"{answer['request_id']}: {answer['message']}")
    return exits.OK
