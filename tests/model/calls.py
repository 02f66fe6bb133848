"""Requests of the model, made to a real broker, and its queues, written to a real server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Collection, Dict, Iterable, List

from redis import Redis

from bizzmq.admin import purge
from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import CheckedRequest
from bizzmq.broker.checked_publish import Terms as Checked
from bizzmq.broker.workers import DeadWorker
from bizzmq.dead_letters.letters import version_of
from bizzmq.errors import LeaseLostError, QueueFullError, UniqueKeyInUseError
from bizzmq.protocol.results import KeptResult, success_text
from bizzmq.testing.layout import Keys
from tests.model.beside import FULL, THROTTLE_MS, Terms
from tests.model.endings import CRASH_LIMIT, Fate
from tests.model.envelopes import enveloped, keeps
from tests.model.queue import GAP, KEY_IN_USE, LEASE_LOST, Counts, Entry, Outcome, Queue, Request
from tests.model.timed_calls import TIMED_CALLS, timed, without_unused
from tests.scripts.containers import LATER, LATER_MS, NO_QUEUE, PAST, Containers, look, put
from tests.scripts.moves import DEAD, QUEUE
from tests.support.pipelined_publish import publish_behind

PUBLISHER = "p"
_RECENT_US = 60_000_000
RESULTS = ("keeps", "results")
"""What the model does not say. `check_results` does."""


def kept(ids: Iterable[str]) -> Dict[str, KeptResult]:
    return {one: KeptResult(b"60000", success_text(b"1", 1, 0, 0)) for one in ids if keeps(one)}


def call(broker: Broker, request: Request) -> Any:
    """Make the request. Returns the reply in the form of the model."""
    try:
        return _CALLS[request.script](broker, request.who, *request.args)
    except LeaseLostError:
        return LEASE_LOST


def _publish(broker: Broker, publisher: str, numbers: Any, later: bool, priority: int, ids: Any) -> Any:
    entries = [part for name in ids for part in (name, enveloped(name))]
    number, before = numbers
    if not before:
        return broker.publish(QUEUE, publisher, number, LATER_MS if later else 0, priority, entries)
    done = publish_behind(broker, QUEUE, publisher, numbers, entries, LATER_MS if later else 0, priority)
    return None if done else GAP


def _claim(broker: Broker, worker: str, want: int, finished: Any) -> Any:
    claimed = broker.claim(QUEUE, worker, want, finished)
    for message_id, body, _ in claimed.entries:
        assert body == enveloped(message_id.decode()), f"{message_id!r} has the envelope {body!r}"
    entries = tuple((name.decode(), (counts or b"0 0 0 0").decode()) for name, _, counts in claimed.entries)
    return entries, claimed.due_s is not None


def _retry(
    broker: Broker, worker: str, message_id: str, before: str, after: str, later: bool, is_failure: bool
) -> bool:
    delay_ms = LATER_MS if later else 0
    return broker.retry(QUEUE, worker, message_id, before, after, delay_ms, is_failure=is_failure)


def _requeue(broker: Broker, worker: str, fate: Fate) -> Any:
    death = DeadWorker(
        fate.what, fate.running, fate.last_finished, CRASH_LIMIT, b"{}", fate.outcome, fate.attempts_after,
        LATER_MS if fate.later else 0, fate.supervisor, str(fate.counter or ""), kept(_held(broker, worker)),
    )  # fmt: skip
    done = broker.requeue(QUEUE, worker, death)
    return done and (done.requeued, done.acked, done.quarantined, done.crashes)


def _held(broker: Broker, worker: str) -> List[str]:
    """What a worker holds: its memory has the results of what it has finished of that."""
    key = broker.keys(QUEUE).processing(worker)
    return [one.decode() for one in broker.connection.execute("LRANGE", key, 0, -1)]


def _finish(broker: Broker, worker: str, finished: Any) -> int:
    results = {one.encode(): result for one, result in kept(finished).items()}
    return broker.finish(QUEUE, worker, [one.encode() for one in finished], results)


def _replay(broker: Broker, _operator: str, message_id: str, priority: int, nonce: str, *, edited: bool = False) -> Any:
    try:
        return broker.replay(QUEUE, message_id, priority, "", enveloped(message_id) if edited else b"", nonce)
    except UniqueKeyInUseError:
        return KEY_IN_USE


def _publish_checked(broker: Broker, publisher: str, number: int, terms: Terms, ids: Any, keys: Any) -> Any:
    """Each message has the envelope of the one that stands for it: it is sealed for that."""
    envelopes, limit = [b""] * len(ids), {"max_length": "", "when_full": "refuse"}
    if terms.limit:
        limit = {"max_length": str(terms.limit), "when_full": "drop-oldest" if terms.drops_oldest else "refuse"}
    k = broker.keys(QUEUE)
    broker.connection.execute("HSET", k.meta, *[part for pair in limit.items() for part in pair])
    checked = Checked(
        LATER_MS if terms.later else 0, terms.priority, LATER_MS if terms.expires else 0,
        str(THROTTLE_MS) if terms.throttles else "started" if terms.until_started else "finished", terms.replaces,
    )  # fmt: skip
    try:
        found = broker.publish_checked(
            QUEUE, publisher, CheckedRequest(number, ids, keys, envelopes), checked, lambda name, _: enveloped(name)
        )
    except QueueFullError:
        return FULL
    finally:
        broker.connection.execute("HDEL", k.meta, *limit)
    return tuple(found.message_ids), found.dropped


def _cancel(broker: Broker, _operator: str, ids: Any) -> Any:
    done = broker.cancel(QUEUE, b"{}", ids)
    return done.ended, done.requested


def _expire_dead_letters(broker: Broker, _janitor: str, least: int, ids: Any) -> int:
    names = [name.encode() for name in ids]
    letters = [
        (name, version_of(header))
        for name, header in zip(names, broker.read_headers(DEAD, names))
        if header is not None
    ]
    return broker.expire_dead_letters(QUEUE, broker.keys(DEAD).waiting, least, letters)


_CALLS: Dict[str, Callable[..., Any]] = {
    "publish": _publish,
    "claim": _claim,
    "finish": _finish,
    "retry": _retry,
    "dead_letter": lambda broker, worker, name, before: broker.dead_letter(QUEUE, worker, name, before, b"{}"),
    "discard": lambda broker, worker, name, before: broker.discard(QUEUE, worker, name, before),
    "release": lambda broker, worker, number, started, ids: broker.release(QUEUE, worker, number, ids, started=started),
    "release_prefetched": lambda broker, worker, running, delivery: broker.release_prefetched(
        QUEUE, worker, running, delivery
    ),
    "requeue": _requeue,
    "register": lambda broker, supervisor, worker: broker.register(QUEUE, supervisor, worker),
    "heartbeat": lambda broker, supervisor: broker.heartbeat(QUEUE, supervisor).counter,
    "unregister": lambda broker, supervisor, counter: broker.unregister(QUEUE, supervisor, str(counter or "")),
    "replay": _replay,
    "replay_edited": lambda broker, operator, *args: _replay(broker, operator, *args, edited=True),
    "publish_checked": _publish_checked,
    "cancel": _cancel,
    "record": lambda broker, worker, name: broker.record(
        QUEUE, worker, name, progress=b"{}", checkpoint=b"{}", number=1
    ),
    "expire_dead_letters": _expire_dead_letters,
    "delete_message": lambda broker, _, message_id: broker.delete_message(QUEUE, message_id),
    "promote": lambda broker, _, message_id: broker.promote(QUEUE, message_id),
    "purge": lambda broker, _, limit: purge.purge(broker, QUEUE, limit),
    **TIMED_CALLS,
}


def establish(redis: Redis, queue: Queue) -> None:
    """Empty the server and write this queue, without marker and totals."""
    redis.flushall()
    put(redis, QUEUE, containers(queue))
    put(redis, DEAD, dead_letters(queue))
    if queue.request:
        redis.set(f"{Keys(QUEUE).prefix}publisher:{PUBLISHER}", queue.request)


def containers(queue: Queue, **others: Any) -> Containers:
    return Containers(
        waiting=queue.waiting,
        prioritized={name: Counts.of(queue.counts(name)).priority for name in queue.prioritized},
        due=queue.due,
        delayed=queue.delayed,
        processing=dict(queue.processing),
        attempts=dict(queue.attempts),
        workers=dict(queue.workers),
        supervisors={name: str(counter) for name, counter in queue.supervisors},
        releases={name: str(number) for name, number in queue.releases},
        cancels=dict.fromkeys(queue.cancels, "{}"),
        extras={name: entry_text(entry) for name, entry in queue.extras if entry != Entry()},
        unique=dict(queue.unique),
        **timed(queue),
        **others,
    )


def entry_text(entry: Entry) -> str:
    """An entry of `extras` as the scripts write it; for a time of expiry PAST or LATER."""
    parts = [f'"unique":"{entry.key}"'] if entry.key else []
    parts += ['"until":"started"'] if entry.until_started else []
    parts += {"": [], "later": [LATER], "past": [PAST]}[entry.expires]
    return "{" + ",".join([*parts, *(['"superseded":true'] if entry.is_superseded else [])]) + "}"


def beside(redis: Redis) -> Dict[str, List[str]]:
    """The ids in each hash of what messages have beside them."""
    return {key.rpartition(":")[2]: sorted(map(str, redis.hkeys(key))) for key in Keys(QUEUE).beside}


def beside_in(queue: Queue) -> Dict[str, List[str]]:
    """The same by the model."""
    entries, saved = [name for name, _ in queue.extras], sorted(queue.saved)
    known = {"extras": entries, "checkpoints": saved, "progress": saved, "cancels": sorted(queue.cancels)}
    return {name: known.get(name, []) for name in (key.rpartition(":")[2] for key in Keys(QUEUE).beside)}


def dead_letters(queue: Queue, *, wake: bool = False) -> Containers:
    """The dead-letter queue exists from its first dead letter."""
    return Containers(waiting=queue.dead, wake=wake) if queue.dead else NO_QUEUE


def differences(redis: Redis, outcome: Outcome) -> list[str]:
    """Differences between the server and the model after a request to an established queue."""
    _number_registrations(redis, outcome.queue)
    expected = containers(outcome.queue, stats=dict(outcome.stats), wake=outcome.wake)
    dead = look(redis, DEAD)
    wanted_dead = replace(dead_letters(outcome.queue, wake=outcome.dead_wake), stats=dict(outcome.dead_stats))
    if not outcome.queue.dead:
        wanted_dead = replace(wanted_dead, retry=dead.retry)  # it exists from its first dead letter on
    pairs = [(expected, without_unused(look(redis, QUEUE, outcome.queue.now_ms))), (wanted_dead, dead)]
    request = int(redis.get(f"{Keys(QUEUE).prefix}publisher:{PUBLISHER}") or 0)
    found = [] if request == outcome.queue.request else [f"publisher: {request}, not {outcome.queue.request}"]
    for wanted, real in pairs:
        for name, value in vars(wanted).items():
            if name not in RESULTS and vars(real)[name] != value:
                found.append(f"{name}: {vars(real)[name]}, not {value}")
    return found


def _number_registrations(redis: Redis, queue: Queue) -> None:
    """Give each new registration the model's counter instead of the one from Redis's clock."""
    now_us = int(redis.time()[0]) * 1_000_000
    for name, counter in redis.hgetall(Keys(QUEUE).supervisors).items():
        if abs(now_us - int(counter)) < _RECENT_US and queue.counter(name):
            redis.hset(Keys(QUEUE).supervisors, name, queue.counter(name))


def check_results(redis: Redis, queue: Queue, published: Iterable[str], ended: Collection[str]) -> None:
    """Never an end without its result, and never a result of a message that still runs.

    Args:
        ended: what operators have deleted.
    """
    stored, keys = {*queue.places()} - {*queue.dead}, Keys(QUEUE)
    for one in filter(keeps, published):
        has_result = redis.exists(keys.result(one)) == 1
        if one in stored:
            assert not has_result, f"{one} has a result, and is still in its queue"
        elif one not in ended:
            assert has_result, f"{one} has ended without a result"
