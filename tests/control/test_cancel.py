"""Cancel, as a client and the command line do it, with consumers in the program's own process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import (
    App,
    AsyncBizzMQ,
    BizzMQ,
    ConfigurationError,
    MessageCancelled,
    MessageOptions,
    QueueNotFoundError,
    QueueOptions,
)
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, run
from tests.support.paths import ROOT

UNKNOWN = "0" * 20
KEPT = MessageOptions(result_ttl_s=60)


@pytest.fixture(params=[1, 3], ids=["one", "sharded"])
def q(mq: BizzMQ, request: pytest.FixtureRequest) -> str:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, shards=request.param, retry_backoff_s=0))
    return "q"


@pytest.fixture
def app(url: str, q: str) -> Iterator[App]:
    app = App(url, queue=q)
    yield app
    app.close()


def nothing_left(mq: BizzMQ, redis: Redis, cancelled: int, acked: int = 0) -> None:
    stats = mq.stats("q")
    assert (stats.cancelled, stats.acked, stats.unaccounted) == (cancelled, acked, 0)
    assert (stats.waiting, stats.delayed, stats.processing, stats.dead_lettered) == (0, 0, 0, 0)
    assert not [key for key in redis.keys("*") if key.endswith((":cancels", ":extras"))]


@pytest.mark.parametrize(
    "options",
    [KEPT, MessageOptions(result_ttl_s=60, priority=3), MessageOptions(result_ttl_s=60, delay_s=60)],
    ids=["waiting", "prioritized", "delayed"],
)
def test_a_message_that_does_not_run_ends_at_once(mq: BizzMQ, redis: Redis, q: str, options: MessageOptions) -> None:
    message = mq.publish_message_to_queue(q, 1, options)

    assert mq.cancel(message, by="ada", reason="not needed")

    status = mq.status(q, message)
    assert status.state == "cancelled"
    assert status.error is not None
    assert (status.error["by"], status.error["reason"]) == ("ada", "not needed")
    assert not mq.cancel(message)
    nothing_left(mq, redis, 1)


def test_who_waits_for_the_result_learns_who_has_cancelled_it_and_why(app: App) -> None:
    @app.task(name="work", result_ttl_s=60)
    def work() -> int:
        return 1

    handle = work.publish()
    assert handle.cancel(by="ada", reason="not needed")

    with pytest.raises(MessageCancelled, match=f"{handle.id} was cancelled by ada: not needed") as caught:
        handle.result(timeout_s=10)
    assert (caught.value.message_id, caught.value.by, caught.value.reason) == (handle.id, "ada", "not needed")
    assert not handle.cancel()


def test_a_message_that_never_was_or_has_ended_is_none_to_cancel(mq: BizzMQ, q: str) -> None:
    done = mq.publish_message_to_queue(q, 1)
    assert mq.consume_until_empty(q, lambda _body: None, timeout_s=30) == 1

    for message in (UNKNOWN, done, "no id of ours"):
        assert not mq.cancel(message)
        assert not mq.cancel(message, q)
    with pytest.raises(QueueNotFoundError):
        mq.cancel(UNKNOWN, "there_is_none")
    for wrong in ({"by": 5}, {"reason": "a\nb"}, {"by": "x" * 201}, {"reason": "x" * 1001}):
        with pytest.raises(ConfigurationError):
            mq.cancel(UNKNOWN, q, **wrong)  # type: ignore[arg-type]


def test_a_message_is_known_by_its_unique_key(mq: BizzMQ, redis: Redis, url: str, q: str) -> None:
    def published(**options: Any) -> str:
        return mq.publish_message_to_queue(q, 1, MessageOptions(unique_key="k", **options))

    first, throttled = published(delay_s=60), published(unique_for_s=60)
    assert mq.cancel(queue_name=q, unique_key="k", by="ada")
    assert (mq.status(q, first).state, mq.status(q, throttled).state) == ("unknown", "waiting")
    second = published()
    assert second != first, "the key is free"

    done = run(OPERATOR, "cancel", "--queue", q, "--unique-key", "k", BIZZMQ_REDIS_URL=url)
    assert done.lines() == ["1 message cancelled"]
    assert mq.status(q, second).state == "unknown"
    assert mq.cancel(queue_name=q, unique_key="k"), "the throttled one"
    for key in ("k", "other"):
        assert not mq.cancel(queue_name=q, unique_key=key)
    again = run(OPERATOR, "cancel", "--queue", q, "--unique-key", "k", BIZZMQ_REDIS_URL=url)
    assert (again.code, again.out) == (1, "")
    assert "q has no message with the unique key k that could be cancelled" in again.err
    nothing_left(mq, redis, 3)


def test_a_running_message_is_known_by_its_unique_key_in_asyncio(mq: BizzMQ, redis: Redis, url: str, q: str) -> None:
    started, seen = threading.Event(), []

    def handler(_body: Any) -> None:
        started.set()
        try:
            while True:
                time.sleep(0.01)
        except MessageCancelled as error:
            seen.append(error)
            raise

    async def cancel() -> bool:
        async with AsyncBizzMQ(url) as amq:
            return await amq.cancel(queue_name=q, unique_key="k", reason="late")

    mq.publish_message_to_queue(q, 1, MessageOptions(unique_key="k"))
    stop = mq.consume_message_from_queue(q, handler)
    assert started.wait(30)
    assert asyncio.run(cancel())
    eventually(lambda: mq.stats(q).cancelled == 1, 30)
    assert len(seen) == 1
    stop()
    nothing_left(mq, redis, 1)


def test_wrong_names_of_a_message_cancel_nothing(mq: BizzMQ, url: str, q: str) -> None:
    message = mq.publish_message_to_queue(q, 1, MessageOptions(unique_key="k"))
    for wrong in (
        {}, {"unique_key": "k"}, {"message_id": message, "queue_name": q, "unique_key": "k"},
        {"queue_name": "q_dlq", "unique_key": "k"}, {"queue_name": q, "unique_key": "k" * 513},
    ):  # fmt: skip
        with pytest.raises(ConfigurationError):
            mq.cancel(**wrong)  # type: ignore[arg-type]
    with pytest.raises(QueueNotFoundError):
        mq.cancel(queue_name="there_is_none", unique_key="k")
    for words in (
        ["--unique-key", "k"], [message, "--queue", q, "--unique-key", "k"],
        ["--queue", q, "--unique-key", "k", "--key", "a"], ["--queue", q, "--unique-key", "k" * 513], [""],
    ):  # fmt: skip
        assert run(OPERATOR, "cancel", *words, BIZZMQ_REDIS_URL=url).code == 2, words
    assert mq.status(q, message).state == "waiting"


def test_a_dead_letter_is_cancelled_only_if_its_queue_is_named(mq: BizzMQ, q: str) -> None:
    message = mq.publish_message_to_queue(q, 1, MessageOptions(retries=0))
    mq.consume_until_empty(q, lambda _body: ValueError("bad"), timeout_s=30)

    assert not mq.cancel(message)
    assert not mq.cancel(message, q)
    assert mq.cancel(message, f"{q}_dlq")
    assert (mq.stats(f"{q}_dlq").cancelled, mq.stats(f"{q}_dlq").unaccounted) == (1, 0)


def test_many_are_selected_by_task_and_key_in_pages(mq: BizzMQ, redis: Redis, app: App, q: str) -> None:
    @app.task(name="wanted")
    def wanted(number: int) -> None: ...

    @app.task(name="other")
    def other() -> None: ...

    wanted.using(key="a").publish_many([(number,) for number in range(230)])
    wanted.using(key="b", delay_s=60).publish(1)
    wanted.using(key="a", delay_s=60).publish(1)
    other.using(key="a", priority=7).publish()
    mq.publish_message_to_queue(q, 1)

    assert mq.cancel_all(q, task="wanted", key="b") == 1
    assert mq.cancel_all(q, task="wanted") == 231
    assert mq.cancel_all(q, key="a") == 1
    assert mq.cancel_all(q, key="a") == 0
    assert mq.cancel_all(q) == 1
    nothing_left(mq, redis, 234)
    with pytest.raises(ConfigurationError):
        mq.cancel_all(q, task="two words")


class Blocking:
    """A handler that runs Python code until it is interrupted, and says what has happened."""

    def __init__(self, then: Callable[[BaseException], Any]) -> None:
        self.started, self._then = threading.Event(), then

    def __call__(self, _body: Any, context: Any) -> Any:
        self.started.set()
        try:
            _run_for_a_minute()
        except MessageCancelled as error:
            if error.message_id != context.id:
                return "the cancel of another message"
            return self._then(error)


def _run_for_a_minute() -> None:
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        time.sleep(0.01)


def _again(error: BaseException) -> None:
    raise error


def _other(error: BaseException) -> None:
    raise ValueError("cleaning up has failed")


@pytest.mark.parametrize(("then", "state"), [(_again, "cancelled"), (lambda _: 5, "succeeded"), (_other, "cancelled")])
def test_a_running_handler_in_this_process_is_interrupted_within_a_second(
    mq: BizzMQ, redis: Redis, q: str, then: Callable[[BaseException], Any], state: str
) -> None:
    message = mq.publish_message_to_queue(q, 1, KEPT)
    handler = Blocking(then)
    stop = mq.consume_message_from_queue(q, handler)
    assert handler.started.wait(30)

    began_s = time.monotonic()
    assert mq.cancel(message)
    eventually(lambda: mq.status(q, message).state == state, 30)
    took_s = time.monotonic() - began_s
    handler.started.clear()
    after = mq.publish_message_to_queue(q, 2, KEPT)
    assert handler.started.wait(30)
    assert mq.cancel(after)
    stop()

    assert took_s < 20  # half a second, beside other processes; the handler would wait for a minute
    eventually(lambda: mq.status(q, after).state == state, 30)
    ended = 2 * (state == "cancelled")
    nothing_left(mq, redis, ended, 2 - ended)


TRACED = """if True:
    import sys, threading
    from bizzmq import BizzMQ
    from bizzmq.testing.wait import eventually
    from tests.control.test_cancel import Blocking, KEPT, _again

    handler = Blocking(_again)
    with BizzMQ(sys.argv[1]) as mq:
        message = mq.publish_message_to_queue("q", 1, KEPT)
        mq.consume_message_from_queue("q", handler)
        assert handler.started.wait(30)
        assert mq.cancel(message)
        eventually(lambda: mq.status("q", message).state == "cancelled", 30)

    def trace(frame, event, argument):
        frame.f_trace_opcodes = True
        return trace

    sys.settrace(trace)
    eventually(lambda: True)
    sys.settrace(None)
