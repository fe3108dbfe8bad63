"""``comfytrickle install-nodes``: the stream's nodes in ComfyUI's own editor."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from comfytrickle import __version__, node_pack
from comfytrickle.cli import exits


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "install-nodes",
        help="put the stream's nodes into a ComfyUI, to draw live workflows in its editor",
        description="Copies LoadTensor, SaveTensor and the other nodes of a stream to"
        " custom_nodes/comfytrickle-nodes of a ComfyUI. Doing it again updates them.",
        epilog="Restart ComfyUI afterwards.",
    )
    parser.add_argument(
        "--workspace",
        required=True,
        type=Path,
        metavar="PATH",
        help="the folder that holds ComfyUI's main.py",
    )
    parser.add_argument("--remove", action="store_true", help="take them out again")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """0: done, or nothing was to be done. 1: refused or failed, with the reason on stderr."""
    workspace = args.workspace.expanduser().absolute()
    try:
        if args.remove:
            path, before = node_pack.remove(workspace)
            print(f"not there: {path}" if before is None else f"removed {before} from {path}")
        else:
            path, before = node_pack.install(workspace)
            was = f" (was {before})" if before is not None else ""
            print(f"installed {__version__}{was} in {path}; restart ComfyUI to see the nodes")
    except (node_pack.NodePackError, OSError) as error:
        print(f"comfytrickle install-nodes: {error}", file=sys.stderr)
        return exits.REFUSED
    return exits.OK
