"""The flags and variables of ``comfytrickle register``."""

from __future__ import annotations

import os

import pytest

from comfytrickle.cli.main import main, make_parser
from comfytrickle.cli.register_flags import read_options, warnings
from comfytrickle.registration.run import Options
from comfytrickle.registration.shapes import Price

NEEDED = ("--orchestrator", "https://127.0.0.1:8935/", "--url", "http://127.0.0.1:8889/")
SECRET = "s3cret"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CAPABILITY_", "ORCH_", "COMFYTRICKLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ORCH_SECRET", SECRET)


def options(*flags: str) -> Options:
    return read_options(make_parser("register").parse_args(["register", *NEEDED, *flags]))


def test_defaults() -> None:
    found = options()
    assert (found.orchestrator, found.secret) == ("https://127.0.0.1:8935", SECRET)
    assert (found.capability.name, found.capability.url) == ("comfytrickle", NEEDED[3][:-1])
    assert (found.capability.price, found.capability.token) == (Price(0, 1, "wei"), "")
    assert found.pool == "http://127.0.0.1:8889"
    assert found.capacity is None and found.verify_tls


def test_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_URL", "http://orchestrator:8935")
    monkeypatch.setenv("CAPABILITY_URL", "http://pool:8889")
    monkeypatch.setenv("COMFYTRICKLE_URL", "http://127.0.0.1:9999")
    monkeypatch.setenv("COMFYTRICKLE_AUTH_TOKEN", "t")
    found = read_options(make_parser("register").parse_args(["register"]))
    assert found.orchestrator == "http://orchestrator:8935"
    assert (found.capability.url, found.capability.token) == ("http://pool:8889", "t")
    assert found.pool == "http://127.0.0.1:9999"


@pytest.mark.parametrize(
    ("text", "price"), [("0", (0, 1)), ("12", (12, 1)), ("0.25", (1, 4)), ("1/3", (1, 3))]
)
def test_a_price_is_exact(text: str, price: tuple[int, int]) -> None:
    found = options("--price", text, "--currency", "USD").capability.price
    assert ((found.per_unit, found.scaling), found.currency) == (price, "usd")


@pytest.mark.parametrize(
    ("flags", "env", "said"),
    [
        ((), {"ORCH_SECRET": ""}, "$ORCH_SECRET is empty"),
        ((), {"ORCH_SECRET": "a\nb"}, "no HTTP header"),
        (("--secret", ""), {}, "--secret is empty"),
        (("--secret-file", "/dev/null"), {}, "--secret-file /dev/null is empty"),
        (("--secret-file", "/dev/null", "--secret", "x"), {}, "contradict"),
        (("--orchestrator", "o:8935"), {}, "is not a URL; write for example https://orch"),
        (("--secret-file", "/does/not/exist"), {}, "cannot read /does/not/exist: No such file"),
        (("--capacity", "0"), {}, "'0' is not a whole number"),
        ((), {"CAPABILITY_CAPACITY": "many"}, "'many' is not a whole number"),
        ((), {"CAPABILITY_PRICE_PER_UNIT": "x"}, "the price: "),
        (("--price", "-1"), {}, "is not a price"),
        (("--price", "1e40"), {}, "2^63"),
        (("--url", "pool:8889"), {}, "'pool:8889' is not a URL"),
        (("--orchestrator", "https://o:8935/?a=b"), {}, "is not a URL"),
        (("--keep", "--unregister"), {}, "contradict"),
        (("--name", "a\nb"), {}, "is no name"),
    ],
)
def test_wrong_usage_is_2(
    flags: tuple[str, ...],
    env: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    try:
        status = main(["register", *NEEDED, *flags])
    except SystemExit as error:
        status = int(str(error.code))
    assert status == 2
    shown = capsys.readouterr().err
    assert said in shown and SECRET not in shown


def test_an_unset_secret_is_not_called_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ORCH_SECRET")
    assert main(["register", *NEEDED]) == 2
    shown = capsys.readouterr().err
    assert "secret is needed: --secret-file or $ORCH_SECRET" in shown and "empty" not in shown


@pytest.mark.parametrize("missing", [0, 2])
def test_what_is_needed_is_named(missing: int, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*NEEDED[:missing], *NEEDED[missing + 2 :]]
    assert main(["register", *flags]) == 2
    assert f"{NEEDED[missing]} or $" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), None),
        (("--insecure",), "not verified"),
        (("--orchestrator", "http://far:8935", "--url", "http://pool:8889"), "not encrypted"),
        (("--orchestrator", "https://far:8935"), "the orchestrator's own machine"),
    ],
)
def test_warnings(flags: tuple[str, ...], said: str | None) -> None:
    found = warnings(options(*flags))
    if said is None:
        assert found == []
    else:
        (line,) = found
        assert said in line and SECRET not in line
