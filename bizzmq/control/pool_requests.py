"""Asks pools on any host through Redis: to show stacks, to reload, to pause, to change their number of workers."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

from bizzmq.admin.activity.pools import SILENT, PoolInfo, read_serving
from bizzmq.admin.find import find_message
from bizzmq.admin.stats import read_all_pools
from bizzmq.admin.stored_message import PROCESSING
from bizzmq.broker.operations import Operation, Script, command
from bizzmq.broker.replies import as_bytes
from bizzmq.broker.requests import ask_call, ask_result
from bizzmq.control.cancel import checked_by
from bizzmq.errors import ConfigurationError, NotRunningError, PoolNotFoundError, PoolRefusesError, PoolSilentError
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.pool_report import CONSUMER
from bizzmq.protocol.pool_request import ACTS, MOST_PROFILE_S, PROFILE, STACK, PoolRequest, read_answer, request_id
from bizzmq.utils import clock
from bizzmq.validation import checks

TIMEOUT_S = 5.0
"""A pool that works answers within two seconds."""
POLL_S = 0.1
MOST_POOLS = 64
"""No more pools are asked for the profile of a task."""
Perform = Callable[..., Any]
"""Performs an operation, given the function that begins it and its arguments."""


class Ask(NamedTuple):
    """Something that is to be asked of a pool. Its id makes a repetition harmless."""

    pool: str
    request: PoolRequest
    id: str


class Asked(NamedTuple):
    """A request that was sent."""

    pool: str
    k: QueueKeys
    id: str


def checked_act(what: Any, by: Any) -> PoolRequest:
    """What a pool is to do, and who asks. Raises ConfigurationError."""
    if what not in ACTS:
        checks.refuse("what", f"one of {', '.join(ACTS)}", what)
    return PoolRequest(what, checked_by(by))


def is_worker_id(text: str) -> bool:
    """Whether this is the id of a worker, and not of a message."""
    return "/" in text


def pool_of(worker: str) -> str:
    """The id of a worker's supervisor."""
    return worker.rpartition("/")[0]


def new_ask(pool: str, request: PoolRequest) -> Ask:
    """A request with an id of its own."""
    return Ask(pool, request, request_id())


def send(k: QueueKeys | None, ask: Ask) -> Operation[Asked]:
    """Ask a pool that serves this queue, or any queue if `k` is None.

    Raises:
        PoolNotFoundError: there is no such pool.
        PoolSilentError: it takes no requests.
        PoolRefusesError: too many requests wait for pools of its queue.
    """
    pools = yield from read_all_pools(k)
    found = next((pool for pool in pools if pool.id == ask.pool), None)
    if found is None:
        raise PoolNotFoundError(ask.pool)
    return (yield from _send_to(found, ask))


def send_stack(k: QueueKeys | None, worker_or_message_id: str, by: str, ask_id: str) -> Operation[Asked]:
    """Ask for the stack of a worker, or of the worker that runs a message. Raises as `send`, and NotRunningError."""
    if is_worker_id(worker_or_message_id):
        worker = worker_or_message_id
        return (yield from send(k, Ask(pool_of(worker), PoolRequest(STACK, by, worker), ask_id)))
    found, worker = yield from _pool_that_runs(k, worker_or_message_id)
    return (yield from _send_to(found, Ask(found.id, PoolRequest(STACK, by, worker), ask_id)))


class ProfileAsk(NamedTuple):
    """Which messages a profile is made of, for how long, and who asks. `k` is the only queue that is looked at."""

    k: QueueKeys | None
    message: str
    task: str
    for_s: float
    by: str


def checked_profile(k: QueueKeys | None, message: Any, task: Any, for_s: Any, by: Any) -> ProfileAsk:
    """What is to be sampled. Raises ConfigurationError."""
    seconds = checks.seconds("for_s", for_s, most=MOST_PROFILE_S, above=True)
    message, task = checks.text("message_id", message), checks.text("task", task)
    if bool(message) == bool(task):
        raise ConfigurationError("a profile is of a message or of a task: name one of both")
    return ProfileAsk(k, message, task, seconds, checked_by(by))


