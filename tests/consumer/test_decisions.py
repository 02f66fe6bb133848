"""Pure decisions, without Redis or a clock: the outcome of an attempt, the size of a claim, the wait in an outage."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from bizzmq import QueueOptions, Reject, RetryLater
from bizzmq.connection.retry import FIRST_S, LONGEST_S, Outage
from bizzmq.consumer.prefetch import BUDGET_S, OVERDUE_S, AdaptivePrefetch
from bizzmq.consumer.retry_decision import Ack, Discard, MoveToDeadLetters, Retry, backoff_s, settle
from bizzmq.errors import DecodeError
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.error_record import TEXT_LIMIT, crash_record, error_record, shorten

ERROR = ValueError("x")
PLAIN = QueueOptions(max_retries=2, retry_backoff_s=1.0, retry_backoff_max_s=10.0)
DEAD = QueueOptions(config_dead_letter_queue=True, max_retries=2)


def after(retries: int) -> Attempts:
    return Attempts(retries=retries, crashes=1, requeues=2, priority=3)


@pytest.mark.parametrize(
    ("error", "retries", "own", "options", "fate"),
    [
        (None, 9, 0, PLAIN, Ack()),
        (ERROR, 0, None, PLAIN, Retry(0.5, after(1))),
        (ERROR, 1, None, PLAIN, Retry(1.0, after(2))),
        (ERROR, 2, None, PLAIN, Discard()),
        (ERROR, 2, None, DEAD, MoveToDeadLetters()),
        (ERROR, 99, None, DEAD, MoveToDeadLetters()),
        (ERROR, 0, 0, DEAD, MoveToDeadLetters()),
        (ERROR, 2, 5, DEAD, Retry(1.0, after(3))),
        (Reject("no"), 0, None, DEAD, MoveToDeadLetters()),
        (Reject("no"), 0, 9, PLAIN, Discard()),
        (RetryLater(7), 0, None, PLAIN, Retry(7.0, after(1))),
        (RetryLater(-7), 0, None, PLAIN, Retry(0.0, after(1))),
        (RetryLater(7), 2, None, DEAD, MoveToDeadLetters()),
        (KeyboardInterrupt(), 2, None, PLAIN, Discard()),
    ],
)
def test_the_outcome_of_an_attempt(
    error: BaseException | None, retries: int, own: int | None, options: QueueOptions, fate: Any
) -> None:
    assert settle(error, after(retries), own, options, jitter=0.0) == fate


def test_a_dead_letter_queue_never_discards() -> None:
    for error in (ERROR, Reject("no"), SystemExit()):
        assert settle(error, after(2), None, PLAIN, is_dead_letter_queue=True) == MoveToDeadLetters()


def test_the_back_off_doubles_up_to_its_limit_and_is_spread_by_a_half() -> None:
    assert [backoff_s(PLAIN, count, 1.0) for count in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert [backoff_s(PLAIN, count, 0.0) for count in (0, 4, 10**9)] == [0.5, 5.0, 5.0]
    default = QueueOptions()
    assert (backoff_s(default, 0, 1.0), backoff_s(default, 100, 1.0)) == (0.5, 300.0)
    assert backoff_s(QueueOptions(retry_backoff_s=0), 5, 0.9) == 0.0


def test_a_record_holds_the_facts_for_a_person() -> None:
    try:
        raise ERROR
    except ValueError as error:
        record = json.loads(error_record(error, queue="q", worker="w", attempts=after(2)))

    assert {name: record[name] for name in ("error_type", "error", "queue", "retry_count", "worker")} == {
        "error_type": "ValueError", "error": "x", "queue": "q", "retry_count": 2, "worker": "w",
    }  # fmt: skip
    assert "raise ERROR" in record["traceback"]
    assert {"failed_at", "host", "delivery"} <= set(record)


def test_a_record_keeps_the_first_error_in_front() -> None:
    first = json.loads(error_record(ERROR, queue="q", worker="w", attempts=Attempts()))
    for number in range(3):
        record = json.loads(
            error_record(KeyError(number), queue="q_dlq", worker="v", attempts=Attempts(), previous=first)
        )
        assert {**record, "handler_error": None} == {**first, "handler_error": None}
        assert record["handler_error"]["error_type"] == "KeyError"
        assert "handler_error" not in record["handler_error"]
        first = record


def test_a_record_of_anything_is_one_line_of_bounded_size() -> None:
    for text in ("x" * 10**6, "\n\t\x00\ud800" * 10**5):
        record = error_record(ValueError(text), queue="q", worker="w", attempts=Attempts())
        assert b"\n" not in record
        assert b"\t" not in record
        assert len(json.loads(record)["error"]) < TEXT_LIMIT + 100
    crash = crash_record("died of SIGSEGV", {"crash_count": 3, "stack": "s" * 10**6}, queue="q", worker="w")
    assert json.loads(crash)["crash_count"] == 3
    assert len(json.loads(crash)["stack"]) < TEXT_LIMIT + 100


def test_a_failure_after_a_crash_names_the_crash() -> None:
    crash = crash_record("died of SIGSEGV", {"signal": "SIGSEGV"}, queue="q", worker="w").decode()
    attempts = Attempts(retries=1, crashes=1, last_crash=crash)
    assert Attempts.decode(attempts.encode().encode()) == attempts

    record = json.loads(error_record(ERROR, queue="q", worker="w", attempts=attempts))

    assert record["last_crash"]["signal"] == "SIGSEGV"


def test_attempts_with_an_empty_crash_record_are_invalid() -> None:
    """They could not be written back unchanged, and an outcome that does not repeat them exactly is refused."""
    with pytest.raises(DecodeError):
        Attempts.decode(b"0 0 0 0\t")


@pytest.mark.parametrize("forged", ["not JSON", "[]", "1e999", "{"])
def test_an_unreadable_crash_record_is_left_out(forged: str) -> None:
    record = json.loads(error_record(ERROR, queue="q", worker="w", attempts=Attempts(crashes=1, last_crash=forged)))

    assert "last_crash" not in record


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert shorten("x" * TEXT_LIMIT) == "x" * TEXT_LIMIT
    short = shorten("a" * TEXT_LIMIT + "z" * TEXT_LIMIT)
    assert short.startswith("aaa")
    assert short.endswith("zzz")
    assert f"{TEXT_LIMIT} characters left out" in short


def test_a_claim_starts_with_one_message_and_doubles_while_handlers_are_quick() -> None:
    size = AdaptivePrefetch(limit=64)
    sizes = [size.size]
    for _ in range(8):
        size.observe(size.size, 1e-6 * size.size)
        sizes.append(size.size)

    assert sizes == [1, 2, 4, 8, 16, 32, 64, 64, 64]


def test_a_claim_shrinks_at_once_to_the_budget() -> None:
    size = AdaptivePrefetch(limit=64)
    for _ in range(8):
        size.observe(size.size, 0.0)

    size.observe(10, BUDGET_S)
    assert size.size == 10
    size.observe(1, BUDGET_S)
    assert size.size == 1
    size.observe(1, 3600.0)
    assert size.size == 1
    size.observe(0, 0.0)
    assert size.size == 1


def test_a_claim_of_at_most_one_stays_one() -> None:
    size = AdaptivePrefetch(limit=1)
    size.observe(1, 0.0)

    assert size.size == 1
    assert size.longest_s == OVERDUE_S


def test_an_outage_and_its_end_are_logged_once_and_each_wait_is_longer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = Outage(logging.getLogger("bizzmq.test"), "w1")

    waits_s = [outage.failed(ConnectionError("gone")) for _ in range(20)]
    outage.over()
    outage.over()

    for number, wait_s in enumerate(waits_s):
        ceiling_s = min(LONGEST_S, FIRST_S * 2**number)
        assert ceiling_s / 2 <= wait_s <= ceiling_s
    assert [record.msg[:] for record in caplog.records] == [
        "Redis is unavailable, retrying",
        "Redis is available again",
    ]
    assert FIRST_S / 2 <= outage.failed(ConnectionError()) <= FIRST_S
