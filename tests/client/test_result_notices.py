"""Notices of results: they only make a wait shorter. A wait ends as well where they are lost, or not permitted."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import App, AsyncBizzMQ, BizzMQ, MessageOptions, as_completed, async_as_completed
from bizzmq.results.subscription import KEPT as KEPT_SUBSCRIPTIONS
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.support.features import need_acl
from tests.support.meanwhile import meanwhile

KEPT = MessageOptions(result_ttl_s=60)
QUEUE = "q"


def double(number: int) -> int:
    return 2 * number


def blocking(url: str, message_id: str, timeout_s: float) -> Any:
    with BizzMQ(url) as mq:
        return mq.result(QUEUE, message_id, timeout_s)


def in_asyncio(url: str, message_id: str, timeout_s: float) -> Any:
    async def read() -> Any:
        async with AsyncBizzMQ(url) as mq:
            return await mq.result(QUEUE, message_id, timeout_s)

    return asyncio.run(read())


Read = Callable[[str, str, float], Any]
each_client = pytest.mark.parametrize("read", [blocking, in_asyncio], ids=["blocking", "async"])


@pytest.fixture
def guarded(private_server: Callable[..., RedisServer]) -> RedisServer:
    server = private_server()
    need_acl(server.client())
    return server


def url_of_user(server: RedisServer, *rules: str) -> str:
    """The URL of a user with all permissions but these."""
    line = ("reset", "on", ">secret", "~*", "&*", "+@all", *rules)
    command(server.client(), "ACL", "SETUSER", "somebody", *line)
    return server.url.replace("redis://", "redis://somebody:secret@")


@contextmanager
def ended_once_it_is_waited_for(url: str, is_waited_for: Callable[[], Any]) -> Iterator[None]:
    """The message is handled in a thread, as the user of this URL."""

    def end() -> None:
        eventually(is_waited_for, 30)
        with BizzMQ(url) as mq:
            mq.consume_until_empty(QUEUE, double, 30)

    with meanwhile(end):
        yield


def subscribers(server: RedisServer, message_id: str) -> int:
    return int(command(server.client(), "PUBSUB", "NUMSUB", Keys(QUEUE).result(message_id))[1])


@each_client
@pytest.mark.parametrize("rule", ["-publish", "-pubsub", "resetchannels"])
def test_a_worker_without_the_right_to_send_notices_ends_waits_too(guarded: RedisServer, read: Read, rule: str) -> None:
    with BizzMQ(guarded.url) as mq:
        mq.create_queue(QUEUE)
        message = mq.publish_message_to_queue(QUEUE, 4, KEPT)
    worker = url_of_user(guarded, rule)

    with ended_once_it_is_waited_for(worker, lambda: subscribers(guarded, message)):
        assert read(guarded.url, message, 60) == 8


@each_client
def test_what_is_there_at_the_end_of_the_time_is_returned(
    server: RedisServer, mq: BizzMQ, redis: Redis, read: Read
) -> None:
    mq.create_queue(QUEUE)
    message = mq.publish_message_to_queue(QUEUE, 4, MessageOptions(result_ttl_s=60, delay_s=3600))

    def store() -> None:
        eventually(lambda: subscribers(server, message), 30)
        time.sleep(0.3)  # after the first look for what no notice has told of; the next one is after five seconds
        redis.set(Keys(QUEUE).result(message), "succeeded\t1\t2\t3\n8")

    with meanwhile(store):
        assert read(server.url, message, 3.0) == 8


@each_client
@pytest.mark.parametrize("rule", ["-subscribe", "resetchannels"])
def test_a_waiter_without_the_right_to_subscribe_polls(guarded: RedisServer, read: Read, rule: str) -> None:
    with BizzMQ(guarded.url) as mq:
        mq.create_queue(QUEUE)
        message = mq.publish_message_to_queue(QUEUE, 4, KEPT)
    waiter = url_of_user(guarded, rule)
    reads = lambda: guarded.client().info("commandstats").get("cmdstat_mget", {"calls": 0})["calls"] > 0  # noqa: E731
    began_s = time.monotonic()

    with ended_once_it_is_waited_for(guarded.url, reads):
        assert read(waiter, message, 60) == 8
    assert time.monotonic() - began_s < 30


def test_a_notice_ends_a_wait_at_once(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue(QUEUE)
    stop = mq.consume_message_from_queue(QUEUE, double)
    message = mq.publish_message_to_queue(QUEUE, 0, KEPT)
    mq.result(QUEUE, message, 30)
    took_s = []
    for number in range(3):
        began_s = time.monotonic()
        message = mq.publish_message_to_queue(QUEUE, number, MessageOptions(result_ttl_s=60, delay_s=0.1))
        assert mq.result(QUEUE, message, 30) == 2 * number
        took_s.append(time.monotonic() - began_s)
    stop()

    assert min(took_s) < 4, "the next look comes after five seconds"


@contextmanager
def cut(redis: Redis) -> Iterator[None]:
    """All connections but one are closed ten times, while a wait lasts."""

    def kill() -> None:
        for _ in range(10):
            time.sleep(0.05)
            for kind in ("pubsub", "normal"):
                command(redis, "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    with meanwhile(kill):
        yield


def _tasks(url: str) -> tuple[App, Any]:
    app = App(url, queue=QUEUE)
    return app, app.task(name="double", result_ttl_s=60)(double)


def test_waits_whose_connections_are_closed_again_and_again_get_all_results(url: str, mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue(QUEUE)
    app, task = _tasks(url)
    stop = mq.consume_message_from_queue(QUEUE, app.dispatcher())
    handles = [task.using(delay_s=0.02 * number).publish(number) for number in range(30)]
    with cut(redis):
        assert sorted(one.result() for one in as_completed(handles, 100)) == [2 * number for number in range(30)]

    async def ask() -> None:
        handles = [await task.using(delay_s=0.02 * number).apublish(number) for number in range(30)]
        with cut(redis):
            found = [await one.aresult() async for one in async_as_completed(handles, 100)]
        assert sorted(found) == [2 * number for number in range(30)]
        await app.aclose()

    asyncio.run(ask())
    stop()
    app.close()


def test_a_wait_for_thousands_leaves_no_subscription_behind(url: str, mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue(QUEUE)
    app, task = _tasks(url)
    handles = task.publish_many([(number,) for number in range(3000)])
    late = [task.using(delay_s=3600).publish(number) for number in range(2)]
    channels = lambda: len(redis.pubsub_channels("bizzmq:*"))  # noqa: E731

    with pytest.raises(TimeoutError):
        list(as_completed([*handles, *late], 0.2))
    eventually(lambda: channels() == 0, what="the subscriptions to be closed")
    stop = mq.consume_message_from_queue(QUEUE, app.dispatcher())
    assert sum(1 for _ in as_completed(handles, 60)) == 3000
    stop()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            late[0].result(0.01)
        with pytest.raises(TimeoutError):
            late[1].result(0.01)
    assert channels() <= 1 <= KEPT_SUBSCRIPTIONS, "a wait ends the subscription of the one before"
    app.close()
    eventually(lambda: channels() == 0)
