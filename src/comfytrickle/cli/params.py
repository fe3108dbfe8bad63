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
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        help="another value in the workflow that runs; VALUE as JSON or text",
    )


def params(args: argparse.Namespace, client: Client) -> int:
    change = common.read_params(args)
    if args.set:
        if "prompt" in change:
            raise common.UsageError("--set changes the workflow that runs: not with --workflow")
        change["prompt"] = _running_workflow(args, client)
        for item in args.set:
            set_input(change["prompt"], item)
    if not change:
        raise common.UsageError("nothing to change: give --workflow, --set, --width, --param, ...")
    answer = client.call(calls.change(args.id, change))
    if args.json:
        common.print_json(answer)
    else:
        print(f"{answer['request_id']}: {answer['message']}, revision {answer['revision']}")
        if answer.get("ignored"):
            print(f"  ignored: {', '.join(answer['ignored'])}")
    return exits.OK


def _running_workflow(args: argparse.Namespace, client: Client) -> dict[str, Any]:
    stream_id = args.id or str(client.call(calls.status(None))["request_id"])
    workflow = client.call(calls.running_params(stream_id))["params"].get("prompt")
    if not isinstance(workflow, dict):
        raise common.UsageError(f"--set: {stream_id} runs no workflow")
    return workflow


def set_input(workflow: dict[str, Any], item: str) -> None:
    """Put ``"7.strength=0.4"`` in its place. Raises UsageError."""
    key, equals, value = item.partition("=")
    node_id, dot, name = key.partition(".")
    if not (equals and dot and node_id and name):
        raise common.UsageError(f"--set {item!r}: NODE.INPUT=VALUE is expected")
    if node_id not in workflow:
        raise common.UsageError(f"--set {item!r}: its nodes are {', '.join(workflow)}")
    inputs = workflow[node_id]["inputs"]
    if name not in inputs:  # a wrong name would be ignored
        raise common.UsageError(
            f"--set {item!r}: the inputs of node {node_id} ({workflow[node_id]['class_type']}) are"
            f" {', '.join(inputs) or 'none'}"
        )
    inputs[name] = common.read_value(value)
