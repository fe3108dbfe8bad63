"""``comfytrickle validate``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from comfytrickle import calls
from comfytrickle.cli import common, exits
from comfytrickle.cli.client import Client


def add_parser(subparsers: Any) -> None:
    parser = common.add_command(
        subparsers, "validate", "Check whether a workflow can run.", validate
    )
    parser.add_argument("--engine", metavar="NAME", help="that is to check it (else the default)")
    parser.add_argument(
        "file", metavar="FILE", help="a workflow in API format, or a PNG of ComfyUI's; - is stdin"
    )


def validate(args: argparse.Namespace, client: Client) -> int:
    answer = client.call(calls.validate(common.read_workflow(args.file), args.engine))
    if args.json:
        common.print_json(answer)
    else:
        node_errors = answer.get("node_errors")
        if answer["valid"]:
            print("valid")
        else:  # the error is the first node's, in other words
            print("not valid" if node_errors else f"not valid: {answer['error']}")
        for line in answer.get("converted") or []:
            print(f"  converted: {line}")
        common.print_node_errors(node_errors, sys.stdout)
    return exits.OK if answer["valid"] else exits.REFUSED
