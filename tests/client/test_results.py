"""Results as a client reads them: values, failures, what is not kept, what is forged, and many waiters at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import (
    App,
    AsyncBizzMQ,
    BizzMQ,
    ClosedError,
    ConfigurationError,
    DecodeError,
    HandlerFailedError,
    MessageOptions,
    QueueNotFoundError,
    QueueOptions,
    ResultExpired,
    ResultNotKept,
    ResultTooLargeError,
    WrongTypeError,
    as_completed,
    async_as_completed,
    async_wait,
    wait,
)
from bizzmq.broker.broker import Broker
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually

KEPT = MessageOptions(result_ttl_s=60)
LATER = MessageOptions(result_ttl_s=60, delay_s=3600)
FOREIGN_ID = "0" * 13 + "a" * 7


def answer(body: Any) -> Any:
    if body == "bad":
        raise ValueError("bad luck")
    if body == "huge":
        return "x" * (1024 * 1024)
    return {"got": body}


@pytest.fixture(params=[1, 3], ids=["one", "sharded"])
def q(mq: BizzMQ, request: pytest.FixtureRequest) -> str:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0, shards=request.param))
    return "q"


@pytest.fixture
def working(mq: BizzMQ, q: str) -> Iterator[str]:
    """A queue whose messages are handled."""
    stop = mq.consume_message_from_queue(q, answer)
    yield q
    stop()


Read = Callable[..., Any]


def read_blocking(url: str, queue: str, message_id: str, timeout_s: float | None = 30) -> Any:
    with BizzMQ(url) as mq:
        return mq.result(queue, message_id, timeout_s)


def read_async(url: str, queue: str, message_id: str, timeout_s: float | None = 30) -> Any:
    async def read() -> Any:
        async with AsyncBizzMQ(url) as mq:
            return await mq.result(queue, message_id, timeout_s)

    return asyncio.run(read())


each_client = pytest.mark.parametrize("read", [read_blocking, read_async], ids=["blocking", "async"])


@each_client
def test_a_result_is_what_the_handler_has_returned(url: str, mq: BizzMQ, working: str, read: Read) -> None:
    for body in (5, None, [1, {"a": "ü"}]):
        message = mq.publish_message_to_queue(working, body, KEPT)

        assert read(url, working, message) == {"got": body}
        assert read(url, working, message) == {"got": body}, "a result is there for everybody"


@each_client
def test_a_failure_is_raised_with_its_error(url: str, mq: BizzMQ, working: str, read: Read) -> None:
    message = mq.publish_message_to_queue(working, "bad", KEPT)

    with pytest.raises(HandlerFailedError) as failed:
        read(url, working, message)

    error = failed.value
    assert (error.message_id, error.error_type, error.error) == (message, "ValueError", "bad luck")
    assert (error.state, error.retries) == ("dead_lettered", 0)
    assert "answer" in error.traceback


def test_a_failure_of_a_queue_without_dead_letters_is_raised_too(mq: BizzMQ) -> None:
    mq.create_queue("bare", QueueOptions(max_retries=0))
    message = mq.publish_message_to_queue("bare", "bad", KEPT)
    mq.consume_until_empty("bare", answer)

    with pytest.raises(HandlerFailedError, match="discarded: ValueError: bad luck"):
        mq.result("bare", message)


def test_a_result_that_is_too_large_is_a_failure(mq: BizzMQ, working: str) -> None:
    message = mq.publish_message_to_queue(working, "huge", KEPT)

    with pytest.raises(HandlerFailedError) as failed:
        mq.result(working, message, 30)

    assert failed.value.error_type == ResultTooLargeError.__name__


@each_client
def test_a_message_that_keeps_no_result_says_so_at_once(url: str, mq: BizzMQ, q: str, read: Read) -> None:
    message = mq.publish_message_to_queue(q, 1)

    with pytest.raises(ResultNotKept, match="result_ttl_s"):
        read(url, q, message, None)


@each_client
def test_a_message_that_is_gone_without_a_result_has_expired(url: str, mq: BizzMQ, q: str, read: Read) -> None:
    plain = mq.publish_message_to_queue(q, 1)
    mq.consume_until_empty(q, answer)

    for message in (plain, FOREIGN_ID):
        with pytest.raises(ResultExpired):
            read(url, q, message, None)


@each_client
def test_a_result_expires(url: str, mq: BizzMQ, redis: Redis, working: str, read: Read) -> None:
    message = mq.publish_message_to_queue(working, 1, MessageOptions(result_ttl_s=0.05))
    eventually(lambda: mq.stats(working).acked == 1)

    with pytest.raises(ResultExpired):
        eventually(lambda: read(url, working, message, 5) is None)


@each_client
def test_a_wait_ends_after_its_time(url: str, mq: BizzMQ, q: str, read: Read) -> None:
    message = mq.publish_message_to_queue(q, 1, LATER)

    for timeout_s in (0, 0.2):
        with pytest.raises(TimeoutError):
            read(url, q, message, timeout_s)


@each_client
@pytest.mark.usually(2)
def test_a_waiter_learns_that_its_message_was_deleted(url: str, mq: BizzMQ, q: str, read: Read) -> None:
    message = mq.publish_message_to_queue(q, 1, LATER)
    threading.Timer(0.2, lambda: mq.delete(q, message)).start()

    with pytest.raises(ResultExpired):
        read(url, q, message, None)


@each_client
@pytest.mark.parametrize(
    "text",
    [
        "", "x", "succeeded", "succeeded\t1\t2\t3", "succeeded\t1\t2\t3\n", "succeeded\t1\t2\t3\n{",
        "succeeded\t1\t2\n1", "succeeded\t1\t2\tx\n1", "succeeded\t-1\t2\t3\n1",
        f"succeeded\t{10**16}\t2\t3\n1", "running\t\t\t\n1",
        "dead_lettered\t\t\t\n7", "discarded\t\t\t\n[", "succeeded\t1\t2\t3\n" + "[" * 500,
    ],
    ids=repr,
)  # fmt: skip
def test_a_forged_result_is_refused(url: str, redis: Redis, mq: BizzMQ, q: str, read: Read, text: str) -> None:
    message = mq.publish_message_to_queue(q, 1, LATER)
    redis.set(Keys(q).result(message), text)

    with pytest.raises(DecodeError):
        read(url, q, message)


def test_a_forged_failure_with_odd_fields_is_still_a_failure(mq: BizzMQ, redis: Redis, q: str) -> None:
    message = mq.publish_message_to_queue(q, 1, LATER)
    record = '{"error_type":[1],"error":null,"retry_count":true,"delivery":"x"}'
    redis.set(Keys(q).result(message), f"dead_lettered\t\t\t\n{record}")

    with pytest.raises(HandlerFailedError) as failed:
        mq.result(q, message)

    assert (failed.value.error_type, failed.value.error, failed.value.retries) == ("unknown error", "", 0)
    assert mq.status(q, message).state == "dead_lettered"


@each_client
def test_a_result_of_the_wrong_type_is_named_once_the_message_has_ended(
    url: str, mq: BizzMQ, redis: Redis, q: str, read: Read
) -> None:
    message = mq.publish_message_to_queue(q, 1, LATER)
    key = Keys(q).result(message)
    redis.rpush(key, "x")
    with pytest.raises(TimeoutError):
        read(url, q, message, 0.1)
    mq.delete(q, message)

    with pytest.raises(WrongTypeError, match="string") as refused:
        read(url, q, message)

    assert refused.value.key == key


@each_client
@pytest.mark.parametrize("notice", ["", "x", "succeeded", "running\t1\t2\t3\n1", "\xff"])
def test_a_forged_notice_ends_no_wait(url: str, mq: BizzMQ, redis: Redis, q: str, read: Read, notice: str) -> None:
    message = mq.publish_message_to_queue(q, 1, LATER)
    keys = [Keys(shard).result(message) for shard in (q, f"{q}:1", f"{q}:2")]
    stop = threading.Event()

    def forge() -> None:
        while not stop.is_set():
            for key in keys:
                redis.publish(key, notice)
            time.sleep(0.001)

    forger = threading.Thread(target=forge)
    forger.start()
    try:
        with pytest.raises(TimeoutError):
            read(url, q, message, 0.3)
    finally:
        stop.set()
        forger.join()


@pytest.mark.parametrize("message_id", ["", "x", "x\n" * 10, 5, None, b"0" * 20, "0" * 19, "ü" * 20, "\ud800" * 20])
def test_an_id_that_publishing_never_returns_is_refused(mq: BizzMQ, q: str, message_id: Any) -> None:
    with pytest.raises(ConfigurationError):
        mq.result(q, message_id)


@pytest.mark.parametrize("timeout_s", [-1, float("nan"), "5", True, [1]])
def test_an_invalid_timeout_is_refused(mq: BizzMQ, q: str, timeout_s: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout_s"):
        mq.result(q, FOREIGN_ID, timeout_s)


def test_the_status_follows_a_message(mq: BizzMQ, q: str) -> None:
    release = threading.Event()
    delayed = mq.publish_message_to_queue(q, 1, LATER)
    message = mq.publish_message_to_queue(q, 2, KEPT)
    bad = mq.publish_message_to_queue(q, "bad", KEPT)
    assert mq.status(q, delayed).state == "delayed"
    assert mq.status(q, delayed).due_at_s == pytest.approx(time.time() + 3600, abs=60)
    assert mq.status(q, message).state == "waiting"
    assert mq.status(q, FOREIGN_ID).state == "unknown"

    stop = mq.consume_message_from_queue(q, lambda body: answer(body) if release.wait(30) else None)
    eventually(lambda: "processing" in {mq.status(q, message).state, mq.status(q, bad).state})
    release.set()
    mq.result(q, message, 30)
    with contextlib.suppress(HandlerFailedError):
        mq.result(q, bad, 30)
    stop()

    done, failed = mq.status(q, message), mq.status(q, bad)
    assert (done.state, done.delivery, done.error) == ("succeeded", 1, {})
    assert done.published_at_s is not None
    assert done.started_at_s is not None
    assert done.finished_at_s is not None
    assert done.started_at_s <= done.finished_at_s
    assert (failed.state, failed.delivery, failed.error["error_type"]) == ("dead_lettered", 1, "ValueError")
    with pytest.raises(QueueNotFoundError):
        mq.status("nowhere", message)


def test_many_threads_wait_without_keeping_a_publisher_waiting(url: str, q: str) -> None:
    with BizzMQ(url, max_connections=1) as mq:
        ids = mq.publish_messages_to_queue(q, range(30), KEPT)
        found: dict[str, Any] = {}
        threads = [threading.Thread(target=lambda one=one: found.update({one: mq.result(q, one, 60)})) for one in ids]
        for thread in threads:
            thread.start()

        mq.publish_message_to_queue(q, "more", KEPT)
        mq.consume_until_empty(q, answer)

        for thread in threads:
            thread.join(60)
        assert found == {one: {"got": number} for number, one in enumerate(ids)}


def test_a_forked_child_waits_by_itself(mq: BizzMQ, working: str) -> None:
    first = mq.publish_message_to_queue(working, 1, KEPT)
    mq.result(working, first, 30)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os._exit(0 if mq.result(working, first, 30) == {"got": 1} else 1)
        os._exit(2)

    assert mq.result(working, first, 30) == {"got": 1}
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Python closes a socket whose connect was interrupted
# An interrupt in the middle of the client library's connect leaves that socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_wait_leaves_the_client_usable(mq: BizzMQ, q: str) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def read_interrupted(after_s: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, after_s)
        mq.result(q, message)

    message = mq.publish_message_to_queue(q, 1, LATER)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for after_s in (0.001, 0.01, 0.1, 0.3):
            with pytest.raises(KeyboardInterrupt):
                read_interrupted(after_s)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    gc.collect()

    other = mq.publish_message_to_queue(q, 2, KEPT)
    stop = mq.consume_message_from_queue(q, answer)
    assert mq.result(q, other, 30) == {"got": 2}
    stop()


def test_a_closed_client_ends_its_waits(url: str, q: str) -> None:
    mq = BizzMQ(url)
    message = mq.publish_message_to_queue(q, 1, LATER)
    errors: list[BaseException] = []

    def read() -> None:
        try:
            mq.result(q, message)
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    mq.close()

    thread.join(30)
    assert [type(error) for error in errors] == [ClosedError]
    with pytest.raises(ClosedError):
        mq.result(q, message)


def test_cancelled_waits_leave_the_async_client_usable(url: str, mq: BizzMQ, working: str) -> None:
    delayed = mq.publish_message_to_queue(working, 1, LATER)

    async def cancel_many() -> None:
        async with AsyncBizzMQ(url) as amq:
            for number in range(30):
                waiting = asyncio.ensure_future(amq.result(working, delayed))
                await asyncio.sleep(number / 1000)
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
                message = await amq.publish_message_to_queue(working, number, KEPT)
                assert await amq.result(working, message, 30) == {"got": number}
            ids = [await amq.publish_message_to_queue(working, number, KEPT) for number in range(20)]
            found = await asyncio.gather(*[amq.result(working, one, 30) for one in ids])
            assert found == [{"got": number} for number in range(20)]

    asyncio.run(cancel_many())


# --- handles -------------------------------------------------------------------------------------------------------


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


@each_client
def test_an_ack_of_an_earlier_version_which_stores_no_result_ends_the_wait(
    url: str, mq: BizzMQ, broker: Broker, read: Read
) -> None:
    mq.create_queue("q")
    message = mq.publish_message_to_queue("q", 1, KEPT)
    broker.register("q", "s1", "w1")

    def ack() -> None:
        broker.claim("q", "w1", 1)
        broker.claim("q", "w1", 0, [message.encode()])

    threading.Timer(0.2, ack).start()
    began_s = time.monotonic()

    with pytest.raises(ResultExpired):
        read(url, "q", message, None)
    assert time.monotonic() - began_s < 20


# --- handles in asyncio --------------------------------------------------------------------------------------------


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
