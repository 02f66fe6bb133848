"""A program whose event loop is interrupted at any instruction: `python -m tests.aio.interrupted_loop URL CALLS SEED`.

It prints the ids of all messages that were reported as stored, then `done`. It never ends if asyncio has lost a
callback: an exception may strike asyncio's own code between taking a callback from a queue and calling it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from bizzmq import AsyncBizzMQ
from tests.aio.test_cancellation import CALLS, OTHER, QUEUE, reported_ids
from tests.support.interrupts import Storm

LONGEST_S = 0.004
NAMES = [name for name in CALLS if name != "confirmed"]


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
        """Run a coroutine or a task to its end.

        An exception that strikes asyncio's own `stop` leaves the loop about to stop, also twice: then it runs again.
        """
        task = asyncio.ensure_future(main, loop=self.loop)
        while True:
            try:
                return self.loop.run_until_complete(task)
            except RuntimeError:
                if task.done():
                    raise

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
            result = self.run(task)
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


def main(url: str, interrupts: int, seed: int) -> None:
    storm, interrupted = Storm(seed), Interrupted(url)
    count = turn = 0
    while count < interrupts:
        name = NAMES[turn % len(NAMES)]
        turn += 1
        assert turn < 20 * interrupts, "hardly any call is interrupted"
        count += storm.over(lambda: interrupted.call(name), LONGEST_S).was_interrupted  # noqa: B023 - called at once
        interrupted.check()
        print(*interrupted.reported, flush=True)  # noqa: T201 - for the test
        interrupted.reported.clear()
    storm.close()
    interrupted.close()
    print("done")  # noqa: T201 - for the test


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
