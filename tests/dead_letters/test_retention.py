"""Dead letters that are older, or more, than their queue allows are deleted, and no others."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, QueueOptions
from bizzmq.audit.audit import audit
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.consumer.in_process import InProcessConsumer
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.dead_letters import retention
from bizzmq.dead_letters.retention import Retention
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from tests.dead_letters.letters import bury, record
from tests.scripts.containers import everything, look
from tests.support.forked_command import bizzmq

DAY_S = 86400.0


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    made = Broker(Connection(url))
    yield made
    made.connection.drop()


@pytest.fixture
def queue(mq: BizzMQ) -> str:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    return "q"


def aged(days: float, *, published_days: float | None = None, **more: Any) -> dict[str, Any]:
    """The record of a failure that is so old. The message is older by a minute, unless `published_days` says more."""
    before_s = 60.0 if published_days is None else (published_days - days) * DAY_S
    return record(failed_s=days * DAY_S, age_s=days * DAY_S + before_s, **more)


def stored(mq: BizzMQ) -> set[str]:
    return {one.id for one in mq.dead_letters("q").messages}


def test_without_options_all_stay(mq: BizzMQ, broker: Broker, redis: Redis, queue: str) -> None:
    bury(redis, aged(9000), aged(1))
    before = everything(redis)

    Retention(broker).enforce(queue)

    assert everything(redis) == before


def test_those_that_failed_too_long_ago_are_deleted(
    mq: BizzMQ, broker: Broker, redis: Redis, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    mq.update_queue(queue, {"dead_letter_ttl_s": timedelta(days=7)})
    old = [*bury(redis, *(aged(8) for _ in range(250))), *bury(redis, aged(9), aged(8), place="parked")]
    recent = [
        *bury(redis, aged(6), aged(6.9, published_days=30), record()), *bury(redis, aged(1), place="parked"),
        *bury(redis, aged(8), place="delayed"),
    ]  # fmt: skip

    Retention(broker).enforce(queue)

    assert stored(mq) == {*recent}
    dead = mq.stats("q_dlq")
    assert (dead.expired, dead.unaccounted, mq.stats("q").unaccounted) == (len(old), 0, 0)
    assert audit(broker, "q", 0.0).balanced
    (line,) = [one.getMessage() for one in caplog.records if "retention" in one.getMessage()]
    assert f"queue=q too_old={len(old)} too_many=0" in line
    assert look(redis, "q_dlq").attempts == {}


def test_a_worker_whose_clock_is_wrong_costs_no_letter(mq: BizzMQ, broker: Broker, redis: Redis, queue: str) -> None:
    mq.update_queue(queue, {"dead_letter_ttl_s": 7 * DAY_S})
    ids = [
        *bury(redis, {**aged(1), "failed_at": "1970-01-01T00:00:00Z"}, {**aged(1), "failed_at": "yesterday"}),
        *bury(redis, {"error_type": "E", "age_s": DAY_S}),
    ]  # fmt: skip
    expired = bury(redis, {**aged(8), "failed_at": "2999-01-01T00:00:00Z"})

    Retention(broker).enforce(queue)

    assert stored(mq) == {*ids}
    assert not stored(mq) & {*expired}


def test_letters_that_no_time_is_known_of_stay_and_hide_no_others(
    mq: BizzMQ, broker: Broker, redis: Redis, queue: str
) -> None:
    mq.update_queue(queue, {"dead_letter_ttl_s": 7 * DAY_S})
    dead = Keys("q_dlq")
    forged = [f"forged{number}" for number in range(150)]
    redis.hset(dead.messages, mapping=dict.fromkeys(forged, "?"))
    redis.lpush(dead.waiting, *forged)
    bury(redis, aged(8), aged(8))
    (recent,) = bury(redis, aged(1))

    Retention(broker).enforce(queue)

    assert redis.hlen(dead.messages) == 151
    assert redis.hexists(dead.messages, recent)


@pytest.mark.parametrize("limit", [1, 5, 250, 1000])
def test_the_oldest_beyond_a_number_are_deleted(
    mq: BizzMQ, broker: Broker, redis: Redis, queue: str, limit: int
) -> None:
    mq.update_queue(queue, {"dead_letter_limit": limit})
    ids = bury(redis, *(aged(400 - number) for number in range(298)))
    ids[100:100] = bury(redis, aged(300.5), aged(300.2), place="parked")

    for _ in range(2):
        Retention(broker).enforce(queue)

    kept = ids[-limit:]
    assert {*redis.hkeys(Keys("q_dlq").messages)} == {*kept}
    assert mq.stats("q_dlq").expired == len(ids) - len(kept)


def test_two_pools_together_delete_no_more_than_one(mq: BizzMQ, redis: Redis, url: str, queue: str) -> None:
    mq.update_queue(queue, {"dead_letter_limit": 10})
    bury(redis, *(record() for _ in range(30)))
    brokers = [Broker(Connection(url)) for _ in range(2)]
    surplus = [brokers[0].perform(retention.read_oldest(brokers[0].keys("q_dlq"), 20, 0.0)) for _ in brokers]
    bury(redis, *(record() for _ in range(5)))

    deleted = [
        Retention(one)._expire(one.keys("q_dlq"), letters, 10)
        for one, letters in zip(brokers, surplus)
    ]  # fmt: skip
    for one in brokers:
        Retention(one).enforce(queue)
        one.connection.drop()

    assert deleted == [20, 0]
    assert redis.hlen(Keys("q_dlq").messages) == 10


def test_shards_share_the_number(mq: BizzMQ, broker: Broker, redis: Redis) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, shards=3, dead_letter_limit=7))
    for shard in ("q", "q:1", "q:2"):
        bury(redis, *(record() for _ in range(5)), queue=shard)
        Retention(broker).enforce(shard)

    assert mq.stats("q").dead_lettered == 9


def test_a_pool_deletes(mq: BizzMQ, redis: Redis, queue: str, pool_factory: Any, url: str) -> None:
    mq.update_queue(queue, {"dead_letter_limit": 3})
    bury(redis, *(record() for _ in range(20)))

    pool = pool_factory(url, queue="q", concurrency=1, args=("--lease=1",))

    line = "dead letters were deleted by their queue's retention queue=q too_old=0 too_many=17"
    eventually(lambda: line in pool.log(), 30.0, pool.log)
    assert mq.stats("q").dead_lettered == 3


@pytest.mark.parametrize("name", ["q", "q_dlq"])
def test_an_in_process_consumer_deletes(mq: BizzMQ, redis: Redis, url: str, queue: str, name: str) -> None:
    mq.update_queue(queue, {"dead_letter_ttl_s": 3600})
    bury(redis, aged(1), place="parked")
    consumer = InProcessConsumer(
        lambda: Broker(Connection(url)), name, lambda _body: None, LeaseOptions(beat_s=0.1, lease_s=1, scan_s=0.1)
    )
    consumer.start()

    eventually(lambda: mq.stats("q").dead_lettered == 0)

    consumer.stop()
    assert mq.stats("q_dlq").expired == 1


def test_trouble_is_logged_once_and_stops_nothing(
    mq: BizzMQ, broker: Broker, redis: Redis, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    mq.update_queue(queue, {"dead_letter_limit": 1})
    bury(redis, record(), record())
    redis.delete(Keys("q_dlq").parked)
    redis.set(Keys("q_dlq").parked, "x")
    keeper = Retention(broker)

    for _ in range(3):
        keeper.enforce(queue)

    assert len([one for one in caplog.records if "old dead letters cannot be deleted" in one.getMessage()]) == 1
    redis.delete(Keys("q_dlq").parked)
    keeper.enforce(queue)
    assert mq.stats("q").dead_lettered == 1


def test_the_options_are_set_shown_and_removed_by_the_command(url: str, mq: BizzMQ) -> None:
    created = bizzmq("queue", "create", "new", "--dead-letter-ttl", "30d", "--dead-letter-limit", "1000", REDIS_URL=url)
    assert created.lines() == ["new created"]
    options = mq.show_queue("new").options
    assert (options.dead_letter_ttl_s, options.dead_letter_limit) == (30 * DAY_S, 1000)
    shown = dict(line.split(maxsplit=1) for line in bizzmq("queue", "show", "new", REDIS_URL=url).lines())
    assert (shown["dead-letter-ttl"], shown["dead-letter-limit"]) == ("2592000", "1000")

    updated = bizzmq("queue", "update", "new", "--no-dead-letter-ttl", "--dead-letter-limit", "5", REDIS_URL=url)

    assert updated.lines() == [
        "new: --dead-letter-ttl is no limit, was 2592000; --dead-letter-limit is 5, was 1000"
    ]  # fmt: skip
    refused = bizzmq("queue", "update", "new", "--no-dead-letter-limit", "--dead-letter-limit=5", REDIS_URL=url)
    assert (refused.code, "contradict each other" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "wrong",
    [{"dead_letter_ttl_s": 0}, {"dead_letter_ttl_s": "7d"}, {"dead_letter_limit": 0}, {"dead_letter_limit": 1.5}],
)
def test_a_wrong_option_is_refused(mq: BizzMQ, queue: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))} must be"):
        mq.update_queue(queue, wrong)
