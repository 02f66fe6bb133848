"""A program whose event loop is interrupted at any instruction: `python -m tests.aio.interrupted_loop URL CALLS SEED`.

After each turn it prints how many calls were interrupted since the last one, and the ids that were reported as stored.

An exception may strike asyncio's own code, between taking a callback from a queue and calling it. Then the loop
waits for ever. The program ends with LOST if that has happened: no callback is due, but a task waits for
something that is finished, or the loop for no task.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import time
from typing import Any

from bizzmq import AsyncBizzMQ
from tests.aio.test_cancellation import CALLS, OTHER, QUEUE, reported_ids
from tests.support.interrupts import Storm

LOST = 75
LONGEST_S = 0.004
_IDLE_S, _HUNG_S = 5.0, 60.0
"""How long a turn lasts until the loop is examined, and until it hangs in any case. No reply is awaited for longer."""
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


class Watchdog(threading.Thread):
    """Ends the program when its loop hangs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self._loop = loop
        self._turned_s = time.monotonic()
        self.start()

    def turned(self) -> None:
        """A turn has ended."""
        self._turned_s = time.monotonic()

    def run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # it has to interrupt the main thread
        looks = 0
        while True:
            time.sleep(1.0)
            idle_s = time.monotonic() - self._turned_s
            looks = looks + 1 if idle_s > _IDLE_S and self._has_lost_a_callback() else 0
            if looks == 2:
                os._exit(LOST)
            if idle_s > _HUNG_S:
                print(*asyncio.all_tasks(self._loop), sep="\n", file=sys.stderr)  # noqa: T201 - for the test
                faulthandler.dump_traceback()
                os._exit(1)

    def _has_lost_a_callback(self) -> bool:
        loop: Any = self._loop
        if loop._ready or not all(timer.cancelled() for timer in tuple(loop._scheduled)):
            return False
        waiters = [getattr(task, "_fut_waiter", None) for task in asyncio.all_tasks(loop)]
        return not waiters or any(waiter is None or waiter.done() for waiter in waiters)


def main(url: str, interrupts: int, seed: int) -> None:
    storm, interrupted = Storm(seed), Interrupted(url)
    watchdog = Watchdog(interrupted.loop)
    count = turn = 0
    while count < interrupts:
        name = NAMES[turn % len(NAMES)]
        turn += 1
        assert turn < 20 * interrupts, "hardly any call is interrupted"
        struck = storm.over(lambda: interrupted.call(name), LONGEST_S)  # noqa: B023 - called at once
        count += struck.was_interrupted
        interrupted.check()
        print(int(struck.was_interrupted), *interrupted.reported, flush=True)  # noqa: T201 - for the test
        interrupted.reported.clear()
        watchdog.turned()
    storm.close()
    interrupted.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
