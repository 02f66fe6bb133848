"""Each kind of damage, made by hand in Redis, with the expected findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Tuple

from redis import Redis

from bizzmq.audit.findings import Kind
from bizzmq.testing.layout import Keys
from tests.faults.scene import QUEUE, Scene

DEAD = f"{QUEUE}_dlq"
K, D = Keys(QUEUE), Keys(DEAD)
Expected = List[Tuple[Kind, str, int]]


@dataclass(frozen=True)
class Damage:
    """`do` gets the client and ten ids, oldest first: eight wait, the ninth is delayed, the last has a priority.

    Attributes:
        found: kind, queue and number of subjects of each finding.
        lost: how many of the ten cannot be saved, because the damage was to delete them.
        extra: how many may be handled that are not among the ten.
    """

    do: Callable[[Redis, List[str]], Any]
    found: Expected
    lost: int = 0
    extra: int = 0


def publish_ten(scene: Scene) -> list[str]:
    return [
        *scene.publish(*[{"n": number} for number in range(8)]),
        scene.publish_one({"n": 8}, delay_s=3600),
        scene.publish_one({"n": 9}, priority=5),
    ]


def move_to_dead_letters(redis: Redis, message_id: str, place: str | None) -> None:
    """Leave a message in both queues, as an interrupted dead_letter would."""
    envelope: Any = redis.hget(K.messages, message_id)
    redis.hset(D.messages, message_id, envelope)
    if place:
        redis.lpush(place, message_id)


def orphan(redis: Redis, ids: list[str], queue: str = QUEUE) -> None:
    """Put the two oldest messages into the list of an unregistered worker."""
    for _ in range(2):
        redis.rpop(Keys(queue).waiting)
    redis.lpush(Keys(queue).processing("ghost"), *ids[:2])


def unsupervised(redis: Redis, ids: list[str]) -> None:
    orphan(redis, ids)
    redis.hset(K.workers, "ghost", "nobody")


def all_of(*actions: Callable[[Redis, List[str]], Any]) -> Callable[[Redis, List[str]], None]:
    def do(redis: Redis, ids: list[str]) -> None:
        for deed in actions:
            deed(redis, ids)

    return do


DAMAGES: Dict[str, Damage] = {
    "a message without a place": Damage(lambda r, ids: r.lrem(K.waiting, 1, ids[3]), [(Kind.UNPLACED, QUEUE, 1)]),
    "no message has a place": Damage(
        lambda r, _: r.delete(K.waiting, K.delayed, K.prioritized), [(Kind.UNPLACED, QUEUE, 10)]
    ),
    "a delayed message without a place": Damage(lambda r, _: r.delete(K.delayed), [(Kind.UNPLACED, QUEUE, 1)]),
    "a prioritized message without a place": Damage(lambda r, _: r.delete(K.prioritized), [(Kind.UNPLACED, QUEUE, 1)]),
    "an unpublished message": Damage(
        lambda r, _: r.hset(K.messages, "0" * 20, '1\n{"n": 10}'),
        [(Kind.UNPLACED, QUEUE, 1), (Kind.ACCOUNTS, QUEUE, 0)], extra=1,
    ),
    "a schedule without a due time": Damage(
        lambda r, _: r.hset(K.schedules, "s", '{"every_ms":3600000}\n1\n1'), [(Kind.SCHEDULES, QUEUE, 1)]
    ),
    "a due time without a schedule": Damage(lambda r, _: r.zadd(K.due, {"s": 4e12}), [(Kind.SCHEDULES, QUEUE, 1)]),
    "a place without a message": Damage(
        lambda r, ids: r.hdel(K.messages, ids[3]), [(Kind.MISSING_BODY, QUEUE, 1), (Kind.ACCOUNTS, QUEUE, 0)], lost=1
    ),
    "all messages gone": Damage(
        lambda r, _: r.delete(K.messages), [(Kind.MISSING_BODY, QUEUE, 10), (Kind.STALE_ATTEMPTS, QUEUE, 0),
                                              (Kind.ACCOUNTS, QUEUE, 0)], lost=10
    ),
    "an unpublished id": Damage(lambda r, _: r.rpush(K.waiting, "forged"), [(Kind.MISSING_BODY, QUEUE, 1)]),
    "a forged id among dead letters": Damage(lambda r, _: r.lpush(D.parked, "forged"), [(Kind.MISSING_BODY, DEAD, 1)]),
    "twice in one list": Damage(lambda r, ids: r.lpush(K.waiting, ids[2]), [(Kind.DUPLICATE, QUEUE, 1)]),
    "waiting and delayed": Damage(lambda r, ids: r.zadd(K.delayed, {ids[2]: 1}), [(Kind.DUPLICATE, QUEUE, 1)]),
    "waiting and prioritized": Damage(lambda r, ids: r.zadd(K.prioritized, {ids[2]: 1}), [(Kind.DUPLICATE, QUEUE, 1)]),
    "waiting and held by an unregistered worker": Damage(
        lambda r, ids: r.lpush(K.processing("ghost"), ids[2]),
        [(Kind.DUPLICATE, QUEUE, 1), (Kind.UNREGISTERED, QUEUE, 1)]
    ),
    "in both queues": Damage(
        lambda r, ids: move_to_dead_letters(r, ids[2], D.waiting),
        [(Kind.DUPLICATE, QUEUE, 1), (Kind.ACCOUNTS, DEAD, 0)],
    ),
    "stored in both queues, with one place": Damage(
        lambda r, ids: move_to_dead_letters(r, ids[2], None),
        [(Kind.DUPLICATE, QUEUE, 1), (Kind.ACCOUNTS, DEAD, 0)],
    ),
    "attempts without a message": Damage(lambda r, _: r.hset(K.attempts, "x", "1 0 0 0"),
                                         [(Kind.STALE_ATTEMPTS, QUEUE, 1)]),
    "something beside a message that is gone": Damage(
        lambda r, _: [r.hset(key, "x", '{"unique":"k"}') for key in K.beside], [(Kind.LEFTOVERS, QUEUE, 1)]
    ),
    "a checkpoint without an entry": Damage(
        lambda r, ids: r.hset(K.prefix + "checkpoints", ids[0], "w1 1\n1"), [(Kind.UNLISTED, QUEUE, 1)]
    ),
    "a unique key of a message that is gone": Damage(
        lambda r, _: r.hset(K.unique, "k", "gone"), [(Kind.UNIQUE_KEYS, QUEUE, 1)]
    ),
    "a unique key of another message": Damage(
        lambda r, ids: r.hset(K.unique, "k", ids[0]), [(Kind.UNIQUE_KEYS, QUEUE, 1)]
    ),
    "a message without its unique key": Damage(
        lambda r, ids: r.hset(K.extras, ids[0], '{"unique":"k"}'), [(Kind.KEYLESS, QUEUE, 1)]
    ),
    "a unique message gone": Damage(
        all_of(
            lambda r, ids: r.hset(K.extras, ids[3], '{"unique":"k"}'), lambda r, ids: r.hset(K.unique, "k", ids[3]),
            lambda r, ids: r.hdel(K.messages, ids[3]),
        ),
        [(Kind.MISSING_BODY, QUEUE, 1), (Kind.LEFTOVERS, QUEUE, 1), (Kind.UNIQUE_KEYS, QUEUE, 1),
         (Kind.ACCOUNTS, QUEUE, 0)], lost=1,
    ),
    "a list of an unregistered worker": Damage(orphan, [(Kind.UNREGISTERED, QUEUE, 1)]),
    "a worker without a supervisor": Damage(unsupervised, [(Kind.UNSUPERVISED, QUEUE, 1)]),
    "several at once": Damage(
        all_of(
            lambda r, ids: r.lrem(K.waiting, 1, ids[5]), lambda r, ids: r.hdel(K.messages, ids[6]), orphan,
            lambda r, ids: r.lpush(K.waiting, ids[0], ids[3]),
        ),
        [
            (Kind.MISSING_BODY, QUEUE, 1), (Kind.UNPLACED, QUEUE, 1), (Kind.DUPLICATE, QUEUE, 2),
            (Kind.UNREGISTERED, QUEUE, 1),
            (Kind.ACCOUNTS, QUEUE, 0),
        ], lost=1,
    ),
}  # fmt: skip
