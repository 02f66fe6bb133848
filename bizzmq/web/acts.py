"""Acts: each is permitted, recorded, done at most once, recorded again, and its outcome told on the next page."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Awaitable, Callable, Dict, List, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.control.acts import record_act
from bizzmq.errors import BizzMQError, BrokerFullError, BrokerUnavailableError
from bizzmq.protocol.keys import owner_of
from bizzmq.utils.logs import log
from bizzmq.web.access.forms import FormError, first, read_form
from bizzmq.web.access.request_facts import root_of
from bizzmq.web.access.roles import Access, Role
from bizzmq.web.access.sessions import ELSEWHERE, is_from_elsewhere, refusal
from bizzmq.web.notices import Notice, give_notice
from bizzmq.web.site import Site, redirect

_logger = logging.getLogger("bizzmq.web")
_LIMIT_S = 10.0
Fields = Dict[str, List[str]]


class ActRefusedError(Exception):
    """An act that is not done: the reason is a sentence, and the HTTP status."""

    def __init__(self, sentence: str, status: int = 403) -> None:
        super().__init__(sentence)
        self.status = status


class Deed(NamedTuple):
    """What somebody wants to do.

    Attributes:
        what: the name of the act, for the log.
        queue, message: what it is done to; "" where there is none.
    """

    what: str
    queue: str = ""
    message: str = ""


async def permitted(site: Site, request: Request, least: Role = Role.ACT) -> tuple[Access, Fields]:
    """Who acts, and the fields of the form. Raises HTTPException, ActRefusedError.

    What those may do who only look changes nothing: it needs no token, but must come from a page of this site.
    """
    access = await site.access(request, least)
    try:
        fields = await read_form(request)
    except FormError as error:
        raise ActRefusedError(str(error), error.status) from None
    if least is Role.LOOK:
        reason = ELSEWHERE if is_from_elsewhere(request) else ""
    else:
        reason = refusal(request, first(fields, "token"))
    if reason:
        raise ActRefusedError(f"Nothing was done: {reason}.")
    return access, fields


async def perform(
    site: Site,
    access: Access,
    deed: Deed,
    before: Callable[[], Awaitable[str]],
    do: Callable[[], Awaitable[Notice]],
) -> Notice:
    """Do something, between two entries of the log. What goes wrong is a notice, too.

    Args:
        before: what is known before, for the log.
        do: does it, and returns what came of it.
    """
    act = secrets.token_hex(8)
    try:
        known = await asyncio.wait_for(before(), _LIMIT_S)
        about = {"queue": deed.queue, "message": deed.message, "what": deed.what, "before": known}
        await record(site, act, {"who": access.who, "role": access.role.value, **about})
    except (BizzMQError, asyncio.TimeoutError) as error:
        return Notice("failed", f"Nothing was done: {_said(error)}")
    try:
        notice = await asyncio.wait_for(do(), _LIMIT_S)
    except (BrokerUnavailableError, asyncio.TimeoutError) as error:
        sentence = f"Redis did not answer, so it is not known whether this was done: {_said(error)}"
        notice = Notice("failed", sentence)
    except BizzMQError as error:
        notice = Notice("failed", f"This was not done: {_said(error)}")
    log(
        _logger, logging.INFO, "somebody acted on the dashboard", who=access.who, **deed._asdict(), outcome=notice.level
    )
    await record_end(site, act, notice.sentence)
    return notice


async def act_on_message(
    site: Site, access: Access, act: str, queue: str, message_id: str, *, is_dead_letter: bool
) -> bool:  # fmt: skip
    """Cancel, replay, retry or delete one message; whether it was still there. Raises BizzMQError.

    Args:
        act: `cancel`, `replay`, `retry` or `delete`.
        queue: the message's queue, or the dead-letter queue of that.
        is_dead_letter: whether only a dead letter is meant: one that was replayed meanwhile stays.
    """
    if act == "cancel":
        return await site.client.cancel(message_id, queue, by=access.who)
    if act == "replay":
        return await site.client.replay(queue, message_id) > 0
    if act == "retry":
        return await site.client.retry(message_id, queue)
    return await site.client.delete(f"{owner_of(queue)}_dlq" if is_dead_letter else queue, message_id)


async def record(site: Site, act: str, fields: Dict[str, str]) -> None:
    """Add an entry to the log of acts. A full Redis does not prevent an act, which may free memory.

    Raises:
        BizzMQError
    """
    try:
        await site.perform(record_act, act, fields)
    except BrokerFullError as error:
        log(_logger, logging.WARNING, "an act could not be recorded", error=str(error), **fields)


async def record_end(site: Site, act: str, outcome: str) -> None:
    """Record what came of an act, if that is possible."""
    try:
        await asyncio.wait_for(record(site, act, {"after": outcome}), _LIMIT_S)
    except (BizzMQError, asyncio.TimeoutError) as error:
        log(_logger, logging.WARNING, "the end of an act could not be recorded", act=act, error=_said(error))


def _said(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return f"Redis has not answered within {_LIMIT_S:g} seconds."
    if isinstance(error, CommandRefusedError):
        return f"the dashboard's user of Redis has no permission: {error}"
    return str(error)


def answer(request: Request, path: str, notice: Notice) -> Response:
    """Send the browser to a page, which shows the notice."""
    return give_notice(request, redirect(root_of(request), path), notice)
