"""The HTTP application: every route of the tree, its middlewares and limits."""

from __future__ import annotations

from aiohttp import web

from control_plane.api import (
    routes_drain,
    routes_events,
    routes_frames,
    routes_hardware,
    routes_livepeer,
    routes_metrics,
    routes_openapi,
    routes_page,
    routes_params,
    routes_quarantine,
    routes_service,
    routes_streams,
    routes_texts,
    routes_workflow,
)
from control_plane.api.answers import errors_as_json
from control_plane.api.callers import refuse_other_sites, require_token
from control_plane.api.web_keys import SERVICE, Route
from control_plane.service import Service

MAX_BODY = 8 * 1024 * 1024
ROOTS = ("", "/api")  # the same tree twice: some callers have a prefix built in


def all_routes() -> list[Route]:
    return [
        *routes_streams.ROUTES,
        *routes_livepeer.ROUTES,
        *routes_params.ROUTES,
        *routes_frames.ROUTES,
        *routes_texts.ROUTES,
        *routes_workflow.ROUTES,
        *routes_quarantine.ROUTES,
        *routes_service.ROUTES,
        *routes_hardware.ROUTES,
        *routes_drain.ROUTES,
        *routes_metrics.ROUTES,
        *routes_events.ROUTES,
        *routes_page.ROUTES,
        *routes_openapi.ROUTES,
    ]


def build_app(service: Service) -> web.Application:
    middlewares = [routes_livepeer.errors_as_detail, errors_as_json, refuse_other_sites]
    if service.settings.auth_token is not None:
        middlewares.append(require_token(service.settings.auth_token))
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    app[SERVICE] = service
    app[routes_events.FEED] = routes_events.make_feed(service)
    routes_page.add_page(app)
    routes = all_routes()
    app[routes_openapi.CALLS] = tuple((method, path) for method, path, _ in routes)
    for method, path, handler in routes:
        for root in ROOTS:
            for ending in ("", "/"):
                app.router.add_route(method, root + path + ending, handler)
    return app
