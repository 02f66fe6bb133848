"""The invariants of every fault test, checked against Redis and the ledger. Each raises AssertionError."""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import AbstractSet, Callable, Collection, Iterable, Iterator

from redis import Redis

from bizzmq.testing.layout import DEAD_LETTER_SUFFIX, Attempts, View, attempts_of, snapshot
from bizzmq.testing.ledger import Ledger

_SHOWN = 10


def check_one_place(redis: Redis, queue: str) -> None:
    """G2: each stored id is in exactly one place of the queue or its dead-letter queue; the hashes agree."""
    views = snapshot(redis, queue)
    places: dict[str, list[str]] = defaultdict(list)
    for view in views:
        for message_id, place in view.places():
            places[message_id].append(place)
    problems = [f"{message_id} is in {where}" for message_id, where in places.items() if len(where) > 1]
    for view in views:
        problems += _hash_problems(view)
    _fail_if(problems, f"G2 one place, {queue}")


def check_nothing_stranded(redis: Redis, queue: str) -> None:
    """G4: each processing list belongs to a registered worker, and that to a registered supervisor."""
    problems = []
    for view in snapshot(redis, queue):
        for worker, ids in view.processing.items():
            if worker not in view.workers:
                problems.append(f"{view.queue}: {_some(ids)} held by {worker}, which is not registered")
        for worker, supervisor in view.workers.items():
            if supervisor not in view.supervisors:
                problems.append(f"{view.queue}: {worker} belongs to {supervisor}, which is not registered")
    _fail_if(problems, f"G4 nothing stranded, {queue}")


@dataclass(frozen=True)
class Balance:
    """What became of the published messages: `lost` is neither handled nor stored, `unknown` was never published.

    `left` counts the messages that the queue still has to deliver, without dead letters.
    """

    published: int
    handled: int
    left: int
    lost: AbstractSet[str]
    unknown: AbstractSet[str]


def balance(
    redis: Redis, queue: str, published_ids: Iterable[str], handled_ids: Callable[[], Iterable[str]]
) -> Balance:
    """The balance of a queue and its dead-letter queue at any moment.

    The ledger is read after Redis: a message that is acked between the two reads appears in at least one of them.
    In the other order it could appear in neither and count as lost.
    """
    published = set(published_ids)
    views = snapshot(redis, queue)
    handled = set(handled_ids())
    known = handled.union(*[view.ids() & view.messages for view in views])
    return Balance(len(published), len(handled), len(views[0].messages), published - known, known - published)


def check_balance(
    redis: Redis, queue: str, published_ids: Iterable[str], handled_ids: Callable[[], Iterable[str]]
) -> None:
    """G1: each published id was handled, is dead-lettered or is still stored; no other id exists."""
    check_nothing_lost(balance(redis, queue, published_ids, handled_ids), queue)


def check_nothing_lost(found: Balance, queue: str) -> None:
    """G1 for a balance that was taken earlier."""
    problems = [f"lost: {_some(found.lost)}"] if found.lost else []
    problems += [f"never published: {_some(found.unknown)}"] if found.unknown else []
    _fail_if(problems, f"G1 nothing lost, {queue}: {found.published} published, {found.handled} handled")


def check_at_rest(redis: Redis, queue: str, dead_lettered: int = 0) -> None:
    """G1 at rest: the queue is empty, and its dead-letter queue holds `dead_lettered` messages, none running."""
    main, dead = snapshot(redis, queue)
    problems = [f"{message_id} is in {place}" for message_id, place in main.places()]
    problems += _hash_problems(main) + _hash_problems(dead)
    if len(dead.messages) != dead_lettered:
        problems.append(f"{len(dead.messages)} dead letters, not {dead_lettered}: {_some(dead.messages)}")
    problems += [f"{worker} still runs dead letters {_some(ids)}" for worker, ids in dead.processing.items()]
    _fail_if(problems, f"at rest, {queue}")


def check_duplicates(ledger: Ledger, allowed: int) -> None:
    """G3: at most `allowed` runs beyond the first of each message."""
    duplicates = ledger.duplicates()
    extra = sum(duplicates.values())
    assert extra <= allowed, f"G3 duplicates: {extra} extra runs, {allowed} allowed: {_some(duplicates)}"


def check_blame(
    redis: Redis, queue: str, message_id: str, retries: int = 0, crashes: int = 0, requeues: int | None = None
) -> None:
    """G5: the counts of a stored message; `requeues=None` accepts any."""
    found = attempts_of(redis, queue, message_id)
    wanted = Attempts(retries, crashes, found.requeues if requeues is None else requeues, found.priority)
    assert found == wanted, f"G5 blame of {message_id} in {queue}: {found}, not {wanted}"


def check_nobody_blamed(redis: Redis, queue: str) -> None:
    """G5 after a drain or a host loss: no retry and no crash is counted for any stored message."""
    problems = [
        f"{view.queue}: {message_id} has {attempts}"
        for view in snapshot(redis, queue)
        for message_id, attempts in view.attempts.items()
        if attempts.retries or attempts.crashes
    ]
    _fail_if(problems, f"G5 nobody blamed, {queue}")


@contextlib.contextmanager
def log_rate(log: Callable[[], str], limit_per_s: float = 10.0) -> Iterator[None]:
    """G8: fewer than `limit_per_s` new lines a second during the block, which counts as at least one second."""
    lines_before, started_s = len(log().splitlines()), time.monotonic()
    yield
    elapsed_s = max(1.0, time.monotonic() - started_s)
    fresh = log().splitlines()[lines_before:]
    allowed = math.ceil(limit_per_s * elapsed_s)
    assert len(fresh) < allowed, (
        f"G8 logs: {len(fresh)} lines in {elapsed_s:.1f} s, fewer than {allowed} allowed; the last:\n"
        + "\n".join(fresh[-_SHOWN:])
    )


def check_log(log: str, secrets: Collection[str] = (), tracebacks: int = 0) -> None:
    """G8: none of the secrets, and at most `tracebacks` tracebacks."""
    found = log.count("Traceback (most recent call last)")
    assert found <= tracebacks, f"G8 logs: {found} tracebacks, {tracebacks} allowed:\n{log}"
    leaks = [line for line in log.splitlines() if any(secret in line for secret in secrets)]
    assert not leaks, f"G8 logs: a secret in {_some(leaks)}"


def _hash_problems(view: View) -> list[str]:
    ids = view.ids()
    problems = []
    if ids - view.messages:
        problems.append(f"{view.queue}: in a place but without a body: {_some(ids - view.messages)}")
    if view.messages - ids:
        problems.append(f"{view.queue}: a body but in no place: {_some(view.messages - ids)}")
    if set(view.attempts) - view.messages:
        problems.append(f"{view.queue}: attempts of nothing: {_some(set(view.attempts) - view.messages)}")
    if view.parked and not view.queue.endswith(DEAD_LETTER_SUFFIX):
        problems.append(f"{view.queue}: parked though no dead-letter queue: {_some(view.parked)}")
    return problems


def _some(items: Collection[str]) -> str:
    shown = ", ".join(sorted(items)[:_SHOWN])
    return shown if len(items) <= _SHOWN else f"{shown} and {len(items) - _SHOWN} more"


def _fail_if(problems: list[str], what: str) -> None:
    if problems:
        raise AssertionError(f"{what}: {len(problems)} problems\n" + "\n".join(problems[:_SHOWN]))