def send_profile(what: ProfileAsk, ask_ids: Sequence[str]) -> Operation[list[Asked]]:
    """Ask for a profile: the pool that runs the message, or all pools that take requests.

    Args:
        ask_ids: ids of requests; no more pools are asked than there are ids.

    Raises:
        NotRunningError, PoolNotFoundError, PoolSilentError: as `send_stack`; for a task, no pool takes requests.
    """
    request = PoolRequest(PROFILE, what.by, "", what.message, what.task, f"{what.for_s:g}")
    if what.message:
        found, _ = yield from _pool_that_runs(what.k, what.message)
        return [(yield from _send_to(found, Ask(found.id, request, ask_ids[0])))]
    pools = yield from read_all_pools(what.k)
    asked: list[Asked] = []
    for pool, ask_id in zip((one for one in pools if one.asked_on and one.state != SILENT), ask_ids):
        asked.append((yield from _send_to(pool, Ask(pool.id, request, ask_id))))
    if not asked:
        raise PoolSilentError("there is no pool that takes requests")
    return asked


def _pool_that_runs(k: QueueKeys | None, message_id: str) -> Operation[tuple[PoolInfo, str]]:
    """The pool that runs a message, and its worker."""
    message = yield from find_message(k, as_bytes(message_id))
    if message is None or message.state != PROCESSING or not message.worker:
        raise NotRunningError(message_id, message.state if message is not None else "")
    serving = yield from read_serving(QueueKeys(message.queue))
    found = serving.pools.get(pool_of(message.worker))
    if found is None:
        raise PoolNotFoundError(pool_of(message.worker))
    return found, message.worker


def _send_to(pool: PoolInfo, ask: Ask) -> Operation[Asked]:
    if pool.kind == CONSUMER:
        raise PoolSilentError(f"{pool.id} is a consumer in a program: only pools take requests")
    if pool.kind and not pool.asked_on:
        raise PoolSilentError(f"pool {pool.id} takes no requests: it runs bizzmq {pool.version}, which is older")
    k = QueueKeys(pool.asked_on or pool.queues[0])
    reply = yield Script("ask", ask_call(k, ask.id, pool.id, ask.request.encode()))
    kept = ask_result(reply)
    if kept == 0:
        raise PoolNotFoundError(pool.id)
    if kept < 0:
        raise PoolRefusesError(f"too many requests wait for the pools of queue {k.queue}: ask again in a minute")
    return Asked(pool.id, k, ask.id)


def read_text(asked: Asked) -> Operation[str | None]:
    """The answer to a request; None if there is none yet. Raises PoolRefusesError."""
    stored = yield command("GET", asked.k.answer(asked.id))
    return _text_of(stored)


def withdraw(asked: Asked, waited_s: float) -> Operation[str]:
    """Withdraw a request that was not answered in time. Returns the answer if it has just come.

    Raises:
        PoolSilentError: the text says whether the pool has taken the request.
        PoolRefusesError
    """
    yield command("HDEL", asked.k.requests, asked.id)
    stored = yield command("GET", asked.k.answer(asked.id))
    text = _text_of(stored)
    if text is not None:
        return text
    about = f"no answer from pool {asked.pool} within {waited_s:g} s"
    if stored is None:
        raise PoolSilentError(f"{about} (is it older, stopped, or without Redis?): the request is withdrawn")
    raise PoolSilentError(f"{about}: it has taken the request, and may still do it within a minute")


def _text_of(stored: bytes | None) -> str | None:
    _, answer = read_answer(stored)
    if answer is None:
        return None
    if not answer.is_done:
        raise PoolRefusesError(answer.text)
    return answer.text


def answer_within(perform: Perform, asked: Asked, timeout_s: float) -> str:
    """Wait for the answer to a request. Raises as `withdraw`."""
    give_up_s = clock.monotonic() + timeout_s
    while clock.monotonic() < give_up_s:
        text: str | None = perform(read_text, asked)
        if text is not None:
            return text
        clock.sleep(POLL_S)
    left: str = perform(withdraw, asked, timeout_s)
    return left
