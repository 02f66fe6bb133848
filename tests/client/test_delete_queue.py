"""`delete_queue`: a queue goes as a whole or stays as a whole, also beside publishers, pools and creators."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, MessageOptions, QueueInUseError, QueueNotFoundError, QueueOptions
from bizzmq.admin.delete_queue import delete_queue
from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from tests.scripts.containers import everything, lasting, put
from tests.scripts.moves import held

WIDE = QueueOptions(config_dead_letter_queue=True, shards=3, max_retries=7)


@pytest.mark.parametrize("options", [QueueOptions(), QueueOptions(config_dead_letter_queue=True), WIDE])
def test_an_empty_queue_is_deleted_with_everything(mq: BizzMQ, redis: Redis, options: QueueOptions) -> None:
    mq.create_queue("q", options)
    mq.create_queue("other")
    mq.publish_messages_to_queue("q", range(10))
    mq.consume_until_empty("q", lambda _: None, 30)

    assert mq.delete_queue("q") == 0

    assert lasting(redis) == {"bizzmq:queues", Keys("other").meta}
    assert redis.smembers("bizzmq:queues") == {"other"}
    with pytest.raises(QueueNotFoundError):
        mq.publish_message_to_queue("q", 1)
    with pytest.raises(QueueNotFoundError):
        mq.delete_queue("q")


def test_a_queue_can_be_created_again_with_other_shards(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q", WIDE)
    mq.publish_message_to_queue("q", 1)
    mq.delete_queue("q", with_messages=True)

    mq.create_queue("q", QueueOptions(shards=2))

    assert broker.options("q") == QueueOptions(shards=2)
    assert not broker.exists("q_dlq")
    published = mq.publish_messages_to_queue("q", range(20))
    assert mq.stats("q").published == len(published)


@pytest.mark.parametrize(
    ("own", "dead", "text"),
    [
        ({"waiting": ("m1",)}, {}, "has 1 message, so"),
        ({"delayed": ("m1", "m2")}, {}, "has 2 messages, so"),
        ({}, {"parked": ("d1",)}, "has 1 dead letter, so"),
        ({"workers": {"w1": "s1"}}, {"waiting": ("d1", "d2")}, "has 2 dead letters and 1 registered worker, so"),
    ],
)
def test_a_queue_in_use_is_not_deleted(mq: BizzMQ, redis: Redis, own: Any, dead: Any, text: str) -> None:
    put(redis, "q", held(**{"workers": {}, "supervisors": {}, **own}))
    put(redis, "q_dlq", held(**{"workers": {}, "supervisors": {}, **dead}))
    before = everything(redis)

    with pytest.raises(QueueInUseError, match=text) as refused:
        mq.delete_queue("q")

    assert refused.value.queue == "q"
    assert everything(redis) == before


def test_a_queue_in_use_is_deleted_on_request(mq: BizzMQ, redis: Redis) -> None:
    put(redis, "q", held("m1", "m2", waiting=("m3",), prioritized={"m4": 1}, delayed=("m5",), releases={"w1": "1"}))
    put(redis, "q_dlq", held("d1", worker="w2", workers={"w2": "s1"}, parked=("d2",)))

    assert mq.delete_queue("q", with_messages=True) == 7

    assert lasting(redis) == set()


def test_one_shard_in_use_keeps_all_shards(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q", WIDE)
    mq.publish_message_to_queue("q", 1)
    before = everything(redis)

    with pytest.raises(QueueInUseError, match="has 1 message"):
        mq.delete_queue("q")

    assert everything(redis) == before


def test_a_message_that_comes_during_the_deletion_keeps_the_queue(
    mq: BizzMQ, broker: Broker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first shards are deleted already: they exist again, with their options."""
    mq.create_queue("q", WIDE)
    mq.update_queue("q_dlq", {"max_retries": 9})
    run, asked = broker.connection.execute, []

    def execute(*parts: Any) -> Any:
        if parts[0] in ("EVAL", "EVALSHA") and b"empty" in [str(part).encode() for part in parts]:
            asked.append(parts)
            if len(asked) == 3:
                put(redis, "late", held(waiting=("m1",)))
                redis.rename(Keys("late").messages, Keys("q").messages)
                redis.rename(Keys("late").waiting, Keys("q").waiting)
        return run(*parts)

    monkeypatch.setattr(broker.connection, "execute", execute)

    with pytest.raises(QueueInUseError, match="has 1 message"):
        broker.perform(delete_queue(broker.keys("q"), with_messages=False))

    assert len(asked) == 3
    assert broker.options("q") == WIDE
    assert [broker.meta(shard)[0].max_retries for shard in broker.shards("q")] == [7] * 3
    assert [broker.meta(shard)[0].max_retries for shard in broker.shards("q_dlq")] == [9] * 3
    assert [message.id for message in mq.messages("q").messages] == ["m1"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q:1", "'q:1' is the name of a shard: delete 'q'"),
        ("q_dlq", "'q_dlq' is the dead-letter queue of 'q' and is deleted with it"),
        ("q/", "bad queue name"),
    ],
)
def test_a_part_of_a_queue_is_not_deleted(mq: BizzMQ, redis: Redis, name: str, text: str) -> None:
    mq.create_queue("q", WIDE)
    before = everything(redis)

    for with_messages in (True, False):
        with pytest.raises(ConfigurationError, match=text):
            mq.delete_queue(name, with_messages=with_messages)

    assert everything(redis) == before


