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
