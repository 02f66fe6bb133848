"""A cancelled call: the next one never gets a foreign reply, and no id is reported that is not stored."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Awaitable, Callable

import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, MessageOptions
from bizzmq.testing.layout import Keys
from bizzmq.testing.proxy import Proxy
from tests.aio.conftest import Run, new_loop, run_in
from tests.support.interrupts import seeded

QUEUE, OTHER = "cancelled", "other-queue"
CALLS: dict[str, Callable[[AsyncBizzMQ], Awaitable[Any]]] = {
    "one": lambda amq: amq.publish_message_to_queue(QUEUE, {"n": 1}),
    "many": lambda amq: amq.publish_messages_to_queue(QUEUE, range(1200)),
    "delayed": lambda amq: amq.publish_message_to_queue(QUEUE, 1, MessageOptions(delay_s=3600)),
    "prioritized": lambda amq: amq.publish_messages_to_queue(QUEUE, [1, 2], MessageOptions(priority=7)),
    "confirmed": lambda amq: amq.publish_message_to_queue(QUEUE, 1, MessageOptions(confirm="replicas:1")),
    "stats": lambda amq: amq.stats(OTHER),
    "create": lambda amq: amq.create_queue(OTHER),
    "show": lambda amq: amq.show_queue(OTHER),
    "queues": lambda amq: amq.queues(),
}
OFTEN = [name for name in CALLS if name not in ("confirmed", "many")]
LONGEST_S = 0.003


def reported_ids(result: Any, errors: list[BaseException]) -> list[str]:
    if errors:
        return list(getattr(errors[0], "published_ids", []))
    ids = [result] if isinstance(result, str) else result if isinstance(result, list) else []
    return [one for one in ids if isinstance(one, str)]


class Judge:
    """Cancels calls at random points, and checks what comes after each."""

    def __init__(self, amq: AsyncBizzMQ, rng: random.Random) -> None:
        self._amq = amq
        self._rng = rng
        self.reported: list[str] = []
        self.cancelled = 0

    async def strike(self, name: str) -> None:
        errors: list[BaseException] = []

        async def call() -> Any:
            try:
                return await CALLS[name](self._amq)
            except BaseException as error:
                errors.append(error)
                raise

        task = asyncio.ensure_future(call())
        if self._rng.random() < 0.5:
            await asyncio.wait({task}, timeout=self._rng.random() * LONGEST_S)
        else:
            for _ in range(self._rng.randrange(12)):
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        self.cancelled += task.cancelled()
        if not task.cancelled() and task.exception() is not None:
            raise task.exception()  # type: ignore[misc] - it is not None
        result = None if task.cancelled() else task.result()
        self.reported += reported_ids(result, errors)

    async def check(self) -> None:
        assert await self._amq.create_queue(OTHER) is False
        assert (await self._amq.stats(OTHER)).waiting == 3
        assert (await self._amq.show_queue(OTHER)).queue == OTHER
        self.reported.append(await self._amq.publish_message_to_queue(QUEUE, "next"))


@pytest.mark.parametrize("tasks", [1, 8])
def test_thousands_of_cancelled_calls_leave_every_connection_in_order(
    run: Run, url: str, redis: Redis, tasks: int
) -> None:
    rng = random.Random(seeded())

    async def main() -> Judge:
        async with AsyncBizzMQ(url, max_connections=3) as amq:
            for queue in (QUEUE, OTHER):
                await amq.create_queue(queue)
            await amq.publish_messages_to_queue(OTHER, [1, 2, 3])
            judge = Judge(amq, rng)

            async def work(share: int) -> None:
                for number in range(share):
                    name = rng.choice(list(CALLS) if number % 20 == 0 else OFTEN)
                    await judge.strike(name)
                    if number % 4 == 0:
                        await judge.check()

            await asyncio.gather(*[work(2000 // tasks) for _ in range(tasks)])
            return judge

    judge = run(main())

    stored = {str(one) for one in redis.hkeys(Keys(QUEUE).messages)}
    assert judge.cancelled > 300
    assert len(judge.reported) == len(set(judge.reported))
    assert set(judge.reported) <= stored, "ids of messages that are not stored"


@pytest.mark.parametrize("name", CALLS)
def test_a_call_may_be_cancelled_after_any_number_of_steps(url: str, redis: Redis, name: str) -> None:
    """Also while it opens its connection: each call gets a client of its own."""

    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            for queue in (QUEUE, OTHER):
                await amq.create_queue(queue)
            await amq.publish_messages_to_queue(OTHER, [1, 2, 3])
        for steps in range(60):
            amq = AsyncBizzMQ(url, max_connections=1)
            task = asyncio.ensure_future(CALLS[name](amq))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            judge = Judge(amq, random.Random(1))
            await judge.check()
            await amq.close()

    run_in(new_loop("asyncio"), main())


def test_a_time_limit_ends_a_call_that_a_silent_server_holds_up(run: Run, url: str, proxy: Proxy, redis: Redis) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(proxy.url, max_connections=1) as amq:
            await amq.create_queue(QUEUE)
            await amq.publish_message_to_queue(QUEUE, 1)
            proxy.stall(to_server=False)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(amq.publish_message_to_queue(QUEUE, 2), 0.1)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(amq.stats(QUEUE), 0.1)
            proxy.resume()
            assert (await amq.stats(QUEUE)).published == 2
            await amq.publish_message_to_queue(QUEUE, 3)

    run(main())
    assert redis.hlen(Keys(QUEUE).messages) == 3


def test_a_cancelled_publish_names_what_is_stored(run: Run, url: str, proxy: Proxy, redis: Redis) -> None:
    async def main() -> list[str]:
        async with AsyncBizzMQ(proxy.url) as amq:
            await amq.create_queue(QUEUE)
            await amq.publish_message_to_queue(QUEUE, 1)
            seen: list[BaseException] = []

            async def publish() -> None:
                try:
                    await amq.publish_messages_to_queue(QUEUE, range(5000))
                except BaseException as error:
                    seen.append(error)
                    raise

            replies = proxy.replies
            task = asyncio.ensure_future(publish())
            while proxy.replies < replies + 2:
                await asyncio.sleep(0)
            proxy.stall(to_client=True)
            await asyncio.wait({task}, timeout=0.2)
            task.cancel()
            await asyncio.wait({task})
            proxy.resume()
            return list(vars(seen[0])["published_ids"])

    ids = run(main())

    assert len(ids) % 500 == 0
    assert 0 < len(ids) < 5000
    assert set(ids) <= {str(one) for one in redis.hkeys(Keys(QUEUE).messages)}


def test_tasks_that_stop_waiting_for_a_connection_leave_it_to_others(run: Run, url: str, proxy: Proxy) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(proxy.url, max_connections=2) as amq:
            await amq.create_queue(QUEUE)
            proxy.stall()
            waiting = [asyncio.ensure_future(amq.stats(QUEUE)) for _ in range(20)]
            await asyncio.wait(set(waiting), timeout=0.05)
            for task in waiting[:15]:
                task.cancel()
            await asyncio.wait(set(waiting[:15]))
            proxy.resume()
            assert [(await task).published for task in waiting[15:]] == [0] * 5

    run(main())


def test_a_task_that_is_cancelled_as_it_gets_a_connection_passes_it_on(run: Run, url: str) -> None:
    async def main() -> None:
        async with AsyncBizzMQ(url, max_connections=1) as amq:
            await amq.create_queue(QUEUE)
            rng = random.Random(seeded())
            for _ in range(300):
                tasks = [asyncio.ensure_future(amq.stats(QUEUE)) for _ in range(4)]
                for _ in range(rng.randrange(20)):
                    await asyncio.sleep(0)
                tasks[0].add_done_callback(lambda _, next_one=tasks[1]: next_one.cancel())
                await asyncio.wait(set(tasks))
                assert [task.cancelled() for task in tasks[2:]] == [False, False]

    run(main())