@pytest.mark.parametrize("consent", ["yes", None, 2])
def test_consent_is_a_flag(mq: BizzMQ, consent: Any) -> None:
    mq.create_queue("q")

    with pytest.raises(ConfigurationError, match="with_messages must be True or False"):
        mq.delete_queue("q", with_messages=consent)


def test_a_dead_letter_queue_without_a_queue_is_deleted(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q_dlq")

    assert mq.delete_queue("q_dlq") == 0

    assert lasting(redis) == set()


def test_a_queue_whose_options_were_lost_is_deleted(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q")
    mq.publish_message_to_queue("q", 1)
    redis.delete(Keys("q").meta)

    assert mq.delete_queue("q", with_messages=True) == 1

    assert lasting(redis) == set()


def test_a_queue_with_thousands_of_forged_workers_is_deleted(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q")
    forged = [f"w{number}" for number in range(20_000)]
    redis.hset(Keys("q").workers, mapping=dict.fromkeys(forged, "s"))
    for name in (forged[0], forged[-1]):
        redis.lpush(Keys("q").processing(name), "x")

    assert mq.delete_queue("q", with_messages=True) == 0

    assert lasting(redis) == set()


def test_publishers_beside_a_deletion_publish_or_are_told(mq: BizzMQ, url: str, redis: Redis) -> None:
    """What was published is in the queue, or was deleted by consent; no part of the queue is left."""
    for round_number in range(10):
        name = f"q{round_number}"
        mq.create_queue(name, WIDE)
        published: list[str] = []
        errors: list[BaseException] = []
        go_on = threading.Event()

        def publish(
            name: str = name,
            published: list[str] = published,
            errors: list[BaseException] = errors,
            go_on: threading.Event = go_on,
        ) -> None:
            with BizzMQ(url) as other:
                while not go_on.is_set():
                    try:
                        published.extend(other.publish_messages_to_queue(name, range(5)))
                    except QueueNotFoundError as error:
                        published.extend(error.published_ids)
                        errors.append(error)
                        return

        threads = [threading.Thread(target=publish) for _ in range(2)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(published) > 20)  # noqa: B023
        deleted = mq.delete_queue(name, with_messages=True)
        go_on.set()
        for thread in threads:
            thread.join()

        assert deleted >= 20
        assert [key for key in lasting(redis) if f"{{{name}" in key] == []
        assert len(published) == len(set(published))
        assert deleted == len(published)


def test_a_queue_that_is_created_and_deleted_again_and_again_is_in_the_index_if_it_exists(
    url: str, redis: Redis
) -> None:
    stop = threading.Event()

    def create() -> None:
        broker = Broker(connect(url))
        while not stop.is_set():
            broker.create("q", QueueOptions(shards=2))
        broker.connection.drop()

    creators = [threading.Thread(target=create) for _ in range(2)]
    for creator in creators:
        creator.start()
    with BizzMQ(url) as mq:
        for _ in range(200):
            try:
                mq.delete_queue("q")
            except QueueNotFoundError:
                continue
        stop.set()
        for creator in creators:
            creator.join()
        mq.create_queue("q")

        assert "q" in redis.smembers("bizzmq:queues")
        assert {one.queue for one in mq.queues()} == {"q"}


def test_a_consumer_of_a_deleted_queue_goes_on_when_it_exists_again(mq: BizzMQ) -> None:
    mq.create_queue("q")
    handled: list[Any] = []
    stop = mq.consume_message_from_queue("q", handled.append)
    mq.publish_message_to_queue("q", 1)
    eventually(lambda: handled == [1])
    with pytest.raises(QueueInUseError, match="1 registered worker"):
        mq.delete_queue("q")

    mq.publish_message_to_queue("q", 2, MessageOptions(delay_s=3600))
    assert mq.delete_queue("q", with_messages=True) == 1
    mq.create_queue("q")
    mq.publish_message_to_queue("q", 3)

    eventually(lambda: handled == [1, 3], 30)
    stop()
