"""``comfytrickle stop``."""

from __future__ import annotations

import argparse
from typing import Any

from comfytrickle.cli import common, exits
from comfytrickle.cli.client import Client, stream_path

_WAIT_S = 30  # every stop is over by then


def add_parser(subparsers: Any) -> None:
    parser = common.add_command(subparsers, "stop", "Stop a stream.", stop)
    parser.add_argument("id", nargs="?", help="the stream (else the only active one)")


def stop(args: argparse.Namespace, client: Client) -> int:
    answer = client.call("POST", stream_path(args.id, f"stop?wait={_WAIT_S}"), {})
    if args.json:
        common.print_json(answer)
    else:
        print(f"{answer['request_id']}: {answer['message']}")
    return exits.OK
