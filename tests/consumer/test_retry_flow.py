"""The outcome of a message whose handler fails."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Callable, Dict

import pytest
from redis import Redis

from bizzmq import BizzMQ, Context, MessageOptions, QueueOptions, Reject, RetryLater
from bizzmq.admin.dead_letters import dead_letters
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.testing.layout import envelope_of
from bizzmq.testing.wait import eventually
from tests.scripts.containers import look
from tests.support.recording_handler import RecordingHandler, at_rest, fail


def raise_it(error: BaseException) -> None:
    raise error


OUTCOMES: Dict[str, Callable[[Any, Context], Any]] = {
    "ValueError": lambda _body, _context: raise_it(ValueError("x")),
    "ValueError returned": lambda _body, _context: ValueError("x"),
    "SystemExit": lambda _body, _context: sys.exit(0),
    "KeyboardInterrupt": lambda _body, _context: raise_it(KeyboardInterrupt()),
    "BaseException": lambda _body, _context: raise_it(BaseException("bare")),
    "RetryLater": lambda _body, _context: raise_it(RetryLater(0)),
    "CancelledError": lambda _body, _context: raise_it(asyncio.CancelledError()),
}


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot be rendered")


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_failing_message_is_retried_then_dead_lettered_and_the_consumer_lives(
    mq: BizzMQ, broker: Broker, queue: str, name: str
) -> None:
    seen = RecordingHandler(lambda body, context: None if body == "good" else OUTCOMES[name](body, context))
    mq.publish_messages_to_queue("q", ["bad", "good"])

    mq.consume_message_from_queue("q", seen)

    eventually(lambda: at_rest(mq, "q") and mq.stats("q").acked == 1)
    assert sorted(seen.bodies) == ["bad"] * 3 + ["good"]
    assert [c.retry_count for b, c in zip(seen.bodies, seen.contexts) if b == "bad"] == [0, 1, 2]
    assert [c.delivery for b, c in zip(seen.bodies, seen.contexts) if b == "bad"] == [1, 2, 3]
    stats = mq.stats("q")
    assert (stats.retried, stats.dead_lettered, stats.discarded) == (2, 1, 0)
    (letter,) = dead_letters(broker, "q", 0, 10)
    assert letter.error["error_type"] == name.split(maxsplit=1)[0]


def test_a_dead_letter_keeps_everything_needed_to_understand_it(
    mq: BizzMQ, redis: Redis, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    message_id = mq.publish_message_to_queue("q", {"a": 1}, MessageOptions(priority=7, retries=1, timeout_s=9.5))

    mq.consume_message_from_queue("q", fail)

    eventually(lambda: mq.stats("q").dead_lettered == 1)
    stored = envelope_of(redis, "q_dlq", message_id)
    assert stored.body == {"a": 1}
    assert stored.options == {"priority": 7, "retries": 1, "timeout_s": 9.5}
    error = dict(stored.error or {})
    assert error.pop("traceback").startswith("Traceback (most recent call last)")
    assert error.pop("failed_at").endswith("Z")
    assert error.pop("worker").startswith(error["host"])
    assert error.pop("host")
    assert error == {
        "error_type": "ValueError", "error": "cannot handle {'a': 1}", "queue": "q", "retry_count": 1, "delivery": 2,
    }  # fmt: skip
    messages = [record.msg[:] for record in caplog.records if record.levelname != "INFO"]
    assert messages == ["message failed, will be retried", "message failed, dead-lettered"]


@pytest.mark.parametrize(("retries", "runs"), [(0, 1), (1, 2), (4, 5)])
def test_a_message_s_own_retries_override_the_queue_s(mq: BizzMQ, queue: str, retries: int, runs: int) -> None:
    seen = RecordingHandler(fail)
    mq.publish_message_to_queue("q", 1, MessageOptions(retries=retries))

    mq.consume_message_from_queue("q", seen)

    eventually(lambda: mq.stats("q").dead_lettered == 1)
    assert len(seen.bodies) == runs


def test_without_a_dead_letter_queue_it_is_discarded_counted_and_logged(
    mq: BizzMQ, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    mq.create_queue("plain", QueueOptions(max_retries=1, retry_backoff_s=0))
    mq.publish_message_to_queue("plain", 1)

    mq.consume_message_from_queue("plain", fail)

    eventually(lambda: mq.stats("plain").discarded == 1)
    assert look(redis, "plain").ids() == look(redis, "plain_dlq").ids() == set()
    assert look(redis, "plain").attempts == {}
    assert "message failed, discarded" in [record.msg[:] for record in caplog.records]


def test_by_default_the_first_retry_comes_after_about_half_a_second(
    mq: BizzMQ, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    mq.create_queue("slow")
    published = mq.publish_message_to_queue("slow", 1)
    stop = mq.consume_message_from_queue("slow", RecordingHandler(fail))

    eventually(lambda: mq.stats("slow").delayed == 1)
    stop()  # on a slow machine it may have been retried meanwhile

    ((message_id, due_ms),) = redis.zrange("bizzmq:{slow}:delayed", 0, -1, withscores=True)
    assert message_id == published
    assert due_ms - int(message_id[:13], 16) / 1000 >= 250
    first_delay_s = float(caplog.text.partition("delay_s=")[2].split()[0])
    assert 0.25 <= first_delay_s <= 0.5
    (attempts,) = look(redis, "slow").attempts.values()
    assert attempts.endswith(" 0 0 0\t\t!ValueError: cannot handle 1")


def test_a_handler_chooses_when_to_be_retried(mq: BizzMQ, redis: Redis, queue: str) -> None:
    seen = RecordingHandler(lambda _body, _context: raise_it(RetryLater(3600, "busy")))
    message_id = mq.publish_message_to_queue("q", 1)

    mq.consume_message_from_queue("q", seen)

    eventually(lambda: mq.stats("q").delayed == 1)
    due_ms = redis.zscore("bizzmq:{q}:delayed", message_id)
    assert due_ms is not None
    assert 3_600_000 <= due_ms - int(message_id[:13], 16) / 1000 <= 3_605_000


@pytest.mark.parametrize("delay_s", ["soon", None, float("inf"), float("nan"), -1, 1e300, [1]], ids=repr)
def test_an_invalid_delay_ends_neither_message_nor_consumer(mq: BizzMQ, queue: str, delay_s: Any) -> None:
    seen = RecordingHandler(lambda body, _context: raise_it(RetryLater(delay_s)) if body == "bad" else None)
    mq.publish_messages_to_queue("q", ["bad", "good"])

    mq.consume_message_from_queue("q", seen)

    eventually(lambda: mq.stats("q").acked == 1, 30.0)
    stats = mq.stats("q")
    assert stats.retried + stats.dead_lettered >= 1


def test_a_rejected_message_is_never_retried(mq: BizzMQ, broker: Broker, queue: str) -> None:
    mq.publish_message_to_queue("q", 1)

    mq.consume_message_from_queue("q", lambda _body: Reject("not for us"))

    eventually(lambda: mq.stats("q").dead_lettered == 1)
    assert mq.stats("q").retried == 0
    assert dead_letters(broker, "q", 0, 1)[0].error["error"] == "not for us"


@pytest.mark.parametrize(
    "error",
    [UnprintableError(), ValueError("x" * 100_000), ValueError("a\x00\ud800\n\x1b[31m")],
    ids=["no", "huge", "odd"],
)
def test_an_error_that_is_hard_to_render_counts_like_any_other(
    mq: BizzMQ, broker: Broker, queue: str, error: Exception
) -> None:
    mq.publish_message_to_queue("q", 1, MessageOptions(retries=0))

    mq.consume_message_from_queue("q", lambda _body: error)

    eventually(lambda: mq.stats("q").dead_lettered == 1)
    (letter,) = dead_letters(broker, "q", 0, 1)
    assert letter.error["error_type"] == type(error).__name__
    assert len(letter.envelope) < 50_000


def test_a_message_that_killed_its_workers_is_kept_without_a_dead_letter_queue_too(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("plain")
    mq.publish_message_to_queue("plain", "killer")
    broker.register("plain", "s1", "w1")
    message_id = broker.claim("plain", "w1", 1).entries[0][0].decode()

    broker.requeue("plain", "w1", DeadWorker("crash", running=message_id, crash_limit=1, record=b'{"error":"SIGSEGV"}'))

    assert mq.stats("plain").dead_lettered == 1
    seen = RecordingHandler()
    mq.consume_message_from_queue("plain_dlq", seen)
    assert seen.wait(1) == ["killer"]
    assert seen.contexts[0].error == {"error": "SIGSEGV"}
