"""Envelopes on their way to a dead-letter queue and back, byte for byte."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.testing.layout import Keys
from tests.scripts.containers import Containers, look, put
from tests.scripts.moves import DEAD, QUEUE, held

NEW = "0 0 0 0"
RECORD = '{"error":"e"}'
OWN, DEAD_KEYS = Keys(QUEUE), Keys(DEAD)

# The stored envelope, and the one in the dead-letter queue.
BURIED = {
    "plain": ('1\n"x"', f'1\t{{}}\t{RECORD}\n"x"'),
    "with options": ('1\t{"retries":2}\n"x"', f'1\t{{"retries":2}}\t{RECORD}\n"x"'),
    "with an earlier record": ('1\t{"retries":2}\t{"old":1}\n"x"', f'1\t{{"retries":2}}\t{RECORD}\n"x"'),
    "with lines in its body": ('1\n{"a":\n1}', f'1\t{{}}\t{RECORD}\n{{"a":\n1}}'),
    "of another version": ("27\n1", f"27\t{{}}\t{RECORD}\n1"),
    "with an empty header": ("\n1", f"\t{{}}\t{RECORD}\n1"),
    "without a header": ("nothing of ours", "nothing of ours"),
}
# The envelope in the dead-letter queue, and the replayed one.
REPLAYED = {
    "plain": ('1\n"x"', '1\n"x"'),
    "with a record": (f'1\t{{}}\t{RECORD}\n"x"', '1\n"x"'),
    "with options and a record": (f'1\t{{"retries":2}}\t{RECORD}\n"x"', '1\t{"retries":2}\n"x"'),
    "with options": ('1\t{"retries":2}\n"x\ny"', '1\t{"retries":2}\n"x\ny"'),
    "with an empty header": ("\n1", "\n1"),
    "with an empty header, and tabs in its body": ("\n1\t{}\t2\n3", "\n1\t{}\t2\n3"),
    "without a header": ("nothing of ours", "nothing of ours"),
}
# The envelope of a dead letter before and after the last permitted crash of its handler's worker.
PARKED = {
    "with its record": ('1\t{}\t{"error":"a"}\n1', f'1\t{{}}\t{{"error":"a","handler_error":{RECORD}}}\n1'),
    "with options, too": ('1\t{"r":2}\t{"a":{}}\n1', f'1\t{{"r":2}}\t{{"a":{{}},"handler_error":{RECORD}}}\n1'),
    "with spaces behind its record": ('1\t{}\t{"a":1} \n1', f'1\t{{}}\t{{"a":1,"handler_error":{RECORD}}}\n1'),
    "with an empty record": ("1\t{}\t{}\n1", f"1\t{{}}\t{RECORD}\n1"),
    "without a record": ("1\t{}\n1", f"1\t{{}}\t{RECORD}\n1"),
    "plain": ("1\n1", f"1\t{{}}\t{RECORD}\n1"),
}


@pytest.mark.parametrize("case", BURIED)
def test_a_dead_letter_carries_its_record(broker: Broker, redis: Redis, case: str) -> None:
    stored, kept = BURIED[case]
    put(redis, QUEUE, held("m1"))
    redis.hset(OWN.messages, "m1", stored)

    assert broker.dead_letter(QUEUE, "w1", "m1", NEW, RECORD.encode())

    assert redis.hgetall(DEAD_KEYS.messages) == {"m1": kept}


@pytest.mark.parametrize("what", ["crash", "failed"])
def test_a_dead_worker_s_message_carries_the_record_of_its_end(broker: Broker, redis: Redis, what: str) -> None:
    put(redis, QUEUE, held("m1"))
    redis.hset(OWN.messages, "m1", '1\t{}\t{"old":1}\n1')

    broker.requeue(QUEUE, "w1", DeadWorker(what, "m1", "", 1, RECORD.encode(), "dead-letter"))

    assert redis.hgetall(DEAD_KEYS.messages) == {"m1": f"1\t{{}}\t{RECORD}\n1"}


@pytest.mark.parametrize("case", PARKED)
def test_a_dead_letter_that_crashes_its_worker_keeps_its_first_error(broker: Broker, redis: Redis, case: str) -> None:
    stored, kept = PARKED[case]
    put(redis, DEAD, held("m1"))
    redis.hset(DEAD_KEYS.messages, "m1", stored)

    broker.requeue(DEAD, "w1", DeadWorker("crash", "m1", "", 1, RECORD.encode()))

    assert redis.hgetall(DEAD_KEYS.messages) == {"m1": kept}


@pytest.mark.parametrize("case", REPLAYED)
def test_a_replayed_message_is_as_it_was_published(broker: Broker, redis: Redis, case: str) -> None:
    stored, back = REPLAYED[case]
    put(redis, QUEUE, Containers())
    put(redis, DEAD, Containers(waiting=("m1",)))
    redis.hset(DEAD_KEYS.messages, "m1", stored)

    assert broker.replay(QUEUE, "m1", 0)

    assert redis.hgetall(OWN.messages) == {"m1": back}


def test_an_id_without_an_envelope_does_not_become_a_dead_letter(broker: Broker, redis: Redis) -> None:
    """It was evicted or forged, so there is nothing to keep."""
    put(redis, QUEUE, held("m1", forged=("m1",)))

    assert broker.dead_letter(QUEUE, "w1", "m1", NEW, RECORD.encode())

    assert look(redis, QUEUE) == held(stats={"missing": 1})
    assert not redis.exists(DEAD_KEYS.waiting, DEAD_KEYS.messages, DEAD_KEYS.meta)


def test_a_dead_letter_without_an_envelope_is_not_parked(broker: Broker, redis: Redis) -> None:
    put(redis, DEAD, held("m1", forged=("m1",)))

    done = broker.requeue(DEAD, "w1", DeadWorker("crash", "m1", "", 1, RECORD.encode()))

    assert done is not None
    assert look(redis, DEAD).ids() == set()


@pytest.mark.parametrize("what", ["crash", "failed"])
def test_the_first_dead_letter_creates_its_queue(broker: Broker, redis: Redis, what: str) -> None:
    put(redis, QUEUE, held("m1"))

    broker.requeue(QUEUE, "w1", DeadWorker(what, "m1", "", 1, RECORD.encode(), "dead-letter"))

    assert redis.hgetall(DEAD_KEYS.meta) == {"layout": "1", "retry": "0", "implicit": "1"}


def test_a_dead_letter_queue_that_exists_keeps_its_options(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1"))
    redis.hset(DEAD_KEYS.meta, mapping={"retry": "3"})

    assert broker.dead_letter(QUEUE, "w1", "m1", NEW, RECORD.encode())

    assert redis.hgetall(DEAD_KEYS.meta) == {"retry": "3"}


@pytest.mark.parametrize("stored", ["garbage", "1 2", "- - - -", ""])
def test_unreadable_attempts_count_as_zero(broker: Broker, redis: Redis, stored: str) -> None:
    put(redis, QUEUE, held("m1", attempts={"m1": stored}))

    broker.requeue(QUEUE, "w1", DeadWorker("silent"))

    after = look(redis, QUEUE)
    assert (after.waiting, after.attempts) == (("m1",), {"m1": "0 0 1 0"})
