"""The stored options of a queue that was created explicitly, implicitly, or both."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.errors import DecodeError, QueueNotFoundError
from bizzmq.queue import QueueOptions
from bizzmq.testing.layout import Keys
from tests.scripts.moves import DEAD, QUEUE

OWN, DEAD_KEYS = Keys(QUEUE), Keys(DEAD)
IMPLICIT = {"layout": "1", "retry": "0", "implicit": "1"}


def stored(redis: Redis, keys: Keys) -> dict[str, str]:
    """The options without the creation time, which must exist."""
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


def test_a_dead_letter_queue_that_was_created_explicitly_keeps_its_options(broker: Broker, redis: Redis) -> None:
    broker.create(DEAD, QueueOptions(retry=3))

    broker.create(QUEUE, QueueOptions(config_dead_letter_queue=True))

    assert stored(redis, DEAD_KEYS)["retry"] == "3"


def test_an_implicit_queue_gets_the_first_chosen_options(broker: Broker, redis: Redis) -> None:
    broker.create(QUEUE, QueueOptions(config_dead_letter_queue=True))

    assert broker.create(DEAD, QueueOptions(retry=3))
    assert not broker.create(DEAD, QueueOptions(retry=4))

    meta = stored(redis, DEAD_KEYS)
    assert meta["retry"] == "3"
    assert "implicit" not in meta


def test_implicit_options_are_replaced_once(broker: Broker, redis: Redis) -> None:
    assert broker.create(QUEUE, QueueOptions(retry=2), implicit=True)

    assert not broker.create(QUEUE, QueueOptions(retry=3), implicit=True)
    assert stored(redis, OWN)["retry"] == "2"
    assert broker.create(QUEUE, QueueOptions(retry=4))
    assert not broker.create(QUEUE, QueueOptions(retry=5), implicit=True)

    meta = stored(redis, OWN)
    assert (meta["retry"], "implicit" in meta) == ("4", False)


def run_create(broker: Broker, implicit: int, retry: str) -> int:
    fields = ["layout", "1", "retry", retry, "shards", "5"]
    return int(ScriptRunner(broker.connection).run("create", ([OWN.meta, DEAD_KEYS.meta], [0, implicit, *fields])))


@pytest.mark.parametrize("others", [None, "3"])
def test_the_number_of_shards_in_use_stays(broker: Broker, redis: Redis, others: str | None) -> None:
    """Even if it was set after this client had read it, so the test runs the script itself."""
    redis.hset(OWN.meta, mapping=IMPLICIT)
    if others is not None:
        redis.hset(OWN.meta, "shards", others)

    created = run_create(broker, 0, "7")

    meta = stored(redis, OWN)
    assert (created, meta["retry"], meta.get("shards")) == (1, "7", others)


@pytest.mark.parametrize("implicit", [0, 1])
def test_a_new_queue_has_the_chosen_number_of_shards(broker: Broker, redis: Redis, implicit: int) -> None:
    run_create(broker, implicit, "0")

    assert redis.hmget(OWN.meta, "shards", "implicit") == ["5", "1" if implicit else None]


def test_an_update_creates_no_queue(broker: Broker, redis: Redis) -> None:
    with pytest.raises(QueueNotFoundError):
        broker.update(QUEUE, {"retry": "2"}, dead_letters=True)

    assert not redis.keys("*")


def test_an_update_ends_implicitness_and_keeps_the_time_of_creation(broker: Broker, redis: Redis) -> None:
    broker.create(QUEUE, QueueOptions(retry=2), implicit=True)
    before = redis.hgetall(OWN.meta)

    assert broker.update(QUEUE, {"retry": "2"}, dead_letters=True) == ["2"]

    assert redis.hgetall(OWN.meta) == {name: text for name, text in before.items() if name != "implicit"}
    assert redis.hgetall(DEAD_KEYS.meta) == IMPLICIT


@pytest.mark.parametrize("layout", ["2", "", "x", "01"])
def test_an_update_leaves_another_layout_as_it_is(broker: Broker, redis: Redis, layout: str) -> None:
    redis.hset(OWN.meta, mapping={**IMPLICIT, "layout": layout})

    with pytest.raises(DecodeError):
        broker.update(QUEUE, {"retry": "2"}, dead_letters=True)

    assert redis.hgetall(OWN.meta) == {**IMPLICIT, "layout": layout}
    assert not redis.exists(DEAD_KEYS.meta)
