"""The command ``comfytrickle``. A sub-command's module is imported only when it is used.

So ``comfytrickle status`` answers in a moment, and works where av or torch do not.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from comfytrickle import __version__
from comfytrickle.cli.exits import USAGE

# name -> (module with add_parser(subparsers), one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("comfytrickle.cli.serve", "run the control plane (flags: serve --help)"),
    "start": ("comfytrickle.cli.start", "start a stream"),
    "stop": ("comfytrickle.cli.stop", "stop a stream"),
    "status": ("comfytrickle.cli.status", "show how a stream goes"),
    "list": ("comfytrickle.cli.list_streams", "list the streams"),
    "params": ("comfytrickle.cli.params", "change a live stream's workflow, size or rate"),
    "drain": ("comfytrickle.cli.drain", "let no new streams in, or again"),
    "logs": ("comfytrickle.cli.logs", "show a stream's log"),
    "validate": ("comfytrickle.cli.validate", "check whether a workflow can run"),
    "trickle-server": ("comfytrickle.cli.trickle_server", "run a local trickle server"),
    "publish": ("comfytrickle.cli.publish", "publish a file or a test pattern to a channel"),
    "pull": ("comfytrickle.cli.pull", "read a channel into a file"),
    "install-nodes": (
        "comfytrickle.cli.install_nodes",
        "put the stream's nodes into a ComfyUI, for its editor",
    ),
    "register": ("comfytrickle.cli.register", "offer this pool to a Livepeer orchestrator"),
    "demo": ("comfytrickle.cli.demo", "see it all work on this machine"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status; wrong usage exits with 2 from argparse."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args[:1] == ["serve"]:
        # The control plane has its own flags, help included; argparse cannot hand them through.
        from comfytrickle.cli import serve

        return serve.run(args[1:])
    parser = make_parser(args[0] if args else None)
    parsed = parser.parse_args(args)
    if not hasattr(parsed, "func"):
        parser.print_help(sys.stderr)
        return USAGE
    return int(parsed.func(parsed))


def make_parser(command: str | None) -> argparse.ArgumentParser:
    """All commands by name, with the flags of ``command`` alone."""
    parser = argparse.ArgumentParser(
        prog="comfytrickle",
        description="ComfyUI on live video over the trickle protocol.",
        epilog="Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 server unreachable.",
    )
    parser.add_argument("--version", action="version", version=f"comfytrickle {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        if name == command:
            importlib.import_module(module).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=text, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
