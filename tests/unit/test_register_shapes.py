"""What a registration says and reads, without a network."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from comfytrickle.registration.keeper import Keeper
from comfytrickle.registration.shapes import (
    Capability,
    Never,
    NotNow,
    NotTaken,
    Pool,
    Price,
    check_answer,
    offer,
    read_health,
)


def test_the_body_has_the_names_of_the_orchestrators_struct() -> None:
    price = Price.of(Fraction("0.25"), "usd")
    capability = Capability("comfy", "http://pool:8889", "of mine", price, "t")
    assert capability.body(3) == {
        "name": "comfy",
        "description": "of mine",
        "url": "http://pool:8889",
        "capacity": 3,
        "price_per_unit": 1,
        "price_scaling": 4,
        "currency": "usd",
        "token": "t",
    }
    free = Capability("comfy", "http://pool:8889").body(0)
    assert (free["price_per_unit"], free["price_scaling"], free["currency"]) == (0, 1, "wei")
    assert "token" not in free


@pytest.mark.parametrize("amount", [Fraction(-1), Fraction(2**63), Fraction(1, 2**63)])
def test_a_price_fits_into_two_int64(amount: Fraction) -> None:
    with pytest.raises(ValueError, match="2\\^63"):
        Price.of(amount, "wei")


@pytest.mark.parametrize(
    ("status", "text", "kind", "said"),
    [
        (400, "invalid authorization\n", Never, "secret"),
        (400, "Error registering capability: unexpected EOF", Never, "unexpected EOF"),
        (401, "", Never, "secret"),
        (404, "404 page not found\n", Never, "BYOC"),
        (302, "", Never, "302"),
        (200, "<html>\n<title>Welcome", Never, "200 <html> <title>Welcome (is this an orch"),
        (200, "", Never, "200 (is this an orchestrator"),
        (401, '{"error": "a valid Authorization: Bearer token is needed"}', Never, "is a comfytri"),
        (429, "slowly", NotTaken, "429 slowly"),
        (500, "", NotTaken, "500"),
        (502, "", NotNow, "502"),  # a proxy's: it may have been registered all the same
        (503, "a\x1b[31mb\r\nc" + "d" * 999, NotTaken, "503 a [31mb  c"),
    ],
)
def test_answers(status: int, text: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as caught:
        check_answer(status, text)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_200_is_success() -> None:
    check_answer(200, "ok")
    check_answer(200, "ok\n")


def health(**changes: Any) -> dict[str, Any]:
    return {"status": "OK", "draining": False, "slots": {"total": 4, "free": 1}, **changes}


def test_the_pool_of_a_health() -> None:
    assert read_health(health()) == Pool(True, 4, 1)
    assert not read_health(health(draining=True)).is_open
    assert not read_health(health(status="LOADING")).is_open
    assert not read_health(health(status="ERROR")).is_open


@pytest.mark.parametrize("body", [None, [], {}, {"status": "OK"}, health(slots={"total": "x"})])
def test_another_servers_health_is_none(body: Any) -> None:
    with pytest.raises(NotNow):
        read_health(body)


@pytest.mark.parametrize(
    ("pool", "limit", "capacity"),
    [
        (Pool(True, 4, 4), None, 4),
        (Pool(True, 4, 1), None, 1),
        (Pool(True, 4, 0), None, 0),
        (Pool(True, 4, 3), 2, 1),
        (Pool(True, 4, 1), 2, 0),
        (Pool(True, 4, 4), 9, 4),
        (Pool(False, 4, 4), None, 0),
    ],
)
def test_what_is_offered(pool: Pool, limit: int | None, capacity: int) -> None:
    assert offer(pool, limit) == capacity


# --- when it is said ----------------------------------------------------------------------------

IDLE = Pool(True, 2, 2)
BUSY = Pool(True, 2, 1)
DRAINING = Pool(False, 2, 1)
DRAINED = Pool(False, 2, 2)


def registered(pool: Pool = IDLE, at: float = 0.0) -> Keeper:
    keeper = Keeper(None, 300.0)
    assert keeper.capacity(at, pool, False) is not None
    keeper.said(at, pool)
    return keeper


def test_it_is_said_once_and_again_after_the_time() -> None:
    keeper = registered()
    assert keeper.capacity(10.0, IDLE, False) is None
    assert keeper.capacity(20.0, BUSY, False) is None  # the orchestrator counts its own
    assert keeper.capacity(300.0, BUSY, False) == 1
    keeper.said(300.0, BUSY)
    assert keeper.capacity(599.0, BUSY, False) is None


def test_it_is_said_again_to_an_orchestrator_that_may_be_another() -> None:
    assert registered().capacity(1.0, BUSY, True) == 1


def test_it_is_said_again_when_the_pool_changes() -> None:
    keeper = registered()
    assert keeper.capacity(1.0, Pool(True, 3, 3), False) == 3


def test_not_before_the_pool_is_open() -> None:
    keeper = Keeper(None, 300.0)
    assert keeper.capacity(0.0, None, False) is None
    assert keeper.capacity(1.0, Pool(False, 2, 2), False) is None
    assert keeper.capacity(2.0, DRAINING, False) is None
    assert not keeper.is_to_go(DRAINING)
    assert keeper.capacity(3.0, IDLE, False) == 2


def test_a_draining_pool_stays_with_0_until_its_last_stream_has_ended() -> None:
    keeper = registered(BUSY)
    for now in (1.0, 2.0):
        assert keeper.capacity(now, DRAINING, False) == 0
        assert not keeper.is_to_go(DRAINING)
        keeper.said(now, DRAINING)
    assert keeper.capacity(3.0, DRAINED, False) is None
    assert keeper.is_to_go(DRAINED)
    keeper.gone()
    assert not keeper.registered and not keeper.is_to_go(DRAINED)
    assert keeper.capacity(4.0, IDLE, False) == 2


def test_a_pool_that_misses_one_look_stays_and_one_that_misses_two_goes() -> None:
    keeper = registered()
    assert keeper.capacity(1.0, None, False) is None and not keeper.is_to_go(None)
    assert keeper.capacity(2.0, IDLE, False) is None
    assert keeper.capacity(3.0, None, False) is None and not keeper.is_to_go(None)
    assert keeper.capacity(4.0, None, False) is None and keeper.is_to_go(None)
    keeper.gone()
    assert keeper.capacity(5.0, IDLE, False) == 2