"""


def test_after_a_cancel_a_debugger_can_trace_the_process(mq: BizzMQ, url: str, q: str) -> None:
    """CPython 3.11 stands still there if it believes that an exception is pending."""
    ended = subprocess.run([sys.executable, "-c", TRACED, url], cwd=str(ROOT), timeout=60, check=False)

    assert ended.returncode == 0


@pytest.mark.parametrize("kind", ["await", "compute", "sync"])
def test_a_handler_beside_an_event_loop_is_interrupted(url: str, q: str, mq: BizzMQ, kind: str) -> None:
    cleaned: list[str] = []

    async def handler(_body: Any) -> None:
        started.set()
        try:
            if kind == "await":
                await asyncio.sleep(3600)
            while True:
                await asyncio.sleep(0)
        except MessageCancelled as error:
            cleaned.append(error.message_id)
            raise

    def plain(_body: Any) -> None:
        started.set()
        _run_for_a_minute()

    started = threading.Event()

    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            message = await amq.publish_message_to_queue(q, 1, KEPT)
            stop = await amq.consume_message_from_queue(q, plain if kind == "sync" else handler)
            while not started.is_set():
                await asyncio.sleep(0.01)
            assert await amq.cancel(message, by="ada")
            while (await amq.status(q, message)).state != "cancelled":
                await asyncio.sleep(0.02)
            await stop()
            assert cleaned == ([] if kind == "sync" else [message])

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_cancel_as_the_message_ends_lets_one_of_both_happen(mq: BizzMQ, redis: Redis, q: str) -> None:
    """Each message runs for about as long as it takes to find a request."""
    messages = [mq.publish_message_to_queue(q, number, KEPT) for number in range(12)]
    returned: list[int] = []

    def handler(body: int) -> int:
        end_s = time.monotonic() + 0.25 + 0.05 * body
        while time.monotonic() < end_s:
            pass
        returned.append(body)
        return body

    stop = mq.consume_message_from_queue(q, handler)
    for message in messages:
        eventually(lambda: mq.status(q, message).state != "waiting", 60)  # noqa: B023 - called at once
        mq.cancel(message, q)
        eventually(lambda: mq.status(q, message).state in ("cancelled", "succeeded"), 60)  # noqa: B023 - as above
    stop()

    succeeded = sum(mq.status(q, message).state == "succeeded" for message in messages)
    nothing_left(mq, redis, len(messages) - succeeded, succeeded)
    assert succeeded <= len(returned)


def test_only_its_own_cancel_ends_a_message(mq: BizzMQ, redis: Redis, app: App, q: str) -> None:
    @app.task(name="inner", result_ttl_s=60)
    def inner() -> int:
        return 1

    handle = inner.publish()
    handle.cancel()

    def outer(_body: Any) -> None:
        handle.result(timeout_s=30)

    message = mq.publish_message_to_queue(q, 1, MessageOptions(retries=0))
    mq.consume_until_empty(q, outer, timeout_s=30)

    assert mq.status(q, message).state == "dead_lettered"


def test_the_command_cancels_one_or_many(mq: BizzMQ, redis: Redis, url: str, q: str) -> None:
    one, *_ = [mq.publish_message_to_queue(q, n, MessageOptions(key="a", result_ttl_s=60)) for n in range(3)]

    def bizzmq(*words: str) -> Any:
        return run(OPERATOR, "cancel", *words, BIZZMQ_REDIS_URL=url)

    assert bizzmq(one, "--by", "ada", "--reason", "a test").lines() == ["1 message cancelled"]
    status = mq.status(q, one)
    assert status.error is not None
    assert (status.state, status.error["by"], status.error["reason"]) == ("cancelled", "ada", "a test")
    missing = bizzmq(one)
    assert (missing.code, missing.out) == (1, "")
    assert f"message {one} cannot be cancelled: " in missing.err
    unsure = bizzmq("--queue", q)
    assert (unsure.code, unsure.out) == (2, "")
    assert "add --yes" in unsure.err
    for words in ((), (one, "--queue", q, "--task", "x"), ("--queue", q, "--task", "x y"), ("--task", "x")):
        refused = bizzmq(*words)
        assert (refused.code, refused.out) == (2, ""), words
        assert len(refused.err.strip().splitlines()) <= 4
    assert bizzmq("--queue", q, "--key", "b", "--yes").lines() == ["0 messages cancelled"]
    assert bizzmq("--queue", q, "--key", "a", "--yes").lines() == ["2 messages cancelled"]
    assert redis.exists(Keys("q").messages) == 0
