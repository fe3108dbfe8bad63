"""The OpenAPI document is that of the routes and of what is read; its form follows the standard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from control_plane.api.app import all_routes
from control_plane.api.openapi import describe
from control_plane.api.operations import OPERATIONS
from control_plane.shapes import asked, bodies, requests

CALLS = [(method, path) for method, path, _ in all_routes()]
DOCUMENT: dict[str, Any] = json.loads(msgspec.json.encode(describe(CALLS)))
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def walk(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from walk(inner)


def test_it_has_every_route_and_no_other() -> None:
    described = {(method.upper(), path) for method, path, _ in operations()}
    assert described == set(CALLS) == OPERATIONS.keys()
    assert len(CALLS) == len(set(CALLS))
    with pytest.raises(KeyError):
        describe([*CALLS, ("GET", "/new")])


def test_its_form() -> None:
    """OpenAPI 3.1.0, 4.8: fields that must be there, and values that are allowed."""
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert DOCUMENT.keys() <= {"openapi", "info", "servers", "paths", "components", "security"}
    assert DOCUMENT["info"]["title"] and DOCUMENT["info"]["version"]
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    for method, path, operation in operations():
        assert method in METHODS and path.startswith("/") and operation["summary"]
        assert operation.keys() <= {"operationId", "summary", "responses", "parameters",
                                    "requestBody", "security"}  # fmt: skip
        parameters = operation.get("parameters", [])
        names = [(p["name"], p["in"]) for p in parameters]
        assert len(set(names)) == len(names)
        in_path = {p["name"] for p in parameters if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path))
        for parameter in parameters:
            assert parameter["in"] in ("path", "query", "header") and parameter["schema"]
            assert parameter["in"] != "path" or parameter["required"] is True
        assert "requestBody" not in operation or method != "get"
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status) and response["description"]
            for mime, media in response.get("content", {}).items():
                assert re.fullmatch(r"[a-z]+/[a-z0-9.-]+", mime) and media["schema"]
        assert any(status[0] in "12" for status in operation["responses"])


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    references = [v["$ref"] for v in walk(DOCUMENT) if isinstance(v, dict) and "$ref" in v]
    schemas = DOCUMENT["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in references} == set(schemas)
    for value in walk(schemas):
        if isinstance(value, dict) and isinstance(value.get("type"), str):
            assert value["type"] in (
                "object", "array", "string", "integer", "number", "boolean", "null"
            )  # fmt: skip


def fields(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_fields__)


def test_the_bodies_are_those_that_are_read() -> None:
    assert fields(asked.Params) == set(requests.PARAM_KEYS)
    assert fields(asked.LiveParams) == set(requests.PARAM_KEYS) - set(requests.TIMEOUT_KEYS)
    assert fields(asked.Encode) == set(requests.ENCODE_KEYS)
    assert fields(asked.Ids) == set(bodies.ID_KEYS)
    assert fields(asked.StartBody) == {*requests.URL_KEYS, *bodies.ID_KEYS, "params"}
    assert fields(asked.ParamsBody) == fields(asked.LiveParams) | fields(asked.Ids) | {"params"}


def test_the_limits_are_those_of_the_code() -> None:
    width = DOCUMENT["components"]["schemas"]["Params"]["properties"]["width"]["anyOf"][0]
    assert width == {"type": "integer", "minimum": 16, "maximum": 4096, "multipleOf": 2}
    drop = DOCUMENT["components"]["schemas"]["Params"]["properties"]["drop"]["anyOf"][0]
    assert drop == {"type": "string", "enum": ["latest", "never"]}


def test_the_fields_of_sound_and_of_the_events_are_spelt_out() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    audio = schemas["StreamStatus"]["properties"]["audio"]
    assert audio == {"$ref": "#/components/schemas/Audio"}
    assert list(schemas["Audio"]["properties"]) == ["in", "out", "silence", "unheard", "dropped"]
    answer = DOCUMENT["paths"]["/events"]["get"]["responses"]["200"]["content"]
    assert answer["text/event-stream"]["x-events"]["texts"] == {
        "$ref": "#/components/schemas/Texts"
    }
    assert schemas["Texts"]["required"] == ["request_id", "lines", "skipped"]
    assert "changes" in schemas["WatchedStatus"]["required"]


def test_go_livepeers_path_has_its_errors_alone() -> None:
    responses = DOCUMENT["paths"]["/live-video-to-video"]["post"]["responses"]
    assert responses.keys() == {"200", "400", "401", "500"}
    for status in ("400", "401", "500"):
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/DetailError"}
