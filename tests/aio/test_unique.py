"""Unique and expiring messages, and limited queues, from asyncio."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq import App, AsyncBizzMQ, MessageOptions, QueueFullError, QueueOptions
from bizzmq.protocol.keys import QueueKeys
from tests.aio.conftest import Run


def test_keys_replacements_and_expiry(run: Run, url: str, redis: Redis) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url, signing_keys=[b"k" * 32]) as mq:
            await mq.create_queue("q")
            kept = MessageOptions(unique_key=str, expires_s=60)
            ids = await mq.publish_messages_to_queue("q", [1, 2, 1], kept)
            assert (len({*ids}), ids[2]) == (2, ids[0])
            last = MessageOptions(unique_key="1", on_duplicate="replace")
            assert await mq.publish_message_to_queue("q", 3, last) == ids[0]
            seen: list[int] = []
            assert await mq.consume_until_empty("q", seen.append, timeout_s=30) == 2
            assert seen == [3, 2]
            assert not redis.exists(QueueKeys("q").extras, QueueKeys("q").unique)

    run(main())


def test_a_limit_is_found_by_a_client_that_is_open(run: Run, url: str) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url) as mq:
            await mq.create_queue("q")
            await mq.publish_messages_to_queue("q", range(10))
            await mq.update_queue("q", {"max_length": 12})
            await mq.publish_messages_to_queue("q", range(2))
            with pytest.raises(QueueFullError):
                await mq.publish_message_to_queue("q", 1)
            await mq.update_queue("q", {"when_full": "drop-oldest"})
            await mq.publish_messages_to_queue("q", range(12))
            stats = await mq.stats("q")
            assert (stats.waiting, stats.dropped, stats.unaccounted) == (12, 12, 0)

    run(main())


def test_keys_over_shards_and_duplicate_handles(run: Run, url: str) -> None:
    async def main() -> None:
        app = App(url)

        @app.task(name="task", queue="s", unique_key=lambda arguments: str(arguments["n"]))
        def task(n: int) -> None:
            """Do nothing."""

        await app.aclient.create_queue("s", QueueOptions(shards=4))
        first = await task.apublish_many([(n,) for n in range(10)])
        again = await task.apublish_many([(n,) for n in range(11)])

        assert [one.id for one in again[:10]] == [one.id for one in first]
        assert [one.duplicate for one in again] == [True] * 10 + [False]
        assert (await task.apublish(3)).duplicate
        await app.aclose()

    run(main())
