"""What is stored of a queue's options, by whom it was created."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.broker import Broker
from bizzmq.queue import QueueOptions
from bizzmq.testing.layout import Keys
from tests.scripts.moves import DEAD, QUEUE

OWN, DEAD_KEYS = Keys(QUEUE), Keys(DEAD)
IMPLICIT = {"layout": "1", "retry": "0", "implicit": "1"}


def stored(redis: Redis, keys: Keys) -> dict[str, str]:
    """The options, without the time of creation, which must be there."""
    meta: dict[str, str] = redis.hgetall(keys.meta)
    created_ms, now_s = int(meta.pop("created_ms")), int(redis.time()[0])
    assert 0 <= now_s - created_ms / 1000 + 1 < 600
    return meta


def test_a_queue_has_the_options_that_it_was_created_with(broker: Broker, redis: Redis) -> None:
    options = QueueOptions(retry=2)

    assert broker.create(QUEUE, options)

    assert stored(redis, OWN) == {name: str(value) for name, value in options.to_meta().items()}
    assert not redis.exists(DEAD_KEYS.meta)


def test_its_dead_letter_queue_is_implicit(broker: Broker, redis: Redis) -> None:
    assert broker.create(QUEUE, QueueOptions(config_dead_letter_queue=True))

    assert redis.hgetall(DEAD_KEYS.meta) == IMPLICIT


def test_a_queue_that_exists_may_get_a_dead_letter_queue_later(broker: Broker, redis: Redis) -> None:
    broker.create(QUEUE, QueueOptions(retry=2))

    assert not broker.create(QUEUE, QueueOptions(config_dead_letter_queue=True))

    assert stored(redis, OWN)["retry"] == "2"
    assert redis.hgetall(DEAD_KEYS.meta) == IMPLICIT


def test_a_dead_letter_queue_that_was_created_by_name_keeps_its_options(broker: Broker, redis: Redis) -> None:
    broker.create(DEAD, QueueOptions(retry=3))

    broker.create(QUEUE, QueueOptions(config_dead_letter_queue=True))

    assert stored(redis, DEAD_KEYS)["retry"] == "3"


def test_an_implicit_queue_gets_the_options_of_the_first_who_names_it(broker: Broker, redis: Redis) -> None:
    broker.create(QUEUE, QueueOptions(config_dead_letter_queue=True))

    assert broker.create(DEAD, QueueOptions(retry=3))
    assert not broker.create(DEAD, QueueOptions(retry=4))

    meta = stored(redis, DEAD_KEYS)
    assert meta["retry"] == "3"
    assert "implicit" not in meta


def test_options_that_nobody_has_chosen_are_set_once(broker: Broker, redis: Redis) -> None:
    assert broker.create(QUEUE, QueueOptions(retry=2), implicit=True)

    assert not broker.create(QUEUE, QueueOptions(retry=3), implicit=True)
    assert stored(redis, OWN)["retry"] == "2"
    assert broker.create(QUEUE, QueueOptions(retry=4))
    assert not broker.create(QUEUE, QueueOptions(retry=5), implicit=True)

    meta = stored(redis, OWN)
    assert (meta["retry"], "implicit" in meta) == ("4", False)


@pytest.mark.parametrize("others", [None, "3"])
def test_the_number_of_shards_that_others_work_by_stays(broker: Broker, redis: Redis, others: str | None) -> None:
    """Also if it was set after this client had looked: so the script itself is asked here."""
    redis.hset(OWN.meta, mapping=IMPLICIT)
    if others is not None:
        redis.hset(OWN.meta, "shards", others)

    created = broker.run("create", [OWN.meta, DEAD_KEYS.meta], 0, 0, "layout", "1", "retry", "7", "shards", "5")

    meta = stored(redis, OWN)
    assert (created, meta["retry"], meta.get("shards")) == (1, "7", others)


@pytest.mark.parametrize("implicit", [0, 1])
def test_a_new_queue_has_the_number_of_shards_that_was_asked_for(broker: Broker, redis: Redis, implicit: int) -> None:
    broker.run("create", [OWN.meta, DEAD_KEYS.meta], 0, implicit, "layout", "1", "retry", "0", "shards", "5")

    assert redis.hmget(OWN.meta, "shards", "implicit") == ["5", "1" if implicit else None]
