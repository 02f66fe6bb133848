"""A delayed message runs now: by the client, by asyncio, and by the command line."""

from __future__ import annotations

import asyncio
from typing import Any, Callable

import pytest

from bizzmq import AsyncBizzMQ, BizzMQ, ConfigurationError, MessageOptions, QueueNotFoundError, QueueOptions
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, run

LATER = MessageOptions(delay_s=3600)


@pytest.fixture(params=[1, 3], ids=["one", "sharded"])
def q(mq: BizzMQ, request: pytest.FixtureRequest) -> str:
    options = QueueOptions(
        config_dead_letter_queue=True, shards=request.param, retry_backoff_s=3600, retry_backoff_max_s=3600,
        history=True,
    )  # fmt: skip
    mq.create_queue("q", options)
    return "q"


def by_client(url: str, message_id: str, queue: str | None) -> bool:
    with BizzMQ(url) as mq:
        return mq.retry(message_id, queue)


def by_asyncio(url: str, message_id: str, queue: str | None) -> bool:
    async def retry() -> bool:
        async with AsyncBizzMQ(url) as amq:
            return await amq.retry(message_id, queue)

    return asyncio.run(retry())


def by_command(url: str, message_id: str, queue: str | None) -> bool:
    ended = run(OPERATOR, "retry", message_id, *(["--queue", queue] if queue else []), BIZZMQ_REDIS_URL=url)
    assert ended.code in (0, 1)
    assert ("1 message waits now" in ended.out + ended.err) == (ended.code == 0)
    return ended.code == 0


@pytest.mark.parametrize("queue", ["q", None], ids=["named", "searched"])
@pytest.mark.parametrize("retry", [by_client, by_asyncio, by_command])
def test_a_delayed_message_waits_now_and_only_once(
    url: str, mq: BizzMQ, q: str, retry: Callable[..., bool], queue: str | None
) -> None:
    message = mq.publish_message_to_queue(q, 1, LATER)

    assert retry(url, message, queue)
    assert not retry(url, message, queue)

    stats = mq.stats(q)
    assert (stats.waiting, stats.delayed, stats.unaccounted) == (1, 0, 0)
    assert mq.history(message, q).entries[-1].event == "promoted"


def test_an_idle_worker_runs_it_at_once_and_its_attempts_stay(mq: BizzMQ, q: str) -> None:
    tried: list[Any] = []

    def fail_once(body: Any) -> None:
        tried.append(body)
        if len(tried) == 1:
            raise ValueError("not yet")

    stop = mq.consume_message_from_queue(q, fail_once)
    message = mq.publish_message_to_queue(q, "m")
    eventually(lambda: mq.stats(q).delayed == 1, 30)

    assert mq.retry(message)

    eventually(lambda: mq.stats(q).acked == 1, 30)  # and not in an hour
    stop()
    assert tried == ["m", "m"]
    assert mq.stats(q).retried == 1


def test_what_cannot_be_retried_says_why(url: str, mq: BizzMQ, q: str) -> None:
    waiting = mq.publish_message_to_queue(q, 1)

    assert not mq.retry(waiting, q)
    assert not mq.retry("0" * 20)
    with pytest.raises(QueueNotFoundError):
        mq.retry(waiting, "none")
    with pytest.raises(ConfigurationError):
        mq.retry(7, q)  # type: ignore[arg-type]
    ended = run(OPERATOR, "retry", waiting, BIZZMQ_REDIS_URL=url)
    assert ended.code == 1
    assert f"message {waiting} is not delayed: " in ended.err
