"""Publishing from asyncio when replies, servers or keys are in trouble."""

from __future__ import annotations

import asyncio
from typing import Callable

import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, BizzMQ, BrokerFullError, BrokerUnavailableError, MessageOptions, NotConfirmedError
from bizzmq.aio.publisher import AsyncPublisher
from bizzmq.aio.threads import in_thread
from bizzmq.errors import WrongTypeError
from bizzmq.testing.layout import Keys
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from tests.aio.conftest import Run
from tests.support.drained import drained


def test_a_lost_reply_does_not_publish_twice(run: Run, mq: BizzMQ, proxy: Proxy) -> None:
    mq.create_queue("q")

    async def main() -> list[str]:
        async with AsyncBizzMQ(proxy.url) as amq:
            ids = [await amq.publish_message_to_queue("q", 1)]
            proxy.swallow_next_reply()
            ids.append(await amq.publish_message_to_queue("q", 2))
            proxy.swallow_reply(2)
            return ids + await amq.publish_messages_to_queue("q", range(1600))

    ids = run(main())

    assert len(set(ids)) == 1602
    assert drained(mq) == [1, 2, *range(1600)]


def test_a_lost_request_is_sent_again(run: Run, mq: BizzMQ, proxy: Proxy) -> None:
    mq.create_queue("q")

    async def main() -> int:
        async with AsyncBizzMQ(proxy.url) as amq:
            proxy.lose_request(2)
            return len(await amq.publish_messages_to_queue("q", range(1600)))

    assert run(main()) == 1600
    assert drained(mq) == list(range(1600))


def test_a_publish_waits_for_a_server_that_comes_back(run: Run, private_server: Callable[..., RedisServer]) -> None:
    server = private_server(persistence="aof")

    async def main() -> int:
        async with AsyncBizzMQ(server.url) as amq:
            await amq.create_queue("q")
            server.kill()
            publishing = asyncio.ensure_future(amq.publish_messages_to_queue("q", range(1200)))
            await asyncio.sleep(0)
            await in_thread(server.start)
            await publishing
            return (await amq.stats("q")).waiting

    assert run(main()) == 1200


def test_a_publish_gives_up_after_a_while(run: Run, mq: BizzMQ, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    mq.create_queue("q")
    monkeypatch.setattr(AsyncPublisher.__init__, "__kwdefaults__", {
        **AsyncPublisher.__init__.__kwdefaults__, "retry_for_s": 0.3})  # fmt: skip

    async def main() -> None:
        async with AsyncBizzMQ(proxy.url) as amq:
            await amq.publish_message_to_queue("q", 1)
            proxy.refuse()
            proxy.cut()
            with pytest.raises(BrokerUnavailableError) as failed:
                await amq.publish_messages_to_queue("q", range(1600))
            assert vars(failed.value)["published_ids"] == []

    run(main())


def test_a_full_server_refuses_and_loses_nothing(run: Run, private_server: Callable[..., RedisServer]) -> None:
    server = private_server()

    async def main() -> None:
        async with AsyncBizzMQ(server.url) as amq:
            await amq.create_queue("q")
            with server.client() as redis:
                redis.config_set("maxmemory-policy", "noeviction")
                redis.config_set("maxmemory", "1")
            with pytest.raises(BrokerFullError):
                await amq.publish_message_to_queue("q", 1)
            assert (await amq.stats("q")).published == 0

    run(main())


def test_a_confirmation_that_does_not_come_names_the_stored_messages(run: Run, mq: BizzMQ, url: str) -> None:
    mq.create_queue("q")

    async def main() -> list[str]:
        async with AsyncBizzMQ(url) as amq:
            with pytest.raises(NotConfirmedError) as unconfirmed:
                await amq.publish_messages_to_queue("q", [1, 2], MessageOptions(confirm="replicas:1"))
            return unconfirmed.value.message_ids

    assert len(run(main())) == 2
    assert drained(mq) == [1, 2]


def test_a_key_of_the_wrong_type_is_named(run: Run, mq: BizzMQ, url: str, redis: Redis) -> None:
    mq.create_queue("q")
    redis.set(Keys("q").waiting, "a text")

    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            for call in (amq.publish_message_to_queue("q", 1), amq.stats("q")):
                with pytest.raises(WrongTypeError) as wrong:
                    await call
                assert (wrong.value.key, wrong.value.found) == (Keys("q").waiting, "string")
            assert await amq.create_queue("q") is False

    run(main())
