"""/nodes and /workflow/validate: what the engine has, and whether a workflow could run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from comfytrickle.errors import InvalidWorkflow
from comfytrickle.workflow.parse import InvalidShape
from control_plane.api.answers import json_answer
from control_plane.api.judging import all_errors
from control_plane.api.web_keys import Route, service_of
from control_plane.engines.inspector import Inspector
from control_plane.shapes import bodies, requests


async def nodes(request: web.Request) -> web.Response:
    """ComfyUI's /object_info shape; packs that failed to load are named in a header's count and
    listed by /nodes/failed."""
    catalogue = await _inspector(request, _engine(request)).catalogue()
    return json_answer(
        catalogue.nodes, headers={"X-Failed-Packs": str(len(catalogue.failed_packs))}
    )


async def failed_packs(request: web.Request) -> web.Response:
    catalogue = await _inspector(request, _engine(request)).catalogue()
    return json_answer({"failed": catalogue.failed_packs, "count": len(catalogue.failed_packs)})


async def validate(request: web.Request) -> web.Response:
    """A dry run. A workflow that cannot run is a successful answer: ``valid`` is false."""
    body = bodies.decode_object(await request.read())
    try:
        workflow = requests.read_workflow(body)
    except InvalidShape as error:
        return _refused(await all_errors(service_of(request), error, _engine(request, body)))
    graph = workflow.to_api()
    verdict = await _inspector(request, _engine(request, body)).check(graph)
    if not verdict.valid:
        first = verdict.errors[0].message if verdict.errors else "the engine refuses it"
        return _refused(InvalidWorkflow(first, verdict.errors, ""))
    answer: dict[str, Any] = {
        "valid": True,
        "node_errors": {},
        "converted": list(workflow.converted),
        "workflow": graph,
        "detail": verdict.detail,
    }
    return json_answer(answer)


def _refused(error: InvalidWorkflow) -> web.Response:
    return json_answer(
        {
            "valid": False,
            "error": error.message,
            "node_errors": error.node_errors(),
            "converted": [],
            "workflow": None,
        }
    )


def _engine(request: web.Request, body: Mapping[str, Any] = MappingProxyType({})) -> str | None:
    """That the body names, or ``?engine=``. None: the default one. Raises InvalidInput."""
    return requests.read_engine(body) or request.query.get("engine") or None


def _inspector(request: web.Request, engine: str | None) -> Inspector:
    """Raises InvalidInput: there is no such engine."""
    service = service_of(request)
    return service.inspectors.of(service.engines.get(engine, "engine").name)


ROUTES: list[Route] = [
    ("GET", "/nodes", nodes),
    ("GET", "/nodes/failed", failed_packs),
    ("POST", "/workflow/validate", validate),
]
