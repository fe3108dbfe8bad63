"""The OpenAPI 3.1 document of a tree of routes. Pure.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from comfytrickle import __version__
from control_plane.api.operations import JSON, OPERATIONS, Operation, reason
from control_plane.shapes import told

_REF = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")


def describe(routes: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Of (method, path) pairs, each of which has an entry in OPERATIONS (KeyError)."""
    paths: dict[str, dict[str, Any]] = {}
    schemas = _Schemas()
    for method, path in routes:
        operation = _operation(method, path, OPERATIONS[method, path], schemas)
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "comfytrickle",
            "version": __version__,
            "description": "Every path is there once more under /api, and with a slash behind it.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}, {"url": "/api"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """Those that are referred to."""

    def __init__(self) -> None:
        self._used: dict[str, type[msgspec.Struct]] = {}

    def ref(self, struct: type[msgspec.Struct]) -> dict[str, Any]:
        if self._used.setdefault(struct.__name__, struct) is not struct:
            raise ValueError(f"two schemas are called {struct.__name__}")
        return {"$ref": _REF.format(name=struct.__name__)}

    def components(self) -> dict[str, Any]:
        return msgspec.json.schema_components(self._used.values(), ref_template=_REF)[1]


def _operation(method: str, path: str, entry: Operation, schemas: _Schemas) -> dict[str, Any]:
    words = re.findall(r"\w+", path)
    described: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *words]),
        "summary": entry.summary,
        "responses": _responses(entry, schemas),
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PATH_PARAMETER.findall(path)
    ]
    if path.startswith("/stream/") and not parameters:
        parameters.append({"name": "X-Stream-Id", "in": "header", "schema": {"type": "string"}})
    parameters += [
        {"name": name, "in": "query", "schema": schema} for name, schema in entry.query.items()
    ]
    if parameters:
        described["parameters"] = parameters
    if entry.body is not None:
        described["requestBody"] = {"content": {JSON: {"schema": schemas.ref(entry.body)}}}
    if entry.open_to_all:
        described["security"] = []
    return described


def _responses(entry: Operation, schemas: _Schemas) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "done"}
    if entry.answer is not None:
        good["content"] = {entry.mime: {"schema": schemas.ref(entry.answer)}}
    elif entry.mime:
        kind = "object" if entry.mime == JSON else "string"
        good["content"] = {entry.mime: {"schema": {"type": kind}}}
        if entry.events:  # 3.1 has no words for them; an extension may stand here (4.9)
            events = {name: schemas.ref(data) for name, data in entry.events.items()}
            good["content"][entry.mime]["x-events"] = events
    responses = {str(entry.status): good}
    for status in entry.refused:
        responses[str(status)] = _refusal(reason(status), entry.error, schemas)
    if not entry.open_to_all:
        error = entry.error if entry.error is told.DetailError else told.Error
        responses["401"] = _refusal("no valid token", error, schemas)
        why = "a bug" if error is told.Error else "not now (Retry-After), or a bug"
        responses["500"] = _refusal(why, error, schemas)
    return responses


def _refusal(why: str, error: type[msgspec.Struct], schemas: _Schemas) -> dict[str, Any]:
    return {"description": why, "content": {JSON: {"schema": schemas.ref(error)}}}
