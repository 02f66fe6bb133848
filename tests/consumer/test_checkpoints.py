"""Progress and checkpoints: what the next delivery finds, what ends with the message, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis import Redis

from bizzmq import (
    App,
    AsyncBizzMQ,
    BizzMQ,
    BrokerUnavailableError,
    CheckpointError,
    ConfigurationError,
    Context,
    Draining,
    Message,
    MessageOptions,
    Progress,
    QueueOptions,
    RetryLater,
)
from bizzmq.broker.broker import open_broker
from bizzmq.consumer.local_records import IDLE_S
from bizzmq.consumer.own_activity import OwnActivity
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.records import Checkpoint, encode_checkpoint
from bizzmq.testing.wait import eventually
from bizzmq.worker_state import WorkerState

K = QueueKeys("q")
PATIENCE_S = 30.0
RETRIES = QueueOptions(max_retries=5, retry_backoff_s=0.0, config_dead_letter_queue=True)


@pytest.fixture
def context() -> Context:
    return Context(Message("0" * 20, "q", None), Attempts(), 0.0, None, WorkerState())


def drained(mq: BizzMQ, handler: Any, queue: str = "q") -> None:
    mq.consume_until_empty(queue, handler, timeout_s=PATIENCE_S)


@pytest.mark.parametrize("state", [1, "\N{SNOWMAN}", {"rows": list(range(3))}, "x" * 100_000, [None]])
def test_the_next_delivery_finds_the_checkpoint_and_the_end_removes_it(mq: BizzMQ, redis: Redis, state: Any) -> None:
    found: list[Any] = []

    def handler(_body: Any, context: Context) -> None:
        found.append(context.last_checkpoint)
        if context.delivery < 3:
            context.checkpoint(state)
            assert context.last_checkpoint == state
            raise ValueError("again")

    mq.create_queue("q", RETRIES)
    mq.publish_message_to_queue("q", 1)
    drained(mq, handler)

    assert found == [None, state, state]
    assert not redis.exists(*K.beside)


def test_a_dead_letter_keeps_its_checkpoint_for_its_replay(mq: BizzMQ, redis: Redis) -> None:
    found: list[Any] = []

    def handler(_body: Any, context: Context) -> None:
        found.append(context.last_checkpoint)
        if len(found) == 1:
            context.checkpoint("so far")
            raise ValueError("no")

    mq.create_queue("q", QueueOptions(max_retries=0, config_dead_letter_queue=True))
    mq.publish_message_to_queue("q", 1)
    drained(mq, handler)
    assert redis.hlen(K.checkpoints) == 1
    mq.replay("q")
    drained(mq, handler)

    assert found == [None, "so far"]
    assert not redis.exists(*K.beside)


def test_a_checkpoint_is_of_one_message_only(mq: BizzMQ) -> None:
    found: list[Any] = []

    def handler(body: Any, context: Context) -> None:
        if body == "first":
            context.checkpoint("of the first")
        found.append(context.last_checkpoint)

    mq.create_queue("q")
    mq.publish_messages_to_queue("q", ["first", "second", "first"])
    drained(mq, handler)

    assert found == ["of the first", None, "of the first"]


@pytest.mark.parametrize("kind", ["list", "iterator", "keys"])
def test_a_loop_goes_on_where_it_stopped(mq: BizzMQ, kind: str) -> None:
    seen: list[int] = []
    sums: list[int] = []

    def handler(_body: Any, context: Context) -> None:
        items: Any = list(range(100)) if kind == "list" else iter(range(100)) if kind == "iterator" else range(1, 101)
        loop = context.resume(items, every=10, key=(lambda item: item) if kind == "keys" else None, state=0)
        for item in loop:
            if item in (25, 57) and item not in seen:
                seen.append(item)
                raise ValueError("in the middle")
            seen.append(item)
            loop.state += item
        sums.append(loop.state)

    mq.create_queue("q", RETRIES)
    mq.publish_message_to_queue("q", 1)
    drained(mq, handler)

    assert sums == [sum(range(100)) if kind != "keys" else sum(range(1, 101))]
    assert len(seen) <= 100 + 2 * 10


def test_two_loops_of_a_handler_have_positions_of_their_own(mq: BizzMQ) -> None:
    seen: list[tuple[str, int]] = []

    def handler(_body: Any, context: Context) -> None:
        seen.extend((item, context.delivery) for item in context.resume("abc", every=1))
        for item in context.resume("xyz", every=1, name="second"):
            seen.append((item, context.delivery))
            if item == "y" and context.delivery == 1:
                raise RetryLater(0)
        context.checkpoint("beside the loops")

    mq.create_queue("q", RETRIES)
    mq.publish_message_to_queue("q", 1)
    drained(mq, handler)

    assert seen == [("a", 1), ("b", 1), ("c", 1), ("x", 1), ("y", 1), ("y", 2), ("z", 2)]


def test_a_drain_ends_a_loop_between_two_items(context: Context) -> None:
    seen = []

    def loop_in_a_drain() -> None:
        for item in context.resume(range(10), every=1000):
            seen.append(item)
            if item == 3:
                context._state.drain_at_s = 1.0

    with pytest.raises(Draining):
        loop_in_a_drain()
    context._state.drain_at_s = None
    assert seen == [0, 1, 2, 3]
    assert list(context.resume(range(10), name="another")) == list(range(10))
    context._loops = 0  # as in the next delivery
    assert list(context.resume(range(10))) == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("state", [object(), {1, 2}, "x" * (1024 * 1024), float("nan"), b"bytes", {"a": object()}])
def test_a_state_that_is_no_json_or_too_large_is_refused(context: Context, state: Any) -> None:
    context.checkpoint("before")
    with pytest.raises(CheckpointError, match="checkpoint must be JSON") as caught:
        context.checkpoint(state)
    assert "message" not in str(caught.value), "it is a checkpoint that is wrong"
    assert context.last_checkpoint == "before"


@pytest.mark.parametrize(
    "arguments", [{"every": 0}, {"every": 1.5}, {"every": True}, {"name": 7}, {"every": "10"}], ids=str
)
def test_bad_arguments_of_a_loop_are_refused(context: Context, arguments: Any) -> None:
    with pytest.raises(ConfigurationError):
        context.resume([1], **arguments)


@pytest.mark.parametrize("arguments", [("x",), (-1,), (float("nan"),), (1, "x"), (1, -2), (1, 2, 3), (True,)], ids=str)
def test_bad_progress_is_refused(context: Context, arguments: Any) -> None:
    with pytest.raises(ConfigurationError):
        context.progress(*arguments)


def test_progress_is_seen_while_the_message_runs_and_ends_with_it(mq: BizzMQ, redis: Redis) -> None:
    seen: list[Progress | None] = []

    def handler(_body: Any, context: Context) -> None:
        context.progress(1, 3, "first\n" + "\N{SNOWMAN}" * 500)
        context.progress(2.5, 3, "second")
        eventually(lambda: getattr(mq.status("q", context.id).progress, "done", 0) == 2.5, PATIENCE_S)
        seen.append(mq.status("q", context.id).progress)
        shown = mq.show_message(context.id).sections
        assert (shown["progress"]["note"], shown["options"]["unique_key"]) == ("second", "k")
        assert mq.status("q", context.id).delivery == 1
        context.progress(3)
        eventually(lambda: getattr(mq.status("q", context.id).progress, "done", 0) == 3, PATIENCE_S)

    mq.create_queue("q")
    message_id = mq.publish_message_to_queue("q", 1, MessageOptions(unique_key="k", expires_s=600))
    drained(mq, handler)

    assert [one[:3] for one in seen if one] == [(2.5, 3, "second")]
    assert mq.status("q", message_id).progress is None
    assert not redis.exists(*K.beside)


@pytest.mark.parametrize("stored", ["", "null", "[]", "[1,2,3]", '["a",1,"",1]', '[1,"2","",3]', "x", "[1,2,3,4,5]"])
def test_forged_progress_is_no_progress(mq: BizzMQ, redis: Redis, stored: str) -> None:
    mq.create_queue("q")
    message_id = mq.publish_message_to_queue("q", 1)
    redis.hset(K.progress, message_id, stored)

    assert mq.status("q", message_id).progress is None


def test_a_checkpoint_of_another_version_of_the_task_does_not_count(url: str) -> None:
    found: list[Any] = []

    def task(context: Context) -> None:
        found.append(context.last_checkpoint)
        if len(found) < 3:
            context.checkpoint(f"number {len(found)}")
            raise RetryLater(0 if len(found) == 1 else 3600)

    old, new = App(url), App(url)
    old.task(name="t", max_retries=5)(task).publish()
    old.run_until_idle(timeout_s=PATIENCE_S, advance=False)
    assert found == [None, "number 1"]
    new.task(name="t", version=2, max_retries=5)(task).upgrade(1)(lambda arguments: arguments)
    new.run_until_idle(timeout_s=PATIENCE_S)

    assert found == [None, "number 1", None]
    for app in (old, new):
        app.close()


def consumed(url: str, handler: Any) -> None:
    with BizzMQ(url) as mq:
        drained(mq, handler)


def consumed_in_a_loop(url: str, handler: Any) -> None:
    async def main() -> None:
        async def handle(body: Any, context: Context) -> None:
            handler(body, context)

        async with AsyncBizzMQ(url) as client:
            await client.consume_until_empty("q", handle, timeout_s=PATIENCE_S)

    asyncio.run(main())


@pytest.mark.parametrize("consume", [consumed, consumed_in_a_loop])
def test_what_is_recorded_while_redis_is_away_is_stored_when_it_is_back(
    private_server: Any, caplog: pytest.LogCaptureFixture, consume: Any
) -> None:
    server = private_server(persistence="aof")
    found: list[Any] = []

    def handler(_body: Any, context: Context) -> None:
        found.append(context.last_checkpoint)
        if context.delivery > 1:
            return
        server.kill()
        for number in (1, 2):
            context.checkpoint(number)
            context.progress(number, 3)
        eventually(lambda: "Redis is unavailable" in caplog.text, PATIENCE_S)
        server.start()
        with server.client() as redis:
            eventually(lambda: (redis.hlen(K.checkpoints), redis.hlen(K.progress)) == (1, 1), PATIENCE_S)
            assert redis.hvals(K.checkpoints)[0].endswith(f" 2\n{encode_checkpoint(Checkpoint(2)).decode()}")
        raise ValueError("again")

    with BizzMQ(server.url) as mq:
        mq.create_queue("q", RETRIES)
        mq.publish_message_to_queue("q", 1)
    consume(server.url, handler)

    assert found == [None, 2]


def test_a_record_stays_until_redis_has_it(private_server: Any) -> None:
    server = private_server(persistence="aof")
    with open_broker(server.url) as broker, BizzMQ(server.url) as mq, server.client() as redis:
        mq.create_queue("q")
        message_id = mq.publish_message_to_queue("q", 1)
        broker.register("q", "s1", "w1")
        broker.claim("q", "w1", 1, [])
        activity = OwnActivity(lambda: None)
        activity.record_progress("q", message_id, b"[1]")
        activity.record_checkpoint("q", message_id, 1, b"{}")
        server.kill()
        with pytest.raises(BrokerUnavailableError):
            activity.store(broker, "w1")
        activity.record_progress("q", message_id, b"[2]")
        server.start()

        def is_idle() -> bool:
            return activity.store(broker, "w1") == IDLE_S

        eventually(is_idle, PATIENCE_S, ignoring=(BrokerUnavailableError,))
        assert (redis.hvals(K.progress), redis.hvals(K.checkpoints)) == (["[2]"], ["w1 1\n{}"])
        activity.record_progress("q", message_id, b"[2]")
        assert activity.store(broker, "w1") < IDLE_S, "an equal one is new"
