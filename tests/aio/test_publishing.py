"""AsyncBizzMQ publishes what BizzMQ publishes, and reports the same errors."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any, AsyncIterator

import pytest
from redis import Redis

from bizzmq import (
    AsyncBizzMQ,
    BizzMQ,
    BizzMQError,
    ClosedError,
    ConfigurationError,
    EncodeError,
    MessageOptions,
    PayloadTooLargeError,
    QueueNotFoundError,
    QueueOptions,
)
from bizzmq.testing.layout import Keys
from tests.aio.conftest import Run
from tests.scripts.containers import everything
from tests.support.drained import drained

KEYS = b"k" * 32, b"l" * 32
BODIES: list[Any] = [{"a": [1, 2.5, None, True]}, "text", "\ud7ff ü 😀", 0, None, [], {}, 2**70]


def test_each_body_arrives_as_it_was_published(run: Run, mq: BizzMQ, url: str) -> None:
    async def main() -> list[str]:
        async with AsyncBizzMQ(url) as amq:
            assert await amq.create_queue("q") is True
            ids = [await amq.publish_message_to_queue("q", body) for body in BODIES]
            return ids + await amq.publish_messages_to_queue("q", BODIES)

    ids = run(main())

    assert drained(mq) == BODIES * 2
    assert ids == sorted(set(ids))


def test_no_thread_is_started(run: Run, url: str) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q")
            await amq.publish_messages_to_queue("q", range(1500))
            await amq.stats("q")

    before = set(threading.enumerate())  # threads of earlier tests may end meanwhile
    seen: list[int] = []
    start = threading.Thread.start

    def noted(self: threading.Thread) -> None:
        seen.append(1)
        start(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", noted)
        run(main())

    assert seen == []
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("count", [1, 2, 499, 500, 501, 1000, 2600])
def test_many_messages_are_stored_in_order(run: Run, mq: BizzMQ, url: str, redis: Redis, count: int) -> None:
    mq.create_queue("q")

    async def main() -> list[str]:
        async with AsyncBizzMQ(url) as amq:
            return await amq.publish_messages_to_queue("q", ({"n": number} for number in range(count)))

    ids = run(main())

    stored = [str(one) for one in reversed(redis.lrange(Keys("q").waiting, 0, -1))]
    assert stored == ids == sorted(set(ids))
    assert drained(mq) == [{"n": number} for number in range(count)]


def test_messages_may_come_from_an_async_iterable(run: Run, mq: BizzMQ, url: str) -> None:
    mq.create_queue("q")

    async def numbers() -> AsyncIterator[int]:
        for number in range(5):
            await asyncio.sleep(0)
            yield number

    async def main() -> int:
        async with AsyncBizzMQ(url) as amq:
            assert await amq.publish_messages_to_queue("q", []) == []
            return len(await amq.publish_messages_to_queue("q", numbers()))

    assert run(main()) == 5
    assert drained(mq) == [0, 1, 2, 3, 4]


def test_an_async_iterable_that_raises_publishes_nothing(run: Run, mq: BizzMQ, url: str, redis: Redis) -> None:
    mq.create_queue("q")
    before = everything(redis)

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise LookupError("no more")

    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            await amq.publish_messages_to_queue("q", broken())

    with pytest.raises(LookupError):
        run(main())
    assert everything(redis) == before


def test_options_are_those_of_the_blocking_client(run: Run, mq: BizzMQ, url: str, redis: Redis) -> None:
    mq.create_queue("q")
    options = MessageOptions(priority=7, retries=1, timeout_s=9, delay_s=timedelta(hours=1))

    async def main() -> list[str]:
        async with AsyncBizzMQ(url) as amq:
            return [
                await amq.publish_message_to_queue("q", 1, options),
                *await amq.publish_messages_to_queue("q", [1, 1], options),
            ]

    ids = [*run(main()), mq.publish_message_to_queue("q", 1, options)]

    envelopes = {redis.hget(Keys("q").messages, one) for one in ids}
    assert len(envelopes) == 1
    assert redis.zcard(Keys("q").delayed) == 4


def test_shards_take_turns(run: Run, mq: BizzMQ, url: str) -> None:
    async def main() -> Any:
        async with AsyncBizzMQ(url) as amq:
            assert await amq.create_queue("q", QueueOptions(shards=4))
            for number in range(8):
                await amq.publish_message_to_queue("q", number)
            await amq.publish_messages_to_queue("q", range(400))
            return await amq.stats("q")

    assert run(main()) == mq.stats("q")
    assert mq.stats("q").waiting == 408


def test_a_queue_that_was_created_again_with_other_shards_is_found(run: Run, url: str, redis: Redis) -> None:
    async def main() -> int:
        async with AsyncBizzMQ(url) as amq:
            await amq.create_queue("q", QueueOptions(shards=3))
            await amq.publish_message_to_queue("q", 1)
            redis.flushall()
            with pytest.raises(QueueNotFoundError):
                await amq.publish_message_to_queue("q", 1)
            await amq.create_queue("q")
            for _ in range(4):
                await amq.publish_message_to_queue("q", 1)
            return (await amq.stats("q")).waiting

    assert run(main()) == 4


def test_signed_messages_are_accepted_by_a_client_with_the_key(run: Run, url: str) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url, signing_keys=KEYS[:1]) as amq:
            await amq.create_queue("q")
            await amq.publish_messages_to_queue("q", [1, 2])

    run(main())

    with BizzMQ(url, signing_keys=KEYS) as reader:
        assert drained(reader) == [1, 2]


def test_encode_converts_what_json_cannot_express(run: Run, mq: BizzMQ, url: str) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url, encode=sorted) as amq:
            await amq.create_queue("q")
            await amq.publish_message_to_queue("q", {"a": {3, 1, 2}})

    run(main())
    assert drained(mq) == [{"a": [1, 2, 3]}]


REFUSED: dict[str, tuple[Any, type[BizzMQError]]] = {
    "no queue": (lambda amq: amq.publish_message_to_queue("nowhere", 1), QueueNotFoundError),
    "no queue, many": (lambda amq: amq.publish_messages_to_queue("nowhere", range(3000)), QueueNotFoundError),
    "a set": (lambda amq: amq.publish_message_to_queue("q", {1}), EncodeError),
    "NaN among many": (lambda amq: amq.publish_messages_to_queue("q", [1, float("nan")]), EncodeError),
    "too large": (lambda amq: amq.publish_message_to_queue("q", "x" * 2**20), PayloadTooLargeError),
    "a bad name": (lambda amq: amq.publish_message_to_queue("a b", 1), ConfigurationError),
    "no name": (lambda amq: amq.publish_message_to_queue({"a": 1}, "q"), ConfigurationError),
    "a text": (lambda amq: amq.publish_messages_to_queue("q", "text"), ConfigurationError),
    "one body": (lambda amq: amq.publish_messages_to_queue("q", {"a": 1}), ConfigurationError),
    "a number": (lambda amq: amq.publish_messages_to_queue("q", 7), ConfigurationError),
    "options": (lambda amq: amq.publish_message_to_queue("q", 1, {"priority": 1}), ConfigurationError),
    "a shard": (lambda amq: amq.create_queue("q~1"), ConfigurationError),
    "queue options": (lambda amq: amq.create_queue("new", {"max_retries": 1}), ConfigurationError),
    "stats": (lambda amq: amq.stats("nowhere"), QueueNotFoundError),
    "stats of no name": (lambda amq: amq.stats(None), ConfigurationError),
    "confirm": (lambda amq: amq.publish_message_to_queue("q", 1, MessageOptions(confirm="aof")), ConfigurationError),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_and_leaves_nothing(
    run: Run, mq: BizzMQ, url: str, redis: Redis, queue: str, name: str
) -> None:
    call, kind = REFUSED[name]
    before = everything(redis)

    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            with pytest.raises(kind) as refused:
                await call(amq)
            if "publish" in str(refused.traceback[0].statement) or name == "no queue":
                assert getattr(refused.value, "published_ids", []) == []
            assert await amq.create_queue("q") is False  # the client still works

    run(main())
    assert everything(redis) == before


@pytest.mark.parametrize(
    ("argument", "value"),
    [("max_connections", 0), ("max_connections", True), ("max_connections", "3"), ("encode", 1),
     ("signing_keys", ["short"]), ("redis_url", "http://x"), ("redis_url", None), ("redis_url", "redis://h:x")],
)  # fmt: skip
def test_bad_arguments_are_refused_at_once_as_by_the_blocking_client(argument: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        AsyncBizzMQ(**{argument: value})
    with pytest.raises(ConfigurationError) as wanted:
        BizzMQ(**{argument: value})

    assert str(refused.value) == str(wanted.value)


def test_the_url_comes_from_the_environment(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIZZMQ_REDIS_URL", url)

    async def main() -> bool:
        async with AsyncBizzMQ() as amq:
            return await amq.create_queue("q")

    assert run(main()) is True


def test_an_existing_queue_keeps_its_options_and_warns(
    run: Run, mq: BizzMQ, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    mq.create_queue("q", QueueOptions(max_retries=1))

    async def main() -> bool:
        async with AsyncBizzMQ(url) as amq:
            return await amq.create_queue("q", QueueOptions(max_retries=2))

    assert run(main()) is False
    assert "max_retries: asked 2, stored 1" in caplog.text


def test_a_closed_client_says_so(run: Run, url: str) -> None:
    async def main() -> None:
        amq = AsyncBizzMQ(url)
        await amq.create_queue("q")
        await amq.close()
        await amq.close()
        for call in (amq.publish_message_to_queue("q", 1), amq.stats("q"), amq.__aenter__()):
            with pytest.raises(ClosedError):
                await call
        with pytest.raises(ClosedError):
            await amq.consume_message_from_queue("q", print)

    run(main())


def test_many_tasks_share_few_connections_in_turn(run: Run, mq: BizzMQ, url: str, redis: Redis) -> None:
    mq.create_queue("q")
    before = {client["id"] for client in redis.client_list()}

    async def main() -> tuple[list[str], int]:
        async with AsyncBizzMQ(url, max_connections=3) as amq:
            ids = await asyncio.gather(*[amq.publish_message_to_queue("q", number) for number in range(500)])
            return ids, len({client["id"] for client in redis.client_list()} - before)

    ids, connections = run(main())

    assert len(set(ids)) == 500
    assert connections == 3
    assert sorted(drained(mq)) == list(range(500))


def test_other_tasks_run_while_many_messages_are_encoded(run: Run, mq: BizzMQ, url: str) -> None:
    mq.create_queue("q")

    async def main() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with AsyncBizzMQ(url) as amq:
            counting = asyncio.ensure_future(count())
            await amq.publish_messages_to_queue("q", range(20_000))
            counting.cancel()
            return turns

    assert run(main()) >= 40
