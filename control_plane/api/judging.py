"""A workflow of the wrong shape is shown to the engine too: all that is wrong is told at once."""

from __future__ import annotations

from comfytrickle.errors import InvalidWorkflow, Unavailable
from comfytrickle.workflow.parse import InvalidShape, summary
from control_plane.service import Service


async def all_errors(
    service: Service, error: InvalidShape, engine: str | None = None
) -> InvalidWorkflow:
    """``error`` with what the engine finds besides; as it is where an engine cannot read the
    workflow, or does not answer. ``engine``: by name; None: the default. Raises InvalidInput."""
    inspector = service.inspectors.of(service.engines.get(engine).name)
    if error.workflow is None or not inspector.ready:
        return error
    try:
        verdict = await inspector.check(error.workflow.to_api())
    except Unavailable:
        return error  # no later answer makes it a workflow that could run
    if not verdict.errors:  # an engine that is asked has to find the shape wrong as well
        return error
    return InvalidWorkflow(summary(verdict.errors), verdict.errors, error.field)
