"""The route of searches in bodies. Those who may only look may search, too."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bizzmq.admin.stored_message import STATES
from bizzmq.errors import BizzMQError
from bizzmq.protocol.keys import logical_queue, owner_of
from bizzmq.web.access.forms import first
from bizzmq.web.access.request_facts import root_of
from bizzmq.web.access.roles import Role
from bizzmq.web.acts import answer, permitted
from bizzmq.web.jobs import Job, TooManyJobsError
from bizzmq.web.message_rows import FILTERS
from bizzmq.web.notices import Notice
from bizzmq.web.searches import Search, steps
from bizzmq.web.site import Site, redirect


def search_routes(site: Site) -> list[Route]:
    """The route."""

    async def search(request: Request) -> Response:
        return await _search(site, request)

    return [Route("/queues/{queue}/search", search, methods=["POST"])]


async def _search(site: Site, request: Request) -> Response:
    access, fields = await permitted(site, request, Role.LOOK)
    queue = logical_queue(owner_of(request.path_params["queue"]))
    home, state = f"/queues/{quote(queue, safe='')}", first(fields, "state")
    given = {name: first(fields, name).strip() for name in FILTERS}
    filters = {name: value for name, value in given.items() if value}
    if state not in STATES or "body" not in filters:
        return answer(request, home, Notice("failed", "Nothing was searched: say which text the bodies must have."))
    try:
        total = getattr(await site.client.stats(queue), state)
        job = Search(queue, state, filters, access.who, total)
        site.jobs.start(job, partial(steps, site.client, job), _ended)
    except TooManyJobsError:
        return answer(request, "/jobs", Notice("failed", "Too many jobs are running. Wait, or stop one."))
    except BizzMQError as error:
        return answer(request, home, Notice("failed", f"Nothing was searched: {error}"))
    return redirect(root_of(request), f"/jobs/{job.id}")


async def _ended(_job: Job) -> None:
    """The log has acts only: a search changes nothing."""
