"""What people read is what the code does: links, flags, paths, fields, examples."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from comfytrickle import __version__
from comfytrickle.cli.main import COMMANDS, make_parser
from comfytrickle.errors import NodeError
from comfytrickle.messages import StreamConfig
from comfytrickle.states import ExitCause, Health, State
from comfytrickle.workflow.parse import parse_prompt
from control_plane import settings
from control_plane.shapes import requests
from control_plane.shapes.reports import StreamFacts, stream_report
from workers import nodes

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
API = (ROOT / "docs" / "api.md").read_text()
WORKFLOWS = (ROOT / "docs" / "workflows.md").read_text()
README = (ROOT / "README.md").read_text()

ROUTES = [
    (method, path)
    for module in sorted((ROOT / "control_plane" / "api").glob("routes_*.py"))
    for method, path, _ in importlib.import_module(f"control_plane.api.{module.stem}").ROUTES
]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def section(text: str, heading: str) -> str:
    """From a heading to the next one of any level."""
    return re.split(r"^#", text.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.S), re.M
    )
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def commands() -> Iterator[tuple[str, str]]:
    """(page, command line) of every shell block, continued lines joined."""
    for page in PAGES:
        for block in blocks(page.read_text(), "sh"):
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                for part in line.split(" | "):
                    yield named(page), part


# --- links --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no {target}"
        if anchor:
            assert anchor in anchors(target), f"{link}: {named(target)} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_named_in_text_exists(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"(?<![\w/.])(?:examples|scripts|docs|tests|src|workers|control_plane)/"
                           r"[\w/]*\w(?:\.\w+)?", text):  # fmt: skip
        assert (ROOT / path).exists(), f"there is no {path}"


# --- command lines ------------------------------------------------------------------------------


def control_plane_flags() -> set[str]:
    return {o for a in settings.make_parser()._actions for o in a.option_strings}


def all_flags() -> set[str]:
    found = control_plane_flags() | {"--demo"}
    for name in set(COMMANDS) - {"serve"}:
        for action in make_parser(name)._actions:
            if isinstance(action, argparse._SubParsersAction):
                found |= {o for a in action.choices[name]._actions for o in a.option_strings}
    programs = [ROOT / "scripts" / "benchmarks" / "run.py", *(ROOT / "examples").glob("*.py")]
    return found | {
        flag for path in programs for flag in re.findall(r'"(--[a-z-]+)"', path.read_text())
    }


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_flag_named_exists(page: Path) -> None:
    known = all_flags()
    text = re.sub(r"pip install.*|mypy --strict", "", page.read_text())
    for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text):
        assert flag in known, f"there is no {flag}"


def test_every_command_line_can_be_parsed() -> None:
    seen = 0
    for page, line in commands():
        if not re.match(r"([A-Z_]+=.* )?(comfytrickle|\./scripts/launch_pool)", line):
            continue
        line = re.sub("<.*?>", "URL", line)
        words = shlex.split(line, comments=True)
        words = [w for w in words if w != "&" and not re.match(r"[A-Z_]+=", w)]
        program, flags = words[0], words[1:]
        if program.endswith("launch_pool.sh") and "--demo" in flags:
            flags.remove("--demo")
            words, program = ["comfytrickle", "demo", *flags], "comfytrickle"
        try:
            if program == "comfytrickle" and words[1] != "serve":
                make_parser(words[1]).parse_args(words[1:])
            else:
                settings.make_parser().parse_args(flags)
        except SystemExit as error:
            raise AssertionError(f"{page}: {line!r} is no command line") from error
        seen += 1
    assert seen >= 12


# --- the HTTP API -------------------------------------------------------------------------------


def has_route(method: str, path: str) -> bool:
    return any(
        method == m and re.fullmatch(re.sub(r"\{\w+\}", r"(?:\\{\\w+\\}|[\\w-]+)", p), path)
        for m, p in ROUTES
    )


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "trickle.md"], ids=named)
def test_every_call_named_exists(page: Path) -> None:
    for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/[^`?\s]*)", page.read_text()):
        assert has_route(method, path), f"there is no {method} {path}"


def test_every_call_is_described() -> None:
    for method, path in ROUTES:
        call = path.replace("{request_id}", "{id}")
        others = re.findall(rf"^#+ .*{method} {re.escape(call)}(?![\w/])", API, re.M)
        assert others or f"`{method} {call}`" in API, f"{method} {call} is missing in docs/api.md"


def curl_calls(block: str) -> Iterator[list[str]]:
    """The words of each; a body in quotes goes over several lines."""
    lines = iter(block.splitlines())
    for line in lines:
        if line.startswith("curl "):
            while line.count("'") % 2:
                line += "\n" + next(lines)
            yield shlex.split(line)


def test_every_curl_calls_something_and_sends_what_is_accepted() -> None:
    bodies = 0
    for page in PAGES:
        for block in blocks(page.read_text(), "sh"):
            for words in curl_calls(block):
                (url,) = [w for w in words if w.startswith("http://127.0.0.1:8889")]
                data = words[words.index("-d") + 1] if "-d" in words else None
                path = url.removeprefix("http://127.0.0.1:8889").partition("?")[0]
                path = path.removeprefix("/api")
                method = "POST" if data is not None or "POST" in words else "GET"
                assert has_route(method, path), f"{named(page)}: {method} {path}"
                if data is None or data.startswith("@"):
                    continue
                bodies += 1
                body = json.loads(data)
                is_start = path in ("/stream/start", "/live-video-to-video")
                read = requests.read_start if is_start else requests.read_params
                ignored = read(body).ignored
                if page.name == "migrating.md":  # requests as others send them
                    assert all(f"`{name}`" in page.read_text() for name in ignored)
                else:
                    assert ignored == []
    assert bodies >= 3


def test_every_field_of_a_status_is_described() -> None:
    facts = StreamFacts(StreamConfig("a", {}), None, State.STARTING, 0.0, 0.0)
    described = section(API, "## GET /stream/{id}/status")
    for name, value in stream_report(facts).items():
        parts = [f"{name}.{key}" for key in value] if isinstance(value, dict) and value else [name]
        for part in parts:
            assert f"`{part}`" in described or f"`{name}.*`" in described, f"{part} is missing"
    (example,) = [e for e in map(json.loads, blocks(described, "json")) if "state" in e]
    assert list(example) == list(stream_report(facts))


def test_every_word_of_health_and_exit_is_described() -> None:
    operating = (ROOT / "docs" / "operating.md").read_text()
    healths = re.findall(r"^\| `(\w+)` \|", section(operating, "## Health"), re.M)
    assert healths == [h.value for h in Health]
    causes = set(re.findall(r"^\| `(\w+)` \|", section(operating, "## Exit causes"), re.M))
    causes.discard("exit_cause")  # the heading
    assert causes == {c.value for c in ExitCause}


def test_the_limits_of_params_are_those_of_the_code() -> None:
    table = section(API, "## POST /stream/start").replace(" ", " ")
    assert f"{requests.SIZE_MIN} to {requests.SIZE_MAX}" in table
    assert f"{requests.FRAMERATE_MIN:g} to {requests.FRAMERATE_MAX:g}" in table
    assert f"{requests.GOP_MIN:g} to {requests.GOP_MAX:g}" in table
    bitrates = f"{requests.BITRATE_MIN:,} to {requests.BITRATE_MAX:,}".replace(",", " ")
    assert bitrates in table
    for word in (*requests.PRESETS, *requests.DROPS):
        assert f"`{word}`" in table
    names = [f"params.encode.{key}" for key in requests.ENCODE_KEYS]
    names += [f"params.{key}" for key in requests.PARAM_KEYS if key != "encode"]
    for name in (*names, *requests.URL_KEYS):
        assert f"`{name}`" in table, f"{name} is missing"


# --- blocks of data -----------------------------------------------------------------------------


def test_every_json_block_is_json() -> None:
    found = [(page, block) for page in PAGES for block in blocks(page.read_text(), "json")]
    assert len(found) > 8
    for page, block in found:
        try:
            json.loads(block)
        except ValueError as error:
            raise AssertionError(f"{named(page)}: {error} in\n{block}") from error
    assert f'"version": "{__version__}"' in API


def test_every_toml_block_is_a_settings_file(tmp_path: Path) -> None:
    found = [block for page in PAGES for block in blocks(page.read_text(), "toml")]
    assert found
    for n, block in enumerate(found):
        path = tmp_path / f"{n}.toml"
        path.write_text(block)
        assert settings._from_file(path)


def test_the_table_of_settings_is_complete() -> None:
    rows = re.findall(r"^\| `(--[a-z-]+)` \| \W?(\w+)[^|]*\| ([^|]+) \|", README, re.M)
    assert {flag for flag, _, _ in rows} == control_plane_flags() - {"-h", "--help"}
    keys = {key: default.strip("` ") for _, key, default in rows}
    default = settings.Settings()
    for key in settings.Settings.__struct_fields__:
        value: Any = getattr(default, key)
        if isinstance(value, int | float | str):
            shown = f"{value:g}" if isinstance(value, float) else str(value).removeprefix("*")
            assert keys[key] == (shown.lower() if isinstance(value, bool) else shown), key
        else:
            assert key in keys


# --- workflows and nodes ------------------------------------------------------------------------


def test_the_catalogue_of_nodes_is_complete() -> None:
    table = section(WORKFLOWS, "## The embedded pack")
    named_first = re.findall(r"^\| (`[^|]*`) \|", table.split("[examples/", 1)[0], re.M)
    found = {name for cell in named_first for name in re.findall(r"`(\w+)`", cell)}
    assert found == {*nodes.NODE_CLASS_MAPPINGS, *nodes.missing_extras()}


def test_the_example_workflows_are_listed_and_sound() -> None:
    files = {path.name for path in (ROOT / "examples" / "workflows").glob("*.json")}
    table = section(WORKFLOWS, "## The embedded pack").split("[examples/", 1)[1]
    assert set(re.findall(r"`(\w+\.json)`", table)) == files
    for path in (ROOT / "examples").rglob("*.json"):
        parse_prompt(json.loads(path.read_text()))


def test_every_type_of_node_error_exists() -> None:
    source = "".join(
        path.read_text() for folder in ("src", "workers") for path in (ROOT / folder).rglob("*.py")
    )
    types = re.findall(r"`(\w+)`", " ".join(
        re.findall(r"^\| (`[^|]*`) \|", section(WORKFLOWS, "## node_errors"), re.M)
    ))  # fmt: skip
    assert len(types) > 10 and "NodeError" in NodeError.__name__
    for name in types:
        assert f'"{name}"' in source, f"no error of type {name}"


def test_the_node_pack_in_the_readme_is_the_example() -> None:
    (code,) = [block for block in blocks(README, "python") if "NODE_CLASS_MAPPINGS" in block]
    shown: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), shown)
    example = runpy.run_path(str(ROOT / "examples" / "nodes" / "trail.py"))
    here, there = shown["Trail"](), example["Trail"]()
    assert here.INPUT_TYPES() == there.INPUT_TYPES()
    frames = [torch.rand(1, 4, 4, 3) for _ in range(3)]
    trails = [here.run(frame, 0.5)[0] for frame in frames]
    for frame, trail in zip(frames, trails, strict=True):
        assert torch.equal(there.run(frame, 0.5)[0], trail)
    faded = torch.maximum(frames[1], frames[0] * 0.5)
    assert torch.equal(trails[2], torch.maximum(frames[2], faded * 0.5))
