"""The model of the scripts in bizzmq/lua: functions from a queue to an outcome.

Written from the promises in the headers of the scripts. `test_conformance.py` holds both together.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Tuple

from tests.model.beside import BESIDE, admitted
from tests.model.endings import ENDINGS
from tests.model.pauses import PAUSES, QUEUE, held_pauses
from tests.model.queue import GAP, KEY_IN_USE, LEASE_LOST, Counts, Ids, Outcome, Queue, Request, changed, totals
from tests.model.schedules import SCHEDULES

LOOKED_AT = 100
"""How many messages a claim looks at, at least, before it leaves others aside to the next claim."""


def publish(queue: Queue, _publisher: str, numbers: Tuple[int, int], later: bool, priority: int, ids: Ids) -> Outcome:
    number, before = numbers
    if queue.request >= number:
        return Outcome(queue, None)
    if queue.request < before:
        return Outcome(queue, GAP)
    if priority:
        queue = queue.with_counts(dict.fromkeys(ids, f"0 0 0 {priority}"))
    queue = queue._replace(delayed=queue.delayed + ids) if later else queue.enqueued(ids)
    return Outcome(queue._replace(request=number), None, totals(published=len(ids)), wake=True)


def claim(queue: Queue, worker: str, want: int, finished: Ids) -> Outcome:
    if not queue.is_registered(worker):
        return Outcome(queue, LEASE_LOST)
    acked = tuple(message_id for message_id in queue.held(worker) if message_id in finished)
    queue = queue.with_held(worker, [held for held in queue.held(worker) if held not in acked]).without_messages(acked)
    queue = queue.enqueued(queue.due)._replace(due=())
    held, ready = queue.held(worker), len(queue.waiting) + len(queue.prioritized)
    share = math.ceil((len(held) + ready) / len(queue.workers))
    is_paused = ready > 0 and QUEUE in held_pauses(queue)
    room = 0 if is_paused else max(0, min(want, share) - len(held))
    queue, started, ended = _taken(queue, room)
    queue = queue.with_held(worker, held + started)
    entries = tuple((name, queue.counts(name)) for name in held + started)
    reply = (entries, not entries and (is_paused or bool(queue.delayed)))
    counted = totals(acked=len(acked), **ended)
    return Outcome(queue, reply, counted, wake=bool(queue.waiting or queue.prioritized) and not is_paused)


def _taken(queue: Queue, room: int) -> Tuple[Queue, Ids, Dict[str, int]]:
    """Take ready messages. Others take the places of those that may not run."""
    started: Ids = ()
    ended: Dict[str, int] = {}
    looked_at = 0
    while True:
        taken = _best(queue, room - len(started))
        left = {
            at: tuple(name for name in getattr(queue, at) if name not in taken) for at in ("waiting", "prioritized")
        }
        queue, run, refused = admitted(queue._replace(**left), taken)
        started += run
        looked_at += len(taken)
        ended.update({why: ended.get(why, 0) + count for why, count in refused.items()})
        if not any(refused.values()) or not queue.waiting + queue.prioritized or looked_at >= LOOKED_AT:
            return queue, started, ended


def finish(queue: Queue, worker: str, finished: Ids) -> Outcome:
    """The results that it stores are checked by `calls.check_results`."""
    if not queue.is_registered(worker):
        return Outcome(queue, LEASE_LOST)
    acked = tuple(message_id for message_id in queue.held(worker) if message_id in finished)
    queue = queue.with_held(worker, [held for held in queue.held(worker) if held not in acked]).without_messages(acked)
    return Outcome(queue, len(acked), totals(acked=len(acked)))


def _best(queue: Queue, room: int) -> Ids:
    """Up to `room` ready messages in the order of handling."""
    urgent = [name for name in queue.prioritized if queue.rank(name) < 0]
    return (*urgent, *queue.waiting, *queue.prioritized[len(urgent) :])[:room]


def _with_lease(act: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """The fence of a settlement: the worker is registered and holds the message in this delivery."""

    def fenced(queue: Queue, worker: str, message_id: str, seen: str, *args: Any) -> Outcome:
        if not queue.is_registered(worker):
            return Outcome(queue, LEASE_LOST)
        if queue.counts(message_id) != seen or message_id not in queue.held(worker):
            return Outcome(queue, False)
        if message_id in queue.cancels:
            queue = queue.without(worker, message_id).without_messages([message_id])
            return Outcome(queue, True, totals(cancelled=1))
        return act(queue.without(worker, message_id), message_id, *args)

    return fenced


@_with_lease
def retry(queue: Queue, message_id: str, attempts_after: str, later: bool, is_failure: bool) -> Outcome:
    queue = queue.with_counts({message_id: attempts_after})
    queue = queue._replace(delayed=(*queue.delayed, message_id)) if later else queue.enqueued([message_id])
    return Outcome(queue, True, totals(retried=1) if is_failure else totals(requeued=1), wake=True)


@_with_lease
def dead_letter(queue: Queue, message_id: str) -> Outcome:
    return Outcome(queue.dead_lettered(message_id), True, totals(dead_lettered=1), dead_wake=True)


@_with_lease
def discard(queue: Queue, message_id: str) -> Outcome:
    return Outcome(queue.without_messages([message_id]), True, totals(discarded=1))


def release(queue: Queue, worker: str, number: int, started: bool, ids: Ids) -> Outcome:
    """`ids` are newest first."""
    if not queue.is_registered(worker):
        return Outcome(queue, LEASE_LOST)
    if queue.released(worker) >= number:
        return Outcome(queue, 0)
    queue = queue._replace(releases=changed(queue.releases, {worker: number}))
    given = [message_id for message_id in ids if message_id in queue.held(worker)]
    cancelled = [message_id for message_id in given if message_id in queue.cancels]
    for message_id in given:
        if message_id in cancelled:
            queue = queue.without(worker, message_id).without_messages([message_id])
            continue
        if started:
            counts = Counts.of(queue.counts(message_id))
            queue = queue.with_counts({message_id: counts._replace(requeues=counts.requeues + 1).encode()})
        queue = queue.without(worker, message_id).enqueued([message_id], at_head=True)
    counted = totals(cancelled=len(cancelled))
    return Outcome(queue, len(given), counted, wake=bool(queue.waiting or queue.prioritized))


def release_prefetched(queue: Queue, worker: str, running: str, delivery: int) -> Outcome:
    held = queue.held(worker)
    if not queue.is_registered(worker) or running not in held:
        return Outcome(queue, 0)
    newer = held[held.index(running) + 1 :]
    if not newer or Counts.of(queue.counts(running)).delivery % 65536 != delivery:
        return Outcome(queue, 0)
    cancelled = [message_id for message_id in newer if message_id in queue.cancels]
    back = [message_id for message_id in newer if message_id not in cancelled]
    queue = queue.with_held(worker, held[: -len(newer)]).without_messages(cancelled).enqueued(back, at_head=True)
    return Outcome(queue, len(newer), totals(cancelled=len(cancelled)), wake=True)


def replay(queue: Queue, _operator: str, message_id: str, priority: int, nonce: str) -> Outcome:
    if message_id not in queue.dead:
        return Outcome(queue, queue.last_replay == (nonce, message_id))
    entry = queue.entry(message_id)
    owner = dict(queue.unique).get(entry.key, message_id)
    if owner != message_id and queue.is_own(owner):
        return Outcome(queue, KEY_IN_USE)
    if entry.key:
        queue = queue._replace(unique=changed(queue.unique, {entry.key: message_id}))
    if message_id in dict(queue.extras):
        queue = queue.with_entry(message_id, entry._replace(expires="", is_superseded=False))
    queue = queue._replace(dead=tuple(name for name in queue.dead if name != message_id))
    queue = queue.with_counts({message_id: f"0 0 0 {priority}" if priority else ""}).enqueued([message_id])
    return Outcome(queue._replace(last_replay=(nonce, message_id)), True, totals(replayed=1), wake=True)


def replay_edited(queue: Queue, operator: str, message_id: str, priority: int, nonce: str) -> Outcome:
    """As replay, with another envelope. A message that has it already counts as replayed."""
    outcome = replay(queue, operator, message_id, priority, nonce)
    return outcome if message_id in queue.dead else outcome._replace(reply=outcome.reply or queue.is_own(message_id))


def purge(queue: Queue, _operator: str, limit: int) -> Outcome:
    oldest = (*queue.waiting, *queue.prioritized, *queue.due, *queue.delayed, *queue.aside)
    purged = oldest[:limit]
    queue = queue.without_places(purged).without_messages(purged)
    return Outcome(queue, len(purged), totals(purged=len(purged)))


def delete_message(queue: Queue, _operator: str, message_id: str) -> Outcome:
    if any(message_id in ids for _, ids in queue.processing):
        return Outcome(queue, None)
    after = queue.without_places([message_id])
    if after == queue:
        return Outcome(queue, False)
    return Outcome(after.without_messages([message_id]), True, totals(purged=1))


def promote(queue: Queue, _operator: str, message_id: str) -> Outcome:
    if message_id not in (*queue.due, *queue.delayed):
        return Outcome(queue, False)
    left = {place: tuple(name for name in getattr(queue, place) if name != message_id) for place in ("due", "delayed")}
    return Outcome(queue._replace(**left).enqueued([message_id]), True, wake=True)


SCRIPTS: Dict[str, Callable[..., Outcome]] = {
    "publish": publish,
    "claim": claim,
    "finish": finish,
    "retry": retry,
    "dead_letter": dead_letter,
    "discard": discard,
    "release": release,
    "release_prefetched": release_prefetched,
    "replay": replay,
    "replay_edited": replay_edited,
    "purge": purge,
    "delete_message": delete_message,
    "promote": promote,
    **BESIDE,
    **PAUSES,
    **SCHEDULES,
    **ENDINGS,
}

BY_THE_MACHINE = {
    "replay", "replay_edited", "purge", "delete_message", "promote", "finish", *BESIDE, *PAUSES, *SCHEDULES,
}  # fmt: skip
"""Scripts that no exploration runs: the state machines compare them with the model."""


def apply(queue: Queue, request: Request) -> Outcome:
    """The outcome of a request."""
    return SCRIPTS[request.script](queue, request.who, *request.args)
