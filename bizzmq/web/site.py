"""What all pages share: the client, the templates, the poller, the jobs, and how a page is answered."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Awaitable, Callable, Dict, Mapping, NamedTuple, Optional, TypeVar, cast
from weakref import WeakKeyDictionary

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import (
    BizzMQError,
    BrokerUnavailableError,
    ConfigurationError,
    QueueNotFoundError,
    ScheduleNotFoundError,
)
from bizzmq.utils.logs import log
from bizzmq.web.access.passwords import Passwords
from bizzmq.web.access.request_facts import root_of
from bizzmq.web.access.roles import Access, Authorize, Role, access_of
from bizzmq.web.access.sessions import new_session, session_of, set_session, token_of
from bizzmq.web.charts.kept import KeptCharts
from bizzmq.web.charts.totals import KeptTotals
from bizzmq.web.jobs import Jobs
from bizzmq.web.live.hub import Hub, TooManyFollowersError
from bizzmq.web.live.snapshot import Snapshots
from bizzmq.web.notices import take_notice
from bizzmq.web.rendering import Shown, environment

_logger = logging.getLogger("bizzmq.web")
T = TypeVar("T")
_LIMIT_S = 8.0
"""How long Redis may take for a page."""
NAVIGATION = (
    ("overview", "Queues", "/"),
    ("failures", "Failures", "/failures"),
    ("pools", "Pools", "/pools"),
    ("schedules", "Schedules", "/schedules"),
    ("cost", "Cost", "/cost"),
    ("jobs", "Jobs", "/jobs"),
    ("log", "Log", "/log"),
)
"""Pages: name, label, path."""


class View(NamedTuple):
    """What a page shows: a template of `templates/` and its values."""

    template: str
    title: str
    values: Mapping[str, Any]
    status: int = 200


class Look(NamedTuple):
    """A request for a page, without its browser: equal ones show the same.

    Attributes:
        path: the parts of the path by name.
        query: the fields of the query.
        role: what the reader may do.
        root: the path under which the dashboard is mounted.
        is_live: whether the poller asks, for an open page.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    role: Role
    root: str
    is_live: bool = False


Page = Callable[["Site", Look], Awaitable[View]]


