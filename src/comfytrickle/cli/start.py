"""``comfytrickle start``."""

from __future__ import annotations

import argparse
from typing import Any

from comfytrickle import calls
from comfytrickle.cli import common, exits
from comfytrickle.cli.client import Client


def add_parser(subparsers: Any) -> None:
    parser = common.add_command(subparsers, "start", "Start a stream.", start)
    parser.add_argument(
        "--subscribe", metavar="URL", help="the source channel (else frames are sent to it)"
    )
    parser.add_argument(
        "--publish", metavar="URL", help="the sink channel (else it is only watched)"
    )
    parser.add_argument("--engine", metavar="NAME", help="that is to run it (else the default)")
    parser.add_argument("--id", help="the stream's id (else the server makes one)")
    for name in ("control", "events", "data"):
        parser.add_argument(f"--{name}", metavar="URL", help=f"the {name} channel")
    common.add_param_flags(parser)


def start(args: argparse.Namespace, client: Client) -> int:
    params = common.read_params(args)
    if args.engine:
        params["engine"] = args.engine
    call = calls.start(
        params,
        args.id,
        subscribe_url=args.subscribe,
        publish_url=args.publish,
        control_url=args.control,
        events_url=args.events,
        data_url=args.data,
    )
    answer = client.call(call)
    if args.json:
        common.print_json(answer)
    else:
        print(
            f"{answer['request_id']}: {answer['message']}, {answer['state']}"
            f" on {answer['device']}, worker {answer['pid']}"
        )
        for line in answer.get("converted") or []:
            print(f"  converted: {line}")
        if answer.get("ignored"):
            print(f"  ignored: {', '.join(answer['ignored'])}")
    return exits.OK
