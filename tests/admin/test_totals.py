"""`stats`: published = stored + finished, after any operations, for a queue and its dead-letter queue."""

from __future__ import annotations

import random
from typing import Any, Callable, Dict

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions, QueueStats
from bizzmq.admin.dead_letters import dead_letters
from bizzmq.admin.purge import purge, purge_all
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.protocol.attempts import NO_ATTEMPTS, Attempts
from bizzmq.testing.layout import Keys

QUEUE, DEAD = "q", "q_dlq"
KEYS = Keys(QUEUE)


def check(mq: BizzMQ) -> None:
    """Check the equations in the docstring of QueueStats, and that nothing is unaccounted."""
    own, dead = mq.stats(QUEUE), mq.stats(DEAD)
    assert own.published + own.replayed == _held(own) + _ended(own) + own.dead_lettered_total
    assert dead.published + dead.dead_lettered_total == _held(dead) + dead.dead_lettered + _ended(dead) + dead.replayed
    assert (own.dead_lettered_total, own.replayed) == (dead.dead_lettered_total, dead.replayed)
    assert (own.unaccounted, dead.unaccounted, own.unreadable, dead.unreadable) == (0, 0, 0, 0)


def _held(counts: QueueStats) -> int:
    return counts.waiting + counts.delayed + counts.processing


def _ended(counts: QueueStats) -> int:
    return counts.acked + counts.discarded + counts.purged + counts.written_off + counts.unaccounted


class Operations:
    """Random operations on the messages of a queue, chosen by a seed."""

    def __init__(self, mq: BizzMQ, broker: Broker, seed: int) -> None:
        self._mq, self._broker, self._random = mq, broker, random.Random(seed)
        self._workers = 0
        self._held: Dict[str, Any] = {}
        self._worker = {QUEUE: self._register(QUEUE), DEAD: self._register(DEAD)}

    def _register(self, queue: str) -> str:
        self._workers += 1
        self._broker.register(queue, "s", f"w{self._workers}")
        self._held[queue] = []
        return f"w{self._workers}"

    def any(self) -> None:
        queue = self._random.choice([QUEUE, QUEUE, DEAD])
        actions = [self.publish, self.publish, self.claim, self.claim, self.fail, self.fail, self.crash, self.give_up]
        actions += [self.replay, self.purge, self.ack, self.discard]
        self._random.choice(actions)(queue)

    def publish(self, queue: str) -> None:
        options = MessageOptions(priority=self._random.choice([0, 0, 5, -5]), delay_s=self._random.choice([0, 0, 60]))
        self._mq.publish_messages_to_queue(queue, range(self._random.randrange(1, 5)), options)

    def claim(self, queue: str) -> None:
        claimed = self._broker.claim(queue, self._worker[queue], self._random.randrange(1, 6))
        self._held[queue] = list(claimed.entries)

    def ack(self, queue: str) -> None:
        finished = [self._held[queue].pop(0)[0] for _ in self._held[queue][:2]]
        self._broker.claim(queue, self._worker[queue], 0, finished)

    def _one(self, queue: str, act: Callable[[str, str, Attempts], Any]) -> None:
        if self._held[queue]:
            raw_id, _, counts = self._held[queue].pop()
            act(self._worker[queue], raw_id.decode(), Attempts.decode(counts) if counts else NO_ATTEMPTS)

    def fail(self, queue: str) -> None:
        def retry(worker: str, name: str, seen: Attempts) -> None:
            counted = Attempts(seen.retries + 1, seen.crashes, seen.requeues, seen.priority)
            self._broker.retry(queue, worker, name, seen.encode(), counted.encode(), self._random.choice([0, 60_000]))

        self._one(queue, retry)

    def give_up(self, queue: str) -> None:
        self._one(queue, lambda worker, name, seen: self._broker.dead_letter(queue, worker, name, seen.encode(), b"{}"))

    def discard(self, queue: str) -> None:
        if queue == QUEUE:
            self._one(queue, lambda worker, name, seen: self._broker.discard(queue, worker, name, seen.encode()))

    def crash(self, queue: str) -> None:
        held = [entry[0].decode() for entry in self._held[queue]] or [""]
        what = self._random.choice(["crash", "stopped", "silent"])
        death = DeadWorker(what, self._random.choice([held[-1], ""]), self._random.choice([held[0], ""]), crash_limit=1)
        self._broker.requeue(queue, self._worker[queue], death)
        self._worker[queue] = self._register(queue)

    def replay(self, _queue: str) -> None:
        for letter in dead_letters(self._broker, QUEUE, 0, self._random.randrange(1, 4)):
            self._broker.replay(letter.queue, letter.id, letter.priority)

    def purge(self, queue: str) -> None:
        if self._random.random() < 0.3:
            sum(purge_all(self._broker, queue))
        else:
            purge(self._broker, queue, self._random.randrange(1, 4))


@pytest.mark.parametrize("seed", range(5))
def test_every_message_is_accounted_for_after_any_operations(mq: BizzMQ, broker: Broker, seed: int) -> None:
    mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True))
    operations = Operations(mq, broker, seed)

    for _ in range(120):
        operations.any()
        check(mq)

    assert mq.stats(QUEUE).published > 0


def test_messages_deleted_by_hand_are_unaccounted_until_they_are_written_off(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue(QUEUE)
    name = mq.publish_message_to_queue(QUEUE, 1)

    redis.hdel(KEYS.messages, name)
    redis.lpop(KEYS.waiting)
    assert mq.stats(QUEUE).unaccounted == 1

    redis.hset(KEYS.stats, "written_off", 1)
    assert (mq.stats(QUEUE).written_off, mq.stats(QUEUE).unaccounted) == (1, 0)


@pytest.mark.parametrize("value", ["x", "1e400", "9223372036854775807", "-" + "9" * 5000, "٣"])
def test_a_damaged_counter_counts_as_zero_and_is_reported(mq: BizzMQ, redis: Redis, broker: Broker, value: str) -> None:
    mq.create_queue(QUEUE)
    redis.hset(KEYS.stats, "published", value)

    mq.publish_messages_to_queue(QUEUE, range(3))

    assert mq.stats(QUEUE) == QueueStats(waiting=3, published=3, unreadable=1)
