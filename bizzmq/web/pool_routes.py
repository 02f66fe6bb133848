"""The routes of what pools are asked: to reload, to be quiet, to resume, one worker more or fewer, and for stacks."""

from __future__ import annotations

from typing import Dict
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bizzmq.protocol.keys import logical_queue, owner_of
from bizzmq.web.acts import Deed, answer, perform, permitted
from bizzmq.web.notices import Notice
from bizzmq.web.site import Site, View, look_of

ASKS = ("reload", "quiet", "resume", "more", "fewer")


def pool_routes(site: Site) -> list[Route]:
    """The routes."""

    async def ask(request: Request) -> Response:
        return await _ask(site, request)

    async def stack(request: Request) -> Response:
        return await _stack(site, request)

    return [
        Route("/pools/{pool}/{act}", ask, methods=["POST"]),
        Route("/queues/{queue}/messages/{id}/stack", stack, methods=["POST"]),
    ]


async def _ask(site: Site, request: Request) -> Response:
    access, _ = await permitted(site, request)
    pool_id, act = request.path_params["pool"], request.path_params["act"]
    queue = request.query_params.get("queue") or None

    async def before() -> str:
        known = [pool for pool in await site.client.pools(queue) if pool.id == pool_id]
        return "; ".join(f"{pool.state}, {pool.busy} of {pool.workers} workers busy" for pool in known) or "not known"

    async def do() -> Notice:
        if act not in ASKS:
            return Notice("failed", "There is no such act.")
        said = await site.client.ask_pool(pool_id, act, queue_name=queue, by=access.who)
        return Notice("done", f"The pool {pool_id} has answered: {said}")

    notice = await perform(site, access, Deed(f"{act} pool {pool_id}", queue or ""), before, do)
    return answer(request, "/pools", notice)


async def _stack(site: Site, request: Request) -> Response:
    """Show the stack of a worker: it changes nothing, but interrupts a worker for a moment, so it is an act."""
    access, _ = await permitted(site, request)
    queue, message_id = request.path_params["queue"], request.path_params["id"]
    found: Dict[str, str] = {}

    async def before() -> str:
        return (await site.client.explain(message_id, queue)).sentence

    async def do() -> Notice:
        found["stack"] = await site.client.stack(message_id, queue_name=queue, by=access.who)
        return Notice("done", "Its stack was shown.")

    name = logical_queue(owner_of(queue))
    notice = await perform(site, access, Deed("stack", name, message_id), before, do)
    if "stack" not in found:
        return answer(request, f"/queues/{quote(queue, safe='')}/messages/{quote(message_id, safe='')}", notice)
    values = {"queue": name, "id": message_id, "stack": found["stack"]}
    shown = await site.show(lambda _site, _look: _view(values), look_of(request, access))
    return site.whole(request, access, shown, "overview")


async def _view(values: Dict[str, str]) -> View:
    return View("stack.html", f"Stack of {values['id']}", values)
