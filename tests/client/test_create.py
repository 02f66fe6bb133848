"""Creating queues."""

from __future__ import annotations

from typing import Any, Callable, Dict

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, QueueNotFoundError, QueueOptions
from bizzmq.admin.stats import queue_names
from bizzmq.broker.broker import Broker
from tests.scripts.containers import everything
from tests.support.recording_handler import RecordingHandler

ALL_SET = QueueOptions(
    config_dead_letter_queue=True, max_retries=7, retry=2, retry_backoff_s=0.25, retry_backoff_max_s=9.0,
    timeout_s=1.5,
)  # fmt: skip
BAD_NAMES = ["", "a b", "a:b", "{q}", "*", "a\nb", "a\x00b", "é", "x" * 129, "_dlq", "q_dlq_dlq", "a/b", "q\n", None, 7]
USES: Dict[str, Callable[[BizzMQ, Any], Any]] = {
    "create": lambda mq, name: mq.create_queue(name, QueueOptions()),
    "publish": lambda mq, name: mq.publish_message_to_queue(name, 1),
    "consume": lambda mq, name: mq.consume_message_from_queue(name, print),
    "stats": lambda mq, name: mq.stats(name),
}
BAD_OPTIONS: list[dict[str, Any]] = [
    {"max_retries": -1}, {"retry": -1}, {"retry_backoff_s": -0.1}, {"retry_backoff_max_s": -1.0}, {"timeout_s": 0},
]  # fmt: skip
UNBOUNDED: list[dict[str, Any]] = [
    {"retry_backoff_s": float("nan")}, {"retry_backoff_s": float("inf"), "retry_backoff_max_s": float("inf")},
]  # fmt: skip


def test_a_queue_is_created_once(mq: BizzMQ) -> None:
    assert mq.create_queue("q", QueueOptions(max_retries=5))
    assert not mq.create_queue("q", QueueOptions(max_retries=9))


def test_a_second_create_changes_nothing(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q", ALL_SET)
    before = everything(redis)

    mq.create_queue("q", QueueOptions())

    assert everything(redis) == before


def test_options_are_optional(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q")

    assert broker.options("q") == QueueOptions()


def test_all_options_are_kept(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q", ALL_SET)

    assert broker.options("q") == ALL_SET


@pytest.mark.parametrize("yes", [1, True])
def test_1_and_true_both_mean_a_dead_letter_queue(mq: BizzMQ, broker: Broker, yes: Any) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=yes))

    assert broker.options("q").config_dead_letter_queue is True
    assert queue_names(broker) == ["q", "q_dlq"]
    assert mq.stats("q_dlq").waiting == 0


@pytest.mark.parametrize("no", [0, False])
def test_without_it_there_is_no_dead_letter_queue(mq: BizzMQ, broker: Broker, no: Any) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=no))

    assert queue_names(broker) == ["q"]
    with pytest.raises(QueueNotFoundError):
        mq.stats("q_dlq")


@pytest.mark.parametrize("queue_first", [True, False])
def test_a_dead_letter_queue_can_be_created_by_name_with_options_of_its_own(
    mq: BizzMQ, broker: Broker, queue_first: bool
) -> None:
    creations = [("q", QueueOptions(config_dead_letter_queue=True)), ("q_dlq", ALL_SET)]

    created = [mq.create_queue(*creation) for creation in (creations if queue_first else creations[::-1])]

    assert created == [True, True]
    assert not mq.create_queue("q_dlq", QueueOptions())
    assert broker.options("q_dlq") == ALL_SET


def test_a_dead_letter_queue_is_a_queue_like_any_other(mq: BizzMQ, queue: str) -> None:
    seen = RecordingHandler()
    message_id = mq.publish_message_to_queue("q_dlq", {"published": "directly"})

    stop = mq.consume_message_from_queue("q_dlq", seen)

    assert seen.wait(1) == [{"published": "directly"}]
    stop()
    assert seen.contexts[0].id == message_id
    assert (seen.contexts[0].queue, seen.contexts[0].error) == ("q_dlq", None)
    assert mq.stats("q_dlq").acked == 1


@pytest.mark.parametrize("name", ["q", "A-z_0.9", "x" * 128, "x" * 128 + "_dlq", "dlq", "a_dlqx"])
def test_a_name_of_letters_digits_and_three_signs_works(mq: BizzMQ, name: str) -> None:
    mq.create_queue(name)
    mq.publish_message_to_queue(name, 1)

    assert mq.stats(name).waiting == 1


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", BAD_NAMES)
def test_any_other_name_is_refused_and_leaves_nothing_behind(mq: BizzMQ, redis: Redis, name: Any, use: str) -> None:
    with pytest.raises(ConfigurationError):
        USES[use](mq, name)

    assert everything(redis) == {}


@pytest.mark.parametrize("options", [*BAD_OPTIONS, *UNBOUNDED], ids=str)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        QueueOptions(**options)
