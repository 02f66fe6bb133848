"""Acts on many messages of a queue: those that are selected on a page, or all that match. Each is a job."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, List, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bizzmq.admin.stored_message import DEAD_LETTERED, DELAYED, PROCESSING, SUSPENDED, WAITING
from bizzmq.broker.operations import read_time_ms
from bizzmq.broker.replies import as_text
from bizzmq.dead_letters.filters import checked_filter
from bizzmq.dead_letters.replay import Replay, replay_if_free
from bizzmq.errors import BizzMQError, MessageInUseError, UniqueKeyInUseError
from bizzmq.protocol.keys import QueueKeys, logical_queue, owner_of
from bizzmq.utils.wording import counted
from bizzmq.web.access.roles import Access
from bizzmq.web.acts import act_on_message, answer, permitted, record, record_end
from bizzmq.web.jobs import Job, Step, Steps, TooManyJobsError, patient
from bizzmq.web.message_rows import FILTERS, matcher
from bizzmq.web.notices import Notice
from bizzmq.web.site import Site

_STATES = {
    "cancel": (WAITING, DELAYED, SUSPENDED, PROCESSING),
    "delete": (WAITING, DELAYED, SUSPENDED, DEAD_LETTERED),
    "replay": (DEAD_LETTERED,),
}
_VERBS = {"cancel": "Cancel", "delete": "Delete", "replay": "Replay"}
_PAGE = 100
_MOST_SELECTED, _MOST_FOUND = 1000, 100_000
Act = Callable[[str], Awaitable[bool]]


def bulk_routes(site: Site) -> list[Route]:
    """The route of all of them."""

    async def answer_bulk(request: Request) -> Response:
        return await _bulk(site, request)

    return [Route("/queues/{queue}/bulk/{act}", answer_bulk, methods=["POST"])]


async def _bulk(site: Site, request: Request) -> Response:
    access, fields = await permitted(site, request)
    queue, act = logical_queue(owner_of(request.path_params["queue"])), request.path_params["act"]
    asked = request.query_params
    state, home = asked.get("state", WAITING), f"/queues/{queue}?state={asked.get('state', WAITING)}"
    if state not in _STATES.get(act, ()):
        return answer(
            request, f"/queues/{queue}", Notice("failed", "Nothing was done: messages in this state cannot do that.")
        )
    is_all = asked.get("scope") == "all"
    selected = [] if is_all else fields.get("id", [])[:_MOST_SELECTED]
    if not is_all and not selected:
        return answer(request, home, Notice("failed", "Nothing was done: no message is selected."))
    filters = {name: asked[name] for name in FILTERS if asked.get(name)}
    try:
        job = await _started(site, access, act, queue, state, selected, filters)
    except TooManyJobsError:
        return answer(
            request, "/jobs", Notice("failed", "Nothing was done: too many jobs are running. Wait, or stop one.")
        )
    except BizzMQError as error:
        return answer(request, home, Notice("failed", f"Nothing was done: {error}"))
    return answer(request, f"/jobs/{job.id}", Notice("done", "The job has started."))


async def _started(
    site: Site, access: Access, act: str, queue: str, state: str, selected: Sequence[str], filters: Dict[str, str]
) -> Job:
    stats = await site.client.stats(queue)
    total = len(selected) or (0 if filters else getattr(stats, state))
    which = f"{counted(len(selected), 'selected message')}" if selected else f"all {state.replace('_', ' ')} messages"
    matching = "".join(f", {name} {value}" for name, value in filters.items())
    job = Job(f"{_VERBS[act]} {which} of {queue}{matching}", access.who, queue, total)
    act_id = secrets.token_hex(8)
    known = {"who": access.who, "role": access.role.value, "what": job.sentence, "queue": queue}
    await record(site, act_id, {**known, "before": f"{getattr(stats, state)} in this state"})
    one = _one(site, access, act, queue, state)
    if selected:
        steps: Steps = partial(_selected, job, selected, one)
    elif state == DEAD_LETTERED and "body" in filters:
        steps = partial(_found, site, job, queue, filters, one)
    elif state == DEAD_LETTERED:
        steps = partial(_dead_letters, site, job, queue, filters, None if act == "replay" else one)
    else:
        steps = partial(_listed, site, job, queue, state, filters, one)
    site.jobs.start(job, steps, lambda ended: record_end(site, act_id, ended.outcome))
    return job


def _one(site: Site, access: Access, act: str, queue: str, state: str) -> Act:
    """Does the act to one message; False if it has moved on."""

    async def do(message_id: str) -> bool:
        try:
            return await act_on_message(site, access, act, queue, message_id, is_dead_letter=state == DEAD_LETTERED)
        except (MessageInUseError, UniqueKeyInUseError):
            return False

    return do


async def _selected(job: Job, selected: Sequence[str], one: Act) -> AsyncIterator[Step]:
    for message_id in selected:
        yield Step(1, int(await patient(job, partial(one, message_id))))


async def _dead_letters(site: Site, job: Job, queue: str, filters: Dict[str, str], one: Any) -> AsyncIterator[Step]:
    """Those that exist at the beginning: a letter that comes back meanwhile stays."""
    error = filters.get("error")
    wanted = checked_filter(
        task=filters.get("task"), key=filters.get("key"), text=error, fingerprint=filters.get("fingerprint")
    )
    replay = Replay(QueueKeys(queue), wanted, _PAGE)
    while await patient(job, partial(site.perform, replay.read_page)):
        for letter in replay.letters:
            if one is None:
                done = await patient(job, partial(site.perform, replay_if_free, letter, replay.nonce))
            else:
                done = await patient(job, partial(one, as_text(letter.id)))
            yield Step(1, int(bool(done)))
        yield Step(0, 0)


async def _found(site: Site, job: Job, queue: str, filters: Dict[str, str], one: Act) -> AsyncIterator[Step]:
    """Dead letters with a text in their body: all are found before the first one is touched, so none comes twice."""
    matches = matcher(filters)
    found: List[str] = []
    after: Any = None
    while True:
        page = await patient(job, partial(site.client.messages, queue, DEAD_LETTERED, limit=_PAGE, after=after))
        for letter in page.messages:
            if matches(letter):
                found.append(letter.id)
            yield Step(1, 0)
        after = page.next
        if after is None or len(found) >= _MOST_FOUND:
            break
    for message_id in found:
        yield Step(0, int(await patient(job, partial(one, message_id))))


async def _listed(
    site: Site, job: Job, queue: str, state: str, filters: Dict[str, str], one: Act
) -> AsyncIterator[Step]:
    """Those that were published before the job began."""
    began_ms = await patient(job, partial(site.perform, read_time_ms))
    matches = matcher(filters)
    after: Any = None
    while True:
        page = await patient(job, partial(site.client.messages, queue, state, limit=_PAGE, after=after))
        old = [found for found in page.messages if (found.published_at_s or 0.0) * 1000 <= began_ms]
        for found in old:
            done = matches(found) and await patient(job, partial(one, found.id))
            yield Step(1, int(bool(done)))
        after = page.next
        if after is None or (page.messages and not old):
            return
        yield Step(0, 0)
