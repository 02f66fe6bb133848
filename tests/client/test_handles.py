"""Handles: the results of published tasks, one at a time and many together, in threads and in asyncio."""

from __future__ import annotations

import asyncio
from typing import Any, Iterator

import pytest
from redis import Redis

from bizzmq import (
    App,
    BizzMQ,
    ConfigurationError,
    MessageOptions,
    ResultExpired,
    ResultNotKept,
    WrongTypeError,
    as_completed,
    async_as_completed,
    async_wait,
    wait,
)
from bizzmq.testing.layout import Keys

KEPT = MessageOptions(result_ttl_s=60)


@pytest.fixture
def tasks(url: str) -> Iterator[Any]:
    app = App(url, queue="q")

    @app.task(name="double", result_ttl_s=60)
    def double(number: int) -> int:
        return 2 * number

    @app.task(name="nothing")
    def nothing() -> None:
        return None

    class Tasks:
        pass

    found: Any = Tasks()
    found.app, found.double, found.nothing = app, double, nothing
    yield found
    app.close()


def test_a_handle_returns_the_result_of_its_message(mq: BizzMQ, q: str, tasks: Any) -> None:
    handle = tasks.double.publish(4)
    mq.consume_until_empty(q, tasks.app.dispatcher())

    assert handle.result(30) == 8
    assert handle.status().state == "succeeded"
    assert tasks.double.handle(handle.id).result() == 8
    assert tasks.app.handle(handle.id, queue=q).result() == 8
    with pytest.raises(ResultNotKept):
        tasks.nothing.publish().result()
    with pytest.raises(ConfigurationError):
        tasks.double.handle("x")
    with pytest.raises(TypeError, match=r"task.handle\(id\)"):
        __import__("pickle").dumps(handle)


def test_as_completed_yields_each_handle_once_in_the_order_of_their_ends(mq: BizzMQ, q: str, tasks: Any) -> None:
    last = tasks.double.using(delay_s=0.3).publish(0)
    handles = tasks.double.publish_many([(number,) for number in range(1500)])
    stop = mq.consume_message_from_queue(q, tasks.app.dispatcher())

    found = list(as_completed([last, *handles, *handles], timeout_s=60))

    stop()
    assert len(found) == 1501
    assert {one.id: one.result() for one in found} == {
        last.id: 0,
        **{one.id: 2 * number for number, one in enumerate(handles)},
    }


def test_wait_returns_the_first_or_all_and_what_is_left(mq: BizzMQ, q: str, tasks: Any) -> None:
    soon, late = tasks.double.publish(1), tasks.double.using(delay_s=3600).publish(2)
    stop = mq.consume_message_from_queue(q, tasks.app.dispatcher())

    assert wait([late, soon], "first", 60) == ([soon], [late])
    assert wait([late, soon], timeout_s=0.1) == ([soon], [late])
    assert wait([soon]) == ([soon], [])
    assert wait([]) == ([], [])
    stop()
    with pytest.raises(TimeoutError):
        list(as_completed([late], 0.05))
    mq.delete(q, late.id)
    assert wait([late, soon]) == ([late, soon], [])
    with pytest.raises(ResultExpired):
        late.result()


@pytest.mark.parametrize(
    "arguments",
    [(5,), (None,), ("x",), ([1],), ([], "any"), ([], None), ([], "all", -1), ([], "all", "x")],
    ids=str,
)
def test_wait_refuses_what_it_cannot_wait_for(arguments: Any) -> None:
    with pytest.raises(ConfigurationError):
        wait(*arguments)


def test_a_wait_that_is_given_up_leaves_the_client_usable(mq: BizzMQ, q: str, tasks: Any) -> None:
    handles = [tasks.double.using(delay_s=3600).publish(1), tasks.double.publish(2)]
    stop = mq.consume_message_from_queue(q, tasks.app.dispatcher())
    for handle in as_completed(handles, 60):
        assert handle.result() == 4
        break

    assert tasks.double.publish(3).result(30) == 6
    stop()


def test_one_key_of_the_wrong_type_ends_only_the_wait_for_its_message(
    mq: BizzMQ, redis: Redis, q: str, tasks: Any
) -> None:
    handles = tasks.double.publish_many([(number,) for number in range(20)])
    mq.consume_until_empty(q, tasks.app.dispatcher())
    broken = handles[7]
    for key in redis.keys(f"*result:{broken.id}") or [Keys(q).result(broken.id)]:
        redis.delete(key)
        redis.rpush(key, "x")

    done, rest = wait(handles, timeout_s=30)

    assert (len(done), rest) == (20, [])
    with pytest.raises(WrongTypeError):
        broken.result()
    assert [one.result() for one in handles if one is not broken] == [2 * n for n in range(20) if n != 7]


# --- a rolling deploy ----------------------------------------------------------------------------------------------


def test_a_handle_is_awaited_in_asyncio(mq: BizzMQ, q: str, tasks: Any) -> None:
    stop = mq.consume_message_from_queue(q, tasks.app.dispatcher())

    async def ask() -> None:
        handles = [await tasks.double.apublish(number) for number in range(20)]
        assert await asyncio.gather(*[one.aresult(30) for one in handles]) == [2 * number for number in range(20)]
        assert (await handles[0].astatus()).state == "succeeded"
        with pytest.raises(ResultNotKept):
            await (await tasks.nothing.apublish()).aresult()
        with pytest.raises(TimeoutError):
            await (await tasks.double.using(delay_s=3600).apublish(1)).aresult(0.05)
        await tasks.app.aclose()

    asyncio.run(ask())
    stop()


def test_many_handles_are_awaited_in_the_order_of_their_ends(mq: BizzMQ, url: str, q: str, tasks: Any) -> None:
    stop = mq.consume_message_from_queue(q, tasks.app.dispatcher())
    other = App(url)
    elsewhere = other.task(name=tasks.double.name, queue=q, result_ttl_s=60)(tasks.double.function)

    async def ask() -> None:
        last = await tasks.double.using(delay_s=0.3).apublish(0)
        handles = await tasks.double.apublish_many([(number,) for number in range(1200)])
        foreign = await elsewhere.apublish_many([(number,) for number in range(10)])

        found = [one async for one in async_as_completed([last, *handles, *foreign, *handles], timeout_s=60)]

        assert len(found) == len({one.id for one in found}) == 1211
        assert {one.id: await one.aresult() for one in handles} == {
            one.id: 2 * number for number, one in enumerate(handles)
        }
        assert [one async for one in async_as_completed([])] == []
        await tasks.app.aclose()
        await other.aclose()

    asyncio.run(ask())
    stop()


def test_async_wait_returns_the_first_or_all_and_what_is_left(mq: BizzMQ, q: str, tasks: Any) -> None:
    stop = mq.consume_message_from_queue(q, tasks.app.dispatcher())

    async def ask() -> None:
        soon, late = await tasks.double.apublish(1), await tasks.double.using(delay_s=3600).apublish(2)
        assert await async_wait([late, soon], "first", 60) == ([soon], [late])
        assert await async_wait([late, soon], timeout_s=0.1) == ([soon], [late])
        assert await async_wait([]) == ([], [])
        with pytest.raises(TimeoutError):
            [one async for one in async_as_completed([late], 0.05)]
        for wrong in [(5,), ([1],), ([], "any"), ([], "all", -1)]:
            with pytest.raises(ConfigurationError):
                await async_wait(*wrong)
        waiting = asyncio.ensure_future(async_wait([late]))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await (await tasks.double.apublish(3)).aresult(30) == 6
        await tasks.app.aclose()

    asyncio.run(ask())
    stop()
