"""The routes of acts on one message, on schedules, and on jobs."""

from __future__ import annotations

import json
from typing import Any, Dict, Optional
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bizzmq.admin.explain.explanation import Explanation
from bizzmq.admin.stored_message import DEAD_LETTERED
from bizzmq.broker.replies import as_bytes
from bizzmq.dead_letters.edit import body_of, editable_options, read_stored_letter
from bizzmq.errors import BizzMQError
from bizzmq.protocol import nesting
from bizzmq.protocol.envelope import decode_body
from bizzmq.protocol.keys import QueueKeys, logical_queue, owner_of
from bizzmq.web.access.forms import first
from bizzmq.web.access.roles import Role
from bizzmq.web.acts import Deed, act_on_message, answer, perform, permitted
from bizzmq.web.notices import Notice
from bizzmq.web.rendering import Shown, line
from bizzmq.web.searches import Search
from bizzmq.web.site import Look, Site, View, look_of

_DONE = {"cancel": "Cancelled", "replay": "Replayed", "delete": "Deleted", "retry": "It waits now"}


def act_routes(site: Site) -> list[Route]:
    """The routes."""

    async def on_message(request: Request) -> Response:
        return await _on_message(site, request)

    async def edit(request: Request) -> Response:
        if request.method == "GET":
            access = await site.access(request, Role.ACT)
            shown = await site.show(_edit_form, look_of(request, access))
            return site.whole(request, access, shown, "overview")
        return await _replay_edited(site, request)

    async def on_schedule(request: Request) -> Response:
        return await _on_schedule(site, request)

    async def on_queue(request: Request) -> Response:
        return await _on_queue(site, request)

    async def stop_job(request: Request) -> Response:
        job = site.jobs.get(request.path_params["job"])
        await permitted(site, request, Role.LOOK if isinstance(job, Search) else Role.ACT)
        if job is not None:
            job.stop()
        return answer(request, f"/jobs/{request.path_params['job']}", Notice("done", "The job stops after this step."))

    return [
        Route("/queues/{queue}/messages/{id}/edit", edit, methods=["GET", "POST"]),
        Route("/queues/{queue}/messages/{id}/{act}", on_message, methods=["POST"]),
        Route("/queues/{queue}/{act:str}", on_queue, methods=["POST"]),
        Route("/schedules/{queue}/{act}", on_schedule, methods=["POST"]),
        Route("/jobs/{job}/stop", stop_job, methods=["POST"]),
    ]


def _path(queue: str, message_id: str) -> str:
    return f"/queues/{quote(queue, safe='')}/messages/{quote(message_id, safe='')}"


async def _on_message(site: Site, request: Request) -> Response:
    access, _ = await permitted(site, request)
    queue, message_id, act = (request.path_params[name] for name in ("queue", "id", "act"))
    expected = request.query_params.get("state", "")
    if act not in _DONE:
        return answer(request, _path(queue, message_id), Notice("failed", "There is no such act."))
    known: Dict[str, Explanation] = {}

    async def before() -> str:
        known["before"] = await site.client.explain(message_id, queue)
        return known["before"].sentence

    async def do() -> Notice:
        state = known["before"].state
        if expected and state != expected:
            was, now = expected.replace("_", " "), known["before"].sentence
            return Notice("failed", f"Nothing was done: the message was {was} when you looked. Now: {now}")
        is_done = await act_on_message(site, access, act, queue, message_id, is_dead_letter=expected == DEAD_LETTERED)
        now = (await site.client.explain(message_id, queue)).sentence
        if is_done:
            return Notice("done", f"{_DONE[act]}. Now: {now}")
        return Notice("failed", f"Nothing was done: somebody else was faster, or the message has moved on. Now: {now}")

    notice = await perform(site, access, Deed(act, logical_queue(owner_of(queue)), message_id), before, do)
    return answer(request, _path(queue, message_id), notice)


async def _edit_form(site: Site, look: Look) -> View:
    queue, message_id = look.path["queue"], look.path["id"]
    letter = await site.perform(read_stored_letter, QueueKeys(queue), as_bytes(message_id))
    if letter is None:
        values = {"title": "No such dead letter", "sentence": f"{message_id} is no dead letter any more."}
        return View("problem.html", "No such dead letter", values, 404)
    body = body_of(letter, site.client._edit_settings()[0])  # noqa: SLF001 - private to users, not to this package
    return _edit_view(
        queue, message_id, _pretty(body), json.dumps(editable_options(letter), indent=2, ensure_ascii=False)
    )


