"""The page at /, its files below /web, and the examples that it offers."""

from __future__ import annotations

from aiohttp import web

from comfytrickle.errors import NotFound
from control_plane.api.answers import json_answer
from control_plane.api.web_keys import Handler, Route
from control_plane.page.example_files import Example, read_examples
from control_plane.page.page_files import INDEX, PageFile, read_page

FILES_AT = "/web/"

# All that the page needs comes from here: it works without a network, and what a stream's log or
# error says cannot load or run anything.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",  # asked for each time, sent only when it changed
}

EXAMPLES: web.AppKey[dict[str, Example]] = web.AppKey("examples", dict[str, Example])


def add_page(app: web.Application) -> None:
    """Read once and served from memory."""
    app[EXAMPLES] = read_examples()
    for file in read_page():
        path = "/" if file.path == INDEX else FILES_AT + file.path
        app.router.add_get(path, _serve(file))


def _serve(file: PageFile) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        headers = {**_HEADERS, "ETag": f'"{file.etag}"'}
        if request.if_none_match and any(tag.value == file.etag for tag in request.if_none_match):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=file.body, content_type=file.content_type, charset="utf-8", headers=headers
        )

    return handler


async def list_examples(request: web.Request) -> web.Response:
    examples = request.app[EXAMPLES].values()
    shown = [{"name": e.name, "shows": e.shows, "models": e.models} for e in examples]
    return json_answer({"examples": shown, "count": len(shown)})


async def example(request: web.Request) -> web.Response:
    """The workflow itself, as ``POST /workflow/validate`` and a start take it."""
    name = request.match_info["name"]
    examples = request.app[EXAMPLES]
    found = examples.get(name)
    if found is None:
        raise NotFound(f"no example {name!r}; there are {', '.join(examples)}")
    return json_answer(found.workflow)


ROUTES: list[Route] = [
    ("GET", "/examples", list_examples),
    ("GET", "/examples/{name}", example),
]