class Site:
    """The dashboard of one process.

    Args:
        client: what reads and acts.
        authorize: says who may do what.
        passwords: of a dashboard that runs alone; None under an application's own authorization.

    Attributes:
        perform: awaits the reply of an operation (`bizzmq.broker.operations`).
    """

    def __init__(self, client: AsyncBizzMQ, authorize: Authorize, passwords: Optional[Passwords] = None) -> None:
        self.client, self.passwords = client, passwords
        self.perform = client._perform  # noqa: SLF001 - private to users, not to this package
        self.jobs = Jobs()
        self.charts = KeptCharts(client)
        self._authorize = authorize
        self._templates = environment(lambda: time.time() + self.snapshots.ahead_s)
        self._snapshots: WeakKeyDictionary[Any, Snapshots] = WeakKeyDictionary()
        self._hubs: WeakKeyDictionary[Any, Hub] = WeakKeyDictionary()
        self._kept: WeakKeyDictionary[Any, Dict[Any, Any]] = WeakKeyDictionary()

    @property
    def snapshots(self) -> Snapshots:
        """Those of the running event loop."""
        return self._snapshots.setdefault(asyncio.get_running_loop(), Snapshots(self.client))

    @property
    def hub(self) -> Hub:
        """That of the running event loop."""
        return self._hubs.setdefault(asyncio.get_running_loop(), Hub())

    @property
    def totals(self) -> KeptTotals:
        """Those of the running event loop."""
        return self.kept(KeptTotals)

    def kept(self, kind: Callable[[AsyncBizzMQ], T]) -> T:
        """The object of this class that the running event loop keeps, made when it is first used."""
        known = self._kept.setdefault(asyncio.get_running_loop(), {})
        if kind not in known:
            known[kind] = kind(self.client)
        return cast(T, known[kind])

    async def access(self, request: Request, least: Role) -> Access:
        """Who sends a request. Raises HTTPException unless they have at least this role."""
        access = await access_of(self._authorize, request)
        if access.role is Role.NONE:
            raise HTTPException(401 if self.passwords else 403)
        if least is Role.ACT and access.role is not Role.ACT:
            raise HTTPException(403, "You may look, but not act.")
        return access

    async def show(self, page: Page, look: Look) -> Shown:
        """Render a page's own part. What goes wrong is shown, too."""
        try:
            view = await asyncio.wait_for(page(self, look), _LIMIT_S)
            return Shown(self.render(view.template, look, **view.values), view.title, view.status)
        except asyncio.TimeoutError:
            return self._trouble(look, f"Redis has not answered within {_LIMIT_S:g} seconds.")
        except BrokerUnavailableError as error:
            return self._trouble(look, f"Redis cannot be reached: {error}")
        except (QueueNotFoundError, ScheduleNotFoundError) as error:
            return self._problem(look, "This is gone", f"{error}".rstrip(".") + ". It may have been deleted.", 404)
        except CommandRefusedError as error:
            return self._problem(
                look, "Redis refuses", f"The dashboard's user of Redis may not read this: {error}", 500
            )
        except ConfigurationError as error:
            return self._problem(look, "This cannot be asked", str(error), 400)
        except BizzMQError as error:
            return self._problem(look, "This cannot be shown", str(error), 500)
        except Exception as error:  # noqa: BLE001 - a page is never blank
            log(_logger, logging.ERROR, "a page of the dashboard failed", error=error)
            return self._problem(look, "This page failed", "The log of the dashboard says why.", 500)

    def _trouble(self, look: Look, sentence: str) -> Shown:
        html = self.render("trouble.html", look, sentence=sentence)
        return Shown(html, "Redis is away", 503, is_trouble=True, sentence=sentence)

    def _problem(self, look: Look, title: str, sentence: str, status: int) -> Shown:
        return Shown(self.render("problem.html", look, title=title, sentence=sentence), title, status)

    def render(self, template: str, look: Look, **values: Any) -> str:
        """The HTML of a template."""
        common = {"root": look.root, "can_act": look.role is Role.ACT, "look": look}
        return self._templates.get_template(template).render(**common, **values)

    async def page(self, request: Request, page: Page, name: str) -> Response:
        """Answer a request for a page."""
        access = await self.access(request, Role.LOOK)
        look = look_of(request, access)
        shown = await self.show(page, look)
        return self.whole(request, access, shown, name, is_followed=True)

    def whole(
        self, request: Request, access: Access, shown: Shown, name: str = "", *, is_followed: bool = False
    ) -> Response:
        """A page with everything around it."""
        session = session_of(request)
        fresh = "" if session else new_session()
        look = look_of(request, access)
        path = request.url.path[len(look.root) :] or "/"
        events = f"{look.root}/events{path}{'?' + request.url.query if request.url.query else ''}"
        html = self.render(
            "layout.html", look, title=shown.title, content=Markup(shown.html), page=name, who=access.who,  # noqa: S704 - rendered above, escaped
            navigation=NAVIGATION, token=token_of(session or fresh), notice=take_notice(request),
            events=events if is_followed else "", trouble=shown.sentence if shown.is_trouble else "",
            has_sign_out=self.passwords is not None,
        )  # fmt: skip
        response = HTMLResponse(html, shown.status)
        if fresh:
            set_session(request, response, fresh)
        if "bizzmq_notice" in request.cookies:
            response.delete_cookie("bizzmq_notice", path=look.root or "/")
        return response

    async def events(self, request: Request, page: Page, name: str) -> Response:
        """Answer a request for the events of a page."""
        access = await self.access(request, Role.LOOK)
        look = look_of(request, access)._replace(is_live=True)
        key = (name, *(tuple(sorted(part.items())) for part in (look.path, look.query)), look.role, look.root)
        events = self.hub.follow(key, lambda: self.show(page, look))
        try:
            first = await events.__anext__()
        except TooManyFollowersError:
            return Response("too many open pages", 503, {"retry-after": "10"})

        async def body() -> Any:
            yield first
            async for text in events:
                yield text

        return StreamingResponse(body(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    def close(self) -> None:
        """End the events of all pages."""
        for hub in self._hubs.values():
            hub.close()


def look_of(request: Request, access: Access) -> Look:
    """What a request asks for."""
    path: Dict[str, str] = {name: str(value) for name, value in request.path_params.items()}
    return Look(path, dict(request.query_params), access.role, root_of(request))


def redirect(root: str, path: str) -> Response:
    """Send the browser to a page after an act."""
    return RedirectResponse(f"{root}{path}", 303)