def _pretty(body: bytes) -> str:
    try:
        return json.dumps(decode_body(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode("utf-8", "replace")


def _edit_view(queue: str, message_id: str, body: str, options: str, problem: str = "") -> View:
    values = {
        "queue": logical_queue(owner_of(queue)),
        "id": message_id,
        "body": body,
        "options": options,
        "problem": problem,
    }
    return View("edit.html", f"Replay {message_id}", values, 422 if problem else 200)


async def _replay_edited(site: Site, request: Request) -> Response:
    access, fields = await permitted(site, request)
    queue, message_id = request.path_params["queue"], request.path_params["id"]
    body_text, options_text = first(fields, "body"), first(fields, "options").strip() or "{}"

    def again(problem: str) -> Response:
        look = look_of(request, access)
        view = _edit_view(queue, message_id, body_text, options_text, problem)
        return site.whole(
            request, access, Shown(site.render(view.template, look, **view.values), view.title, view.status)
        )

    try:
        body, options = _parsed("body", body_text), _parsed("options", options_text)
    except ValueError as error:
        return again(str(error))
    failed: Dict[str, Optional[BizzMQError]] = {"error": None}

    async def before() -> str:
        return (await site.client.explain(message_id, queue)).sentence

    async def do() -> Notice:
        try:
            is_done = await site.client.replay(queue, message_id, body=body, options=options or None)
        except BizzMQError as error:
            failed["error"] = error
            raise
        now = (await site.client.explain(message_id, queue)).sentence
        if is_done:
            return Notice("done", f"Replayed as edited. Now: {now}")
        return Notice("failed", f"Nothing was done: it is no dead letter any more. Now: {now}")

    deed = Deed("replay edited", logical_queue(owner_of(queue)), message_id)
    notice = await perform(site, access, deed, before, do)
    if failed["error"] is not None:
        return again(notice.sentence)  # what was typed is kept
    return answer(request, _path(queue, message_id), notice)


def _parsed(name: str, text: str) -> Any:
    """The JSON value of a text. Raises ValueError with one clear line."""
    if nesting.is_deep(text.encode("utf-8", "surrogatepass")):
        raise ValueError(f"The {name} is {nesting.TOO_DEEP}. Nothing was done.")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"The {name} is not JSON: {line(error.msg)} at {where}. Nothing was done.") from None
    except ValueError as error:
        raise ValueError(f"The {name} is not JSON: {line(str(error))}. Nothing was done.") from None


async def _on_queue(site: Site, request: Request) -> Response:
    """Pause or resume a queue, or one of its tasks or keys."""
    access, _ = await permitted(site, request)
    queue, act = request.path_params["queue"], request.path_params["act"]
    which = {name: request.query_params.get(name, "") for name in ("task", "key")}

    async def before() -> str:
        return "; ".join(one.line() for one in await site.client.pauses(queue)) or "not paused"

    async def do() -> Notice:
        if act == "pause":
            await site.client.pause(queue, task=which["task"], key=which["key"], by=access.who)
            return Notice("done", f"Paused, until somebody resumes it. Now: {await before()}")
        if act != "resume":
            return Notice("failed", "There is no such act.")
        if await site.client.resume(queue, task=which["task"], key=which["key"]):
            return Notice("done", f"Resumed. Now: {await before()}")
        return Notice("failed", "Nothing was done: it was not paused.")

    notice = await perform(site, access, Deed(act, queue), before, do)
    return answer(request, f"/queues/{quote(queue, safe='')}", notice)


async def _on_schedule(site: Site, request: Request) -> Response:
    access, _ = await permitted(site, request)
    queue, act, name = request.path_params["queue"], request.path_params["act"], request.query_params.get("name", "")
    client = site.client

    async def before() -> str:
        info = await client.show_schedule(name, queue)
        return f"{info.state}, fired {info.fired} times"

    async def do() -> Notice:
        if act == "run":
            message_id = await client.run_schedule(name, queue)
            return Notice("done", f"Published the message of {name} as {message_id}.")
        if act == "pause":
            await client.pause_schedule(name, queue, by=access.who, why="on the dashboard")
            return Notice("done", f"{name} is paused until somebody resumes it.")
        if act == "resume":
            await client.resume_schedule(name, queue)
            return Notice("done", f"{name} fires again at its next time.")
        return Notice("failed", "There is no such act.")

    notice = await perform(site, access, Deed(f"{act} schedule {name}", queue), before, do)
    return answer(request, "/schedules", notice)
