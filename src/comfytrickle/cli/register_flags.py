"""What the flags and variables of ``comfytrickle register`` mean."""

from __future__ import annotations

import argparse
import os
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

from comfytrickle.calls import is_local
from comfytrickle.cli.common import UsageError
from comfytrickle.registration.run import Options
from comfytrickle.registration.shapes import Capability, Price

SECRET_VARIABLE = "ORCH_SECRET"


def read_options(args: argparse.Namespace) -> Options:
    """Raises UsageError."""
    if args.orchestrator is None:
        raise UsageError("--orchestrator or $ORCH_URL is needed")
    if not args.name.strip() or not args.name.isprintable():
        raise UsageError(f"--name: {args.name!r} is no name")
    if args.url is None and not args.unregister:
        raise UsageError(
            "--url or $CAPABILITY_URL is needed: this pool as the orchestrator sees it"
        )
    if args.keep and args.unregister:
        raise UsageError("--keep and --unregister contradict each other")
    return Options(
        args.orchestrator,
        _secret(args),
        Capability(args.name, args.url or "", args.description, _price(args), args.token or ""),
        args.pool,
        args.capacity,
        verify_tls=not args.insecure,
        request_s=args.request_timeout,
        every_s=args.every,
        refresh_s=args.refresh,
    )


def _secret(args: argparse.Namespace) -> str:
    """From the flag, the file or the variable. Its text is in no message. Raises UsageError."""
    if args.secret is not None and args.secret_file is not None:
        raise UsageError("--secret and --secret-file contradict each other")
    if args.secret is not None:
        where, secret = "--secret", str(args.secret)
    elif args.secret_file is not None:
        where, secret = f"--secret-file {args.secret_file}", _from_file(args.secret_file)
    elif SECRET_VARIABLE not in os.environ:
        raise UsageError(
            f"the orchestrator's secret is needed: --secret-file or ${SECRET_VARIABLE}"
        )
    else:
        where, secret = f"${SECRET_VARIABLE}", os.environ.get(SECRET_VARIABLE, "")
    if not secret:
        raise UsageError(f"{where} is empty; --secret-file or ${SECRET_VARIABLE} is needed")
    if not (secret.isascii() and secret.isprintable()):
        raise UsageError(f"{where} has characters that no HTTP header can carry")
    return secret


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text") from None


def _price(args: argparse.Namespace) -> Price:
    """Raises UsageError."""
    amount = args.price
    try:
        if amount is None:
            per_unit = os.environ.get("CAPABILITY_PRICE_PER_UNIT") or "0"
            scaling = os.environ.get("CAPABILITY_PRICE_SCALING") or "1"
            amount = Fraction(int(per_unit), int(scaling) or 1)  # 0 is 1 for go-livepeer, too
        return Price.of(amount, args.currency.lower())
    except ValueError as error:
        raise UsageError(f"the price: {error}") from None


def warnings(options: Options) -> list[str]:
    """What works here and is likely to be a mistake, or a danger."""
    found = []
    here = is_local(options.orchestrator)
    if not options.verify_tls:
        found.append(
            "--insecure: the certificate of the orchestrator is not verified; whoever is between"
            " can read the secret"
        )
    if not here and urlsplit(options.orchestrator).scheme == "http":
        found.append(f"{options.orchestrator} is not encrypted; the secret can be read on its way")
    if not here and options.capability.url and is_local(options.capability.url):
        found.append(
            f"--url {options.capability.url} means the orchestrator's own machine when it is used"
            " there"
        )
    return found
