"""Pause and resume, as a client, a pool and the command line do it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, BizzMQ, ConfigurationError, MessageOptions, QueueNotFoundError, QueueOptions
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, run


@pytest.fixture(params=[1, 3], ids=["one", "sharded"])
def q(mq: BizzMQ, request: pytest.FixtureRequest) -> str:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, shards=request.param, retry_backoff_s=0))
    return "q"


class Consumed:
    """What a consumer in this process has handled."""

    def __init__(self, mq: BizzMQ, q: str) -> None:
        self.bodies: list[Any] = []
        self.stop = mq.consume_message_from_queue(q, self.bodies.append)


def publish(mq: BizzMQ, q: str, *bodies: Any, key: str = "") -> list[str]:
    return mq.publish_messages_to_queue(q, bodies, MessageOptions(key=key) if key else None)


def test_a_paused_queue_waits_and_goes_on_at_once_when_it_is_resumed(mq: BizzMQ, redis: Redis, q: str) -> None:
    consumed = Consumed(mq, q)
    mq.pause(q, by="ada", reason="database migration")
    publish(mq, q, 1, 2, 3)

    (pause,) = mq.pauses(q)
    assert (pause.queue, pause.task, pause.key, pause.by, pause.reason) == (q, "", "", "ada", "database migration")
    assert pause.until_s is None
    assert pause.since_s is not None
    assert abs(pause.since_s - time.time()) < 60
    commands = int(redis.info("stats")["total_commands_processed"])
    time.sleep(1)  # the time in which commands are counted
    assert int(redis.info("stats")["total_commands_processed"]) - commands < 300, "workers do not poll"
    assert consumed.bodies == []

    assert mq.resume(q)
    eventually(lambda: sorted(consumed.bodies) == [1, 2, 3], 30)
    assert not mq.resume(q)
    assert mq.pauses(q) == []
    consumed.stop()


def test_a_paused_key_is_put_aside_and_others_go_on(mq: BizzMQ, redis: Redis, url: str, q: str) -> None:
    mq.pause(q, key="a")
    publish(mq, q, *range(150), key="a")
    others = publish(mq, q, "b", key="b")
    publish(mq, q, "plain")
    consumed = Consumed(mq, q)

    eventually(lambda: sorted(consumed.bodies) == ["b", "plain"], 30)
    eventually(lambda: mq.stats(q).suspended == 150, 30)
    eventually(lambda: mq.stats(q).processing == 0, 30)  # acks follow the handler
    stats = mq.stats(q)
    assert (stats.waiting, stats.processing, stats.unaccounted) == (0, 0, 0)
    page = mq.messages(q, "suspended", limit=150)
    assert mq.status(q, page.messages[0].id).state == "suspended"
    assert mq.status(q, others[0]).state == "unknown"
    assert mq.cancel(page.messages[0].id)
    assert mq.delete(q, page.messages[1].id)
    consumed.stop()

    assert mq.resume(q, key="a")
    assert mq.stats(q).suspended == 0
    handled: list[int] = []
    mq.consume_until_empty(q, handled.append, timeout_s=30)
    assert len(handled) == 148
    assert (mq.stats(q).cancelled, mq.stats(q).purged, mq.stats(q).unaccounted) == (1, 1, 0)
    assert not redis.exists("bizzmq:{q}:pauses", "bizzmq:{q}:suspended")


def test_what_was_put_aside_returns_in_its_old_order_to_the_head(mq: BizzMQ) -> None:
    mq.create_queue("q")
    mq.pause("q", key="a")
    publish(mq, "q", *range(250), key="a")
    consumed = Consumed(mq, "q")
    eventually(lambda: mq.stats("q").suspended == 250, 30)
    consumed.stop()
    publish(mq, "q", "last")

    mq.resume("q", key="a")

    handled: list[Any] = []
    mq.consume_until_empty("q", handled.append, timeout_s=30)
    assert handled == [*range(250), "last"]


def test_a_pause_ends_by_itself(mq: BizzMQ, q: str) -> None:
    """That of the queue at its time, that of a key at the next look of a consumer."""
    mq.pause(q, for_s=1)
    mq.pause(q, key="a", for_s=1)
    publish(mq, q, 1, 2)
    publish(mq, q, 3, key="a")
    consumed = Consumed(mq, q)

    eventually(lambda: sorted(consumed.bodies) == [1, 2, 3], 30)
    assert mq.pauses(q) == []
    consumed.stop()


def test_purge_and_audit_know_what_is_put_aside(mq: BizzMQ, redis: Redis, url: str) -> None:
    mq.create_queue("q")
    mq.pause("q", key="a")
    publish(mq, "q", 1, 2, key="a")
    consumed = Consumed(mq, "q")
    eventually(lambda: mq.stats("q").suspended == 2, 30)
    consumed.stop()

    done = run(OPERATOR, "audit", "q", BIZZMQ_REDIS_URL=url)
    assert done.code == 0, done
    assert mq.purge("q") == 2
    assert redis.exists("bizzmq:{q}:suspended") == 0
    mq.delete_queue("q")
    assert redis.exists("bizzmq:{q}:pauses") == 0


def test_a_dead_letter_queue_is_paused_by_itself(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))
    publish(mq, "q", 1)
    mq.consume_until_empty("q", lambda _body: ValueError("bad"), timeout_s=30)
    mq.pause("q_dlq", by="ada")
    consumed = Consumed(mq, "q_dlq")

    assert [one.queue for one in mq.pauses("q_dlq")] == ["q_dlq"]
    assert mq.pauses("q") == []
    publish(mq, "q", 2)
    assert mq.consume_until_empty("q", lambda _body: None, timeout_s=30) == 1
    assert consumed.bodies == []
    assert mq.resume("q_dlq")
    eventually(lambda: consumed.bodies == [1], 30)
    consumed.stop()


def test_wrong_arguments_pause_nothing(mq: BizzMQ, q: str) -> None:
    for wrong in ({"task": "a", "key": "b"}, {"task": "a b"}, {"for_s": 0}, {"for_s": "x"}, {"by": "\n"}, {"key": 5}):
        with pytest.raises(ConfigurationError):
            mq.pause(q, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        mq.pause("q_dlq", key="a")
    for call in (mq.pause, mq.resume, mq.pauses):
        with pytest.raises(QueueNotFoundError):
            call("there_is_none")
    assert mq.pauses(q) == []


def test_asyncio(url: str, mq: BizzMQ, q: str) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.pause(q, task="work", by="ada", for_s=60)
            (pause,) = await amq.pauses(q)
            assert (pause.task, pause.by) == ("work", "ada")
            assert pause.until_s is not None
            assert await amq.resume(q, task="work")
            assert not await amq.resume(q, task="work")

    asyncio.run(main())


def test_the_commands(mq: BizzMQ, url: str, q: str) -> None:
    def bizzmq(*words: str) -> Any:
        return run(OPERATOR, *words, BIZZMQ_REDIS_URL=url)

    assert bizzmq("pause", q, "--key", "a", "--by", "ada", "--reason", "why", "--for", "2h").lines() == [
        "key a of q is paused for 7200 s"
    ]
    assert bizzmq("pause", q).lines() == ["queue q is paused"]
    listed = bizzmq("queues")
    assert "queue q is paused by " in listed.err
    assert "key a of q is paused by ada since " in listed.err
    (row,) = (one for one in bizzmq("queues", "--json").json() if one["queue"] == q)
    assert [one["by"] for one in row["pauses"]][1] == "ada"
    assert bizzmq("resume", q, "--key", "a").lines() == ["key a of q goes on"]
    assert bizzmq("resume", q).lines() == ["queue q goes on"]
    again = bizzmq("resume", q)
    assert (again.code, again.out) == (1, "")
    assert "queue q was not paused" in again.err
    for words in (("--for", "soon"), ("--for", "0"), ("--task", "a", "--key", "b"), ("--task", "x y")):
        assert bizzmq("pause", q, *words).code == 2, words


def test_a_pool_obeys_and_completes_what_a_client_has_begun_to_resume(
    mq: BizzMQ, redis: Redis, url: str, pool_factory: Callable[..., Pool]
) -> None:
    mq.create_queue("q")
    mq.pause("q", key="a")
    publish(mq, "q", *[{"do": "ok"}] * 3, key="a")
    pool = pool_factory(url, concurrency=1)
    pool.wait_ready()
    publish(mq, "q", {"do": "ok"})
    eventually(lambda: (mq.stats("q").acked, mq.stats("q").suspended) == (1, 3), 30)

    redis.hdel("bizzmq:{q}:pauses", "key:a")
    redis.hset("bizzmq:{q}:pauses", "resuming", "{}")  # as a client leaves it that dies in between

    eventually(lambda: mq.stats("q").acked == 4, 30)
    eventually(lambda: not redis.exists("bizzmq:{q}:pauses"), 30)
