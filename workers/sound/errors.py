"""What can be wrong with sound, classed by what the caller does next."""

from __future__ import annotations

from comfytrickle.errors import ComfytrickleError


class BadSound(ComfytrickleError):
    """These bytes are not whole frames of the codec. Drop them and go on with the next."""


class UnsupportedSound(ComfytrickleError):
    """No framing, decoder or encoder for this codec or these parameters. Do not retry."""
