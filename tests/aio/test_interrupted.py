"""Exceptions from signal handlers, at any instruction: the loop and the client go on, and no reply goes astray."""

from __future__ import annotations

import asyncio
from typing import Any, Iterator

import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ
from bizzmq.testing.layout import Keys
from tests.aio.test_cancellation import CALLS, OTHER, QUEUE, reported_ids
from tests.support.interrupts import Storm, seeded

LONGEST_S = 0.004
NAMES = [name for name in CALLS if name != "confirmed"]


@pytest.fixture
def storm() -> Iterator[Storm]:
    made = Storm(seeded())
    yield made
    made.close()


class Interrupted:
    """A loop whose calls are interrupted, as a program's main loop is that catches the exception and goes on."""

    def __init__(self, url: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda *_: None)  # an exception that struck the loop's own code
        self.amq = AsyncBizzMQ(url, max_connections=2)
        self.reported: list[str] = []
        self.run(self._prepare())

    async def _prepare(self) -> None:
        for queue in (QUEUE, OTHER):
            await self.amq.create_queue(queue)
        await self.amq.publish_messages_to_queue(OTHER, [1, 2, 3])

    def run(self, main: Any) -> Any:
        # An exception that strikes asyncio's own `stop` leaves the loop about to stop: one turn takes that back.
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()
        return self.loop.run_until_complete(main)

    def call(self, name: str) -> Any:
        errors: list[BaseException] = []

        async def call() -> Any:
            try:
                return await CALLS[name](self.amq)
            except BaseException as error:
                errors.append(error)
                raise

        result = None
        task = self.loop.create_task(call())
        try:
            result = self.loop.run_until_complete(task)
        finally:
            self.reported += reported_ids(result, errors)

    def check(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run(asyncio.wait(tasks))

        async def check() -> None:
            assert await self.amq.create_queue(OTHER) is False
            assert (await self.amq.stats(OTHER)).waiting == 3
            self.reported.append(await self.amq.publish_message_to_queue(QUEUE, "next"))

        self.run(check())

    def close(self) -> None:
        self.run(self.amq.close())
        self.loop.close()


# Nightly, and by hand: asyncio may lose a callback when an exception strikes its own code, and then waits for ever.
@pytest.mark.nightly
@pytest.mark.parametrize("interrupts", [50, 3000])
def test_a_loop_that_was_interrupted_at_any_instruction_goes_on(
    url: str, redis: Redis, storm: Storm, interrupts: int
) -> None:
    interrupted = Interrupted(url)
    count = turn = 0
    while count < interrupts:
        name = NAMES[turn % len(NAMES)]
        turn += 1
        assert turn < 20 * interrupts, "hardly any call is interrupted"
        count += storm.over(lambda: interrupted.call(name), LONGEST_S).was_interrupted  # noqa: B023 - called at once
        interrupted.check()
    interrupted.close()

    stored = {str(one) for one in redis.hkeys(Keys(QUEUE).messages)}
    assert len(interrupted.reported) == len(set(interrupted.reported))
    assert set(interrupted.reported) <= stored, "ids of messages that are not stored"
