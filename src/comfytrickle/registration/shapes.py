"""What an orchestrator is told and answers, and what the pool says of itself. Pure.

Read off go-livepeer (``byoc/job_orchestrator.go``, ``core/external_capabilities.go``):

    POST /capability/register    Authorization: <orchSecret, bare>    body: Capability as JSON
    POST /capability/unregister  Authorization: <orchSecret, bare>    body: the name, bare

Both answer 200 ``ok``, or 400 and a line of text: ``invalid authorization``, ``Error registering
capability: ...``. A currency that it cannot convert makes the handler panic: the connection is
closed without an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from comfytrickle.errors import ComfytrickleError

REGISTER = "/capability/register"
UNREGISTER = "/capability/unregister"
INT64_MAX = 2**63 - 1
_TEXT_MAX = 300  # of an answer that is shown
_POOLS_401 = "Authorization: Bearer token is needed"  # go-livepeer's secret is no Bearer token

# 408, 425 and 429 are said about the moment, as 5xx are.
_PASSING = frozenset({408, 425, 429})
# A proxy's word that it had no answer: what is behind it may have done what was asked.
_UNKNOWN = frozenset({502, 504})
_ANSWER = "ok"  # with 200, of both calls


class NotNow(ComfytrickleError):
    """No answer, or one about the moment: worth another try as it is."""


class Away(NotNow):
    """No connection: nothing was sent."""


class NotTaken(NotNow):
    """An answer about the moment: it has registered nothing."""


class Never(ComfytrickleError):
    """The orchestrator's no: something must be mended before another try."""


@dataclass(frozen=True, slots=True)
class Price:
    """``per_unit / scaling`` of ``currency`` for each second that a stream takes. 0 is free."""

    per_unit: int = 0
    scaling: int = 1
    currency: str = "wei"

    @classmethod
    def of(cls, amount: Fraction, currency: str) -> Price:
        """Raises ValueError for what two int64 cannot say."""
        if amount < 0 or max(amount.numerator, amount.denominator) > INT64_MAX:
            raise ValueError("a price is 0 or more, and made of two numbers below 2^63")
        return cls(amount.numerator, amount.denominator, currency)


@dataclass(frozen=True, slots=True)
class Capability:
    """What is registered. ``token``: the orchestrator sends it to us as ``Bearer``; "": none."""

    name: str
    url: str  # of this pool as the orchestrator reaches it; it puts /stream/start behind it
    description: str = ""
    price: Price = Price()
    token: str = ""

    def body(self, capacity: int) -> dict[str, Any]:
        """``capacity``: how many more streams it may send."""
        body: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "url": self.url,
            "capacity": capacity,
            "price_per_unit": self.price.per_unit,
            "price_scaling": self.price.scaling,
            "currency": self.price.currency,
        }
        if self.token:
            body["token"] = self.token
        return body


def check_answer(status: int, text: str) -> None:
    """Returns for go-livepeer's 200. Raises NotNow, NotTaken, Never; of ``text``, the body, a line
    is shown."""
    if status == 200 and text.strip() == _ANSWER:
        return
    said = "".join(c if c.isprintable() else " " for c in text[:_TEXT_MAX]).strip()
    reason = f"{status} {said}" if said else str(status)
    if status in _UNKNOWN:
        raise NotNow(reason)
    if status >= 500 or status in _PASSING:
        raise NotTaken(reason)
    if status in (200, 404, 405):
        reason += " (is this an orchestrator, and one with BYOC?)"
    elif _POOLS_401 in said:
        reason += " (that is a comfytrickle pool; --orchestrator is to name the orchestrator)"
    elif "invalid authorization" in said or status in (401, 403):
        reason += " (the secret is not that of its -orchSecret)"
    raise Never(reason)


@dataclass(frozen=True, slots=True)
class Pool:
    """What the pool says of itself. ``is_open``: a start can succeed if there is a free slot."""

    is_open: bool
    total: int
    free: int

    @property
    def used(self) -> int:
        return self.total - self.free


def read_health(body: Any) -> Pool:
    """The pool from the JSON of ``GET /health``. Raises NotNow for another server's answer."""
    try:
        slots = body["slots"]
        total, free = int(slots["total"]), int(slots["free"])
        is_open = body["status"] in ("OK", "IDLE") and not body["draining"]
    except (KeyError, TypeError, ValueError) as error:
        raise NotNow("what answers there is not this pool's /health") from error
    return Pool(is_open, total, max(0, min(free, total)))


def offer(pool: Pool, limit: int | None) -> int:
    """How many more streams may come: at most ``limit`` at a time (None: all slots)."""
    if not pool.is_open:
        return 0
    most = pool.total if limit is None else min(limit, pool.total)
    return max(0, most - pool.used)
