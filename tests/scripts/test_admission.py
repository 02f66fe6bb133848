"""What a claim does with messages that may not run: it looks at those that it takes, and never at those held before."""

from __future__ import annotations

import json
import time
from typing import Sequence

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.layout import Keys
from tests.scripts.containers import look, put
from tests.scripts.moves import DEAD, QUEUE, claim_ids, held

K = QueueKeys(QUEUE)
PAST, LATER = -1000, 60_000


def expiring(redis: Redis, ids: Sequence[str], in_ms: int = PAST) -> None:
    for one in ids:
        redis.hset(K.extras, one, json.dumps({"expires_ms": int(time.time() * 1000) + in_ms}, separators=(",", ":")))


def test_an_expired_message_is_not_started(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held(waiting=("m1", "m2", "m3", "m4"), keeps=("m3",), attempts={"m1": "1 0 0 0"}))
    expiring(redis, ["m1", "m3"])
    expiring(redis, ["m4"], LATER)

    assert claim_ids(broker, 9) == ["m2", "m4"]

    found = look(redis, QUEUE)
    assert found.processing == {"w1": ("m2", "m4")}
    assert found.stats == {"expired": 2}
    assert [found.attempts, found.forged, found.unplaced] == [{}, (), ()]
    assert found.results["m3"].startswith("expired ")
    assert redis.hkeys(K.extras) == ["m4"]


@pytest.mark.parametrize("place", ["prioritized", "due", "waiting"])
def test_wherever_it_was(redis: Redis, broker: Broker, place: str) -> None:
    ids = {"m1": 5} if place == "prioritized" else ("m1",)
    put(redis, QUEUE, held(**{place: ids}))
    expiring(redis, ["m1"])

    assert claim_ids(broker, 1) == []
    assert look(redis, QUEUE).stats == {"expired": 1}
    assert not redis.exists(K.messages, K.extras)


def test_what_the_worker_held_before_goes_on(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held("m1", waiting=("f", "m2"), forged=("f",)))
    expiring(redis, ["m1", "m2"])

    assert claim_ids(broker, 9) == ["m1"]
    assert look(redis, QUEUE).stats == {"expired": 1, "missing": 1}


def test_what_the_worker_held_goes_on_beside_an_id_without_a_message(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held("m1", "f", forged=("f",)))
    expiring(redis, ["m1"])

    assert claim_ids(broker, 1) == ["m1"]
    assert look(redis, QUEUE).stats == {"missing": 1}


def test_it_is_dead_lettered_if_the_queue_says_so(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held(waiting=("m1",), attempts={"m1": "1 0 0 0"}))
    redis.hset(K.meta, "dead_letter_expired", "1")
    expiring(redis, ["m1"])

    assert claim_ids(broker, 1) == []

    dead = look(redis, DEAD)
    assert (dead.waiting, dead.wake) == (("m1",), True)
    assert look(redis, QUEUE).stats == {"dead_lettered": 1}
    assert "MessageExpired" in redis.hget(Keys(DEAD).messages, "m1").split("\n")[0]
    assert not redis.exists(K.messages, K.attempts)


def test_a_dead_letter_is_handled_although_it_has_expired(redis: Redis, broker: Broker) -> None:
    put(redis, DEAD, held(waiting=("m1",)))
    expiring(redis, ["m1"])

    assert claim_ids(broker, 1, queue=DEAD) == ["m1"]


@pytest.mark.parametrize("entry", ["", "no json", '{"expires_ms":"x"}', '{"expires_ms":[]}', '{"expires_ms":1e999}'])
def test_a_forged_time_lets_the_message_run(redis: Redis, broker: Broker, entry: str) -> None:
    put(redis, QUEUE, held(waiting=("m1",)))
    redis.hset(K.extras, "m1", entry)

    assert claim_ids(broker, 1) == ["m1"]


def test_extras_of_the_wrong_type_let_all_run(redis: Redis, broker: Broker) -> None:
    put(redis, QUEUE, held(waiting=("m1", "m2")))
    redis.set(K.extras, "forged")

    assert claim_ids(broker, 2) == ["m1", "m2"]
