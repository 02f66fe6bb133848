"""The ASGI application of the dashboard."""

from __future__ import annotations

import contextlib
from typing import Any, AsyncIterator, Awaitable, Callable, Optional, Sequence, Tuple, Union
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.app.app import App
from bizzmq.errors import ConfigurationError
from bizzmq.web.access.headers import SecurityHeaders
from bizzmq.web.access.passwords import Passwords
from bizzmq.web.access.request_facts import root_of
from bizzmq.web.access.roles import NOBODY, Authorize
from bizzmq.web.act_routes import act_routes
from bizzmq.web.acts import ActRefusedError
from bizzmq.web.bulk import bulk_routes
from bizzmq.web.metrics_route import metrics_routes
from bizzmq.web.option_routes import option_routes
from bizzmq.web.pages.cost import cost
from bizzmq.web.pages.failures import failures
from bizzmq.web.pages.log import job, jobs, log
from bizzmq.web.pages.message import find, message
from bizzmq.web.pages.overview import overview
from bizzmq.web.pages.pools import pool, pools
from bizzmq.web.pages.queue import queue
from bizzmq.web.pages.schedules import schedules
from bizzmq.web.pages.sign_in import sign_in_routes
from bizzmq.web.pool_routes import pool_routes
from bizzmq.web.rendering import FOLDER, Shown
from bizzmq.web.search_routes import search_routes
from bizzmq.web.site import Page, Site, look_of

PAGES: Sequence[Tuple[str, str, Page]] = (
    ("overview", "/", overview),
    ("queue", "/queues/{queue}", queue),
    ("message", "/queues/{queue}/messages/{id}", message),
    ("find", "/find", find),
    ("failures", "/failures", failures),
    ("pools", "/pools", pools),
    ("pools", "/pools/{pool}", pool),
    ("schedules", "/schedules", schedules),
    ("cost", "/cost", cost),
    ("jobs", "/jobs", jobs),
    ("jobs", "/jobs/{job}", job),
    ("log", "/log", log),
)
"""Pages: name, path, function. Each has its events under `/events` and the path."""


def dashboard(app_or_url: Union[App, AsyncBizzMQ, str], authorize: Authorize) -> Starlette:
    """The dashboard as an ASGI application, to mount in Starlette, FastAPI or Django.

    See docs/operations/dashboard.md.

    Args:
        app_or_url: an App, an AsyncBizzMQ, or a URL as for BizzMQ.
        authorize: a function, async or not, that gets a Starlette request and returns what its sender may do: a Role
            (`Role.NONE`, `Role.LOOK`, `Role.ACT`, or their values as text), or an Access, which has a name for the log
            of acts, too.

    Raises:
        ConfigurationError: an argument is invalid.
    """
    if not callable(authorize):
        raise ConfigurationError(f"authorize must be a function of a request, not {type(authorize).__name__}")
    return application(_client(app_or_url), authorize)


def _client(app_or_url: Any) -> AsyncBizzMQ:
    if isinstance(app_or_url, AsyncBizzMQ):
        return app_or_url
    if isinstance(app_or_url, App):
        return app_or_url.aclient
    if isinstance(app_or_url, str):
        return AsyncBizzMQ(app_or_url)
    raise ConfigurationError(f"app_or_url must be an App, an AsyncBizzMQ or a URL, not {type(app_or_url).__name__}")


def application(client: AsyncBizzMQ, authorize: Authorize, passwords: Optional[Passwords] = None) -> Starlette:
    """The dashboard, with a page to sign in if it has passwords of its own."""
    site = Site(client, authorize, passwords)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        site.close()
        await client.close()

    routes = [route for name, path, page in PAGES for route in _page_routes(site, name, path, page)]
    made = Starlette(
        routes=[
            *routes,
            *metrics_routes(site),
            *pool_routes(site),
            *option_routes(site),
            *search_routes(site),
            *act_routes(site),
            *bulk_routes(site),
            *(sign_in_routes(site) if passwords else ()),
            Mount("/static", StaticFiles(directory=str(FOLDER / "static")), name="static"),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={HTTPException: _refused(site), ActRefusedError: _refused(site)},
        lifespan=lifespan,
    )
    made.state.site = site
    return made


def _page_routes(site: Site, name: str, path: str, page: Page) -> list[Route]:
    async def answer(request: Request) -> Response:
        return await site.page(request, page, name)

    async def follow(request: Request) -> Response:
        return await site.events(request, page, name)

    return [Route(path, answer), Route(f"/events{path}", follow)]


def _refused(site: Site) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        status: int = getattr(error, "status_code", 0) or getattr(error, "status", 500)
        root = root_of(request)
        is_part = request.url.path.startswith(tuple(f"{root}{path}" for path in _PARTS))
        if status == 401 and request.method == "GET" and not is_part and site.passwords is not None:
            wanted = request.url.path[len(root) :] + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"{root}/sign-in?next={quote(wanted, safe='')}", 303)
        sentence = _SENTENCES.get(status) or getattr(error, "detail", "") or str(error)
        if is_part:
            return PlainTextResponse(sentence, status)
        look = look_of(request, NOBODY)
        title = "No such page" if status == 404 else "Not done"
        html = site.render("problem.html", look, title=title, sentence=sentence)
        return site.whole(request, NOBODY, Shown(html, title, status))

    return answer


_PARTS = ("/events/", "/static/", "/metrics")
"""The paths of what is no page: its errors are plain text."""
_SENTENCES = {
    401: "Sign in first: your session has ended.",
    404: "The dashboard has no such page.",
    405: "This page cannot be used that way.",
}
