"""The pool of an event loop: fair, limited, and nothing is lost with a task that stops waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bizzmq.aio.pool import AsyncPool
from bizzmq.errors import ClosedError, ConnectionLimitError
from tests.aio.conftest import Run


class Thing:
    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_tasks_get_objects_in_the_order_in_which_they_came(run: Run) -> None:
    async def main() -> list[int]:
        pool, order = AsyncPool(Thing, limit=2), []

        async def use(number: int) -> None:
            thing = await pool.acquire()
            order.append(number)
            await asyncio.sleep(0)
            pool.release(thing)

        await asyncio.gather(*map(use, range(50)))
        return order

    assert run(main()) == list(range(50))


def test_an_object_that_is_not_given_back_in_time_is_not_waited_for(run: Run) -> None:
    async def main() -> None:
        pool = AsyncPool(Thing, limit=1, patience_s=0.05)
        held = await pool.acquire()
        results = await asyncio.gather(*[pool.acquire() for _ in range(3)], return_exceptions=True)
        assert [type(one) for one in results] == [ConnectionLimitError] * 3
        pool.release(held)
        assert await pool.acquire() is held

    run(main())


def test_a_long_line_of_tasks_is_no_failure_as_long_as_it_moves(run: Run) -> None:
    async def main() -> int:
        pool, done = AsyncPool(Thing, limit=1, patience_s=1.0), 0

        async def use() -> None:
            nonlocal done
            thing = await pool.acquire()
            await asyncio.sleep(0.03)
            pool.release(thing)
            done += 1

        await asyncio.gather(*[use() for _ in range(60)])
        return done

    assert run(main()) == 60


def test_a_closed_pool_fails_those_that_wait_and_closes_what_comes_back(run: Run) -> None:
    async def main() -> None:
        pool = AsyncPool(Thing, limit=1)
        held = await pool.acquire()
        waiting = asyncio.ensure_future(pool.acquire())
        await asyncio.sleep(0)
        pool.close()
        with pytest.raises(ClosedError):
            await waiting
        with pytest.raises(ClosedError):
            await pool.acquire()
        pool.release(held)
        assert held.is_closed

    run(main())


def test_a_discarded_object_makes_room_for_a_task_that_waits(run: Run) -> None:
    async def main() -> None:
        pool = AsyncPool(Thing, limit=1)
        held = await pool.acquire()
        waiting = asyncio.ensure_future(pool.acquire())
        await asyncio.sleep(0)
        pool.discard(held)
        other = await waiting
        assert (held.is_closed, other is held) == (True, False)
        pool.release(other)
        assert await pool.acquire() is other

    run(main())


def test_an_object_that_was_idle_for_long_is_closed(run: Run) -> None:
    async def main() -> list[Any]:
        pool = AsyncPool(Thing, limit=3, idle_s=0.02)
        things = [await pool.acquire() for _ in range(3)]
        for thing in things:
            pool.release(thing)
        await asyncio.sleep(0.05)
        for _ in range(3):
            pool.release(await pool.acquire())
        return things

    assert [thing.is_closed for thing in run(main())] == [True, True, False]


def test_an_object_that_its_task_has_lost_is_replaced(run: Run) -> None:
    async def main() -> None:
        pool = AsyncPool(Thing, limit=1, patience_s=0.05)
        await pool.acquire()
        lost = await pool.acquire()
        waiting = [asyncio.ensure_future(pool.acquire()) for _ in range(2)]
        await asyncio.sleep(0)
        lost.myself, lost = lost, None
        del lost
        await asyncio.wait(set(waiting), return_when=asyncio.FIRST_COMPLETED)
        assert waiting[0].result().is_closed is False
        with pytest.raises(ConnectionLimitError):
            await waiting[1]

    run(main())


def test_every_object_survives_tasks_that_are_cancelled_at_any_moment(run: Run) -> None:
    async def main() -> None:
        pool = AsyncPool(Thing, limit=2)
        busy = 0

        async def use() -> None:
            nonlocal busy
            thing = await pool.acquire()
            busy += 1
            try:
                assert busy <= 2
                await asyncio.sleep(0)
            finally:
                busy -= 1
                pool.release(thing)

        for number in range(400):
            tasks = [asyncio.ensure_future(use()) for _ in range(6)]
            for _ in range(number % 7):
                await asyncio.sleep(0)
            for task in tasks[number % 3 :: 2]:
                task.cancel()
            await asyncio.wait(set(tasks))
        things = [await asyncio.wait_for(pool.acquire(), 5) for _ in range(2)]
        assert len(set(map(id, things))) == 2

    run(main())
