"""What the client commands share: flags, reading files and values, and how errors leave."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from comfytrickle.calls import DEFAULT_URL, Refused, Unreachable
from comfytrickle.cli import exits
from comfytrickle.cli.client import Client
from comfytrickle.cli.picture_files import NoWorkflow, workflow_text

CHANNELS = ("subscribe", "publish", "control", "events", "data")

# What stands beside the params in a request, by the flag of ``comfytrickle start`` for it.
_FLAGS = {
    **{f"{name}_url": f"--{name} URL" for name in CHANNELS},
    **dict.fromkeys(("gateway_request_id", "stream_id", "request_id", "manifest_id"), "--id ID"),
    **dict.fromkeys(("prompt", "prompts", "workflow"), "--workflow FILE"),
}

Command = Callable[[argparse.Namespace, Client], int]


class UsageError(Exception):
    """A file or value of the command line that cannot be used."""


def add_command(subparsers: Any, name: str, text: str, command: Command) -> argparse.ArgumentParser:
    """A sub-command that talks to the control plane; ``command`` returns the exit status."""
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--url",
        default=os.environ.get("COMFYTRICKLE_URL") or DEFAULT_URL,
        help=f"the control plane ($COMFYTRICKLE_URL, else {DEFAULT_URL})",
    )
    parser.add_argument(
        "--token",
        default=os.environ.get("COMFYTRICKLE_AUTH_TOKEN"),
        help="when the server asks for one ($COMFYTRICKLE_AUTH_TOKEN)",
    )
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")
    parser.set_defaults(func=lambda args: run(args, command))
    return parser


def run(args: argparse.Namespace, command: Command) -> int:
    """Errors become one line on stderr and an exit status; with --json a refusal is printed."""
    try:
        return command(args, Client(args.url, args.token))
    except Refused as error:
        if args.json:
            print_json({"status": error.status, **error.body})
        else:
            print(f"comfytrickle: refused: {error}{_about_token(error, args)}", file=sys.stderr)
            print_node_errors(error.body.get("node_errors"), sys.stderr)
        return exits.REFUSED
    except Unreachable as error:
        print(f"comfytrickle: cannot reach {error}", file=sys.stderr)
        return exits.UNREACHABLE
    except UsageError as error:
        print(f"comfytrickle: {error}", file=sys.stderr)
        return exits.USAGE
    except BrokenPipeError:
        # The reader of our output is gone (head, less); without this, Python would complain
        # once more while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    except KeyboardInterrupt:
        return 130


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _about_token(error: Refused, args: argparse.Namespace) -> str:
    if error.status != 401:
        return ""
    given = "another one than was given by" if args.token else "give it by"
    return f" ({given} --token or $COMFYTRICKLE_AUTH_TOKEN)"


def print_node_errors(node_errors: Any, file: TextIO) -> None:
    for node_id, entry in (node_errors or {}).items():
        for error in entry.get("errors", []):
            where = f"node {node_id} ({entry.get('class_type')})" if node_id else "workflow"
            print(f"  {where}: {error.get('message')}", file=file)


def add_param_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--workflow", metavar="FILE", help="API format, or a PNG of ComfyUI's")
    add("--width", type=int, help="of the frames that the workflow sees")
    add("--height", type=int)
    add("--max-framerate", type=float, help="cap on frames given to the workflow")
    add(
        "--param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other parameter; VALUE as JSON or text, KEY as encode.crf for nested ones",
    )


def read_params(args: argparse.Namespace) -> dict[str, Any]:
    """The params object that the flags mean. Raises UsageError."""
    params: dict[str, Any] = {}
    if args.workflow is not None:
        params["prompt"] = read_workflow(args.workflow)
    for name in ("width", "height", "max_framerate"):
        if getattr(args, name) is not None:
            params[name] = getattr(args, name)
    for item in args.param:
        set_param(params, item)
    return params


def set_param(params: dict[str, Any], item: str) -> None:
    """Put ``"encode.crf=20"`` in its place. Raises UsageError."""
    key, equals, text = item.partition("=")
    if not equals or not all(key.split(".")):
        raise UsageError(f"--param {item!r}: KEY=VALUE is expected")
    if key in _FLAGS:
        raise UsageError(f"--param {key}=...: it is no parameter; start takes it as {_FLAGS[key]}")
    value = read_value(text)
    if key == "encode" and value not in (None, "") and not isinstance(value, dict):
        raise UsageError(
            f"--param {item!r}: encode has parts, each of them is set by its name,"
            " such as --param encode.audio=opus"
        )
    *outer, last = key.split(".")
    for name in outer:
        params = params.setdefault(name, {})
        if not isinstance(params, dict):
            raise UsageError(f"--param {item!r}: {name} has a value already")
    params[last] = value


def read_value(text: str) -> Any:
    """JSON, and what is none of it as the text that it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_workflow(path: str) -> Any:
    """JSON, or a PNG of ComfyUI's with the workflow in it; ``-`` is stdin. Raises UsageError."""
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        return json.loads(workflow_text(data))
    except NoWorkflow as error:
        raise UsageError(f"{path} {error}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
