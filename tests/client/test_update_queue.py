"""`update_queue` and `show_queue`: the given options change, the others stay, and both names and values are checked."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, DecodeError, QueueNotFoundError, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.testing.layout import Keys
from tests.scripts.containers import everything

ALL = QueueOptions(max_retries=7, retry=1, retry_backoff_s=2.0, retry_backoff_max_s=9.0, timeout_s=30.0)


def test_only_the_given_options_change(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q", ALL)

    done = mq.update_queue("q", {"max_retries": 5, "timeout_s": None})

    assert done.changed == {"max_retries": (7, 5), "timeout_s": (30.0, None)}
    assert broker.options("q") == QueueOptions(max_retries=5, retry=1, retry_backoff_s=2.0, retry_backoff_max_s=9.0)
    assert json.loads(json.dumps(done.as_dict())) == {
        "queue": "q",
        "changed": {"max_retries": {"before": 7, "now": 5}, "timeout_s": {"before": 30.0, "now": None}},
    }


def test_all_options_can_be_given(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q", QueueOptions(max_retries=7))

    done = mq.update_queue("q", ALL)

    assert broker.options("q") == ALL
    assert [*done.changed] == ["retry", "retry_backoff_s", "retry_backoff_max_s", "timeout_s"]


def test_options_that_are_stored_already_change_nothing(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q", ALL)
    before = everything(redis)

    assert mq.update_queue("q", ALL).changed == {}
    assert mq.update_queue("q", {}).changed == {}

    assert everything(redis) == before


def test_two_operators_who_change_different_options_at_once_lose_nothing(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q")

    def change(option: str) -> None:
        for value in range(1, 101):
            mq.update_queue("q", {option: value})

    threads = [threading.Thread(target=change, args=(name,)) for name in ("max_retries", "retry_backoff_s", "retry")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert broker.options("q") == QueueOptions(max_retries=100, retry_backoff_s=100.0, retry=100)


def test_implicit_options_are_chosen_by_an_update(mq: BizzMQ, broker: Broker) -> None:
    broker.create("q", QueueOptions(config_dead_letter_queue=True), implicit=True)

    mq.update_queue("q", {"max_retries": 5})

    assert broker.meta("q") == (QueueOptions(config_dead_letter_queue=True, max_retries=5), False)
    assert not mq.create_queue("q", QueueOptions(max_retries=9))
    assert broker.options("q").max_retries == 5


def test_a_dead_letter_queue_can_be_turned_on_and_off(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q")

    assert mq.update_queue("q", {"config_dead_letter_queue": True}).changed == {
        "config_dead_letter_queue": (False, True)
    }
    assert broker.meta("q_dlq") == (QueueOptions(), True)
    assert mq.show_queue("q").dead_letter_queue == "q_dlq"

    mq.update_queue("q", {"config_dead_letter_queue": False})
    assert not broker.options("q").config_dead_letter_queue
    assert broker.exists("q_dlq"), "its messages are still somebody's"


def test_a_dead_letter_queue_has_options_of_its_own(mq: BizzMQ, broker: Broker, redis: Redis) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))

    assert mq.update_queue("q_dlq", {"max_retries": 0}).changed == {"max_retries": (3, 0)}

    assert broker.meta("q_dlq") == (QueueOptions(max_retries=0), False)
    assert broker.options("q").max_retries == 3
    assert redis.hget(Keys("q_dlq").meta, "retry") == "0"


def test_all_shards_get_the_options(mq: BizzMQ, broker: Broker) -> None:
    mq.create_queue("q", QueueOptions(shards=3))

    mq.update_queue("q", {"max_retries": 5, "config_dead_letter_queue": True, "shards": 3})

    assert [broker.options(shard).max_retries for shard in broker.shards("q")] == [5, 5, 5]
    assert broker.options("q") == QueueOptions(max_retries=5, config_dead_letter_queue=True, shards=3)
    assert all(broker.exists(shard) for shard in broker.shards("q_dlq"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shards": 2}, "shards must be 3, the number that 'q' was created with, not 2"),
        (QueueOptions(max_retries=9), "shards must be 3"),
        ({"max_retries": -1}, "max_retries must be 0 or more, not -1"),
        ({"max_retries": True}, "max_retries must be an integer"),
        ({"max_retries": "5"}, "max_retries must be an integer"),
        ({"timeout_s": float("nan")}, "timeout_s must be more than 0"),
        ({"timeout_s": 0}, "timeout_s must be more than 0"),
        ({"retry_backoff_s": timedelta(days=50000)}, "retry_backoff_s must be between 0 and 100 years"),
        ({"retries": 5, "max_retries": 5}, "there is no option 'retries': use config_dead_letter_queue, max_retries"),
        ({5: 5}, "there is no option 5"),
        ({"\ud800": 5}, "there is no option"),
        (None, "options must be QueueOptions"),
        ([("max_retries", 5)], "options must be QueueOptions"),
        ("max_retries", "options must be QueueOptions"),
    ],
)
def test_what_cannot_be_changed_is_refused_before_anything_is(
    mq: BizzMQ, redis: Redis, options: Any, text: str
) -> None:
    mq.create_queue("q", QueueOptions(shards=3))
    before = everything(redis)

    with pytest.raises(ConfigurationError) as refused:
        mq.update_queue("q", options)

    assert text in str(refused.value)
    assert "\n" not in str(refused.value)
    assert everything(redis) == before


def test_a_shard_is_updated_with_its_queue_only(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(shards=3))

    with pytest.raises(ConfigurationError, match="'q:1' is the name of a shard: update 'q'"):
        mq.update_queue("q:1", {"max_retries": 5})


@pytest.mark.parametrize("call", ["update_queue", "show_queue"])
def test_a_queue_that_does_not_exist_is_not_created(mq: BizzMQ, redis: Redis, call: str) -> None:
    with pytest.raises(QueueNotFoundError):
        getattr(mq, call)("q", *[{"max_retries": 5}][: call == "update_queue"])

    assert everything(redis) == {}


def test_an_update_repairs_an_unreadable_option(mq: BizzMQ, broker: Broker, redis: Redis) -> None:
    mq.create_queue("q")
    redis.hset(Keys("q").meta, mapping={"max_retries": "many" * 50, "timeout_s": b"\xff"})

    done = mq.update_queue("q", {"max_retries": 5, "timeout_s": 5.0})

    assert done.changed == {"max_retries": (("many" * 50)[:80], 5), "timeout_s": ("\udcff", 5.0)}
    assert broker.options("q") == QueueOptions(max_retries=5, timeout_s=5.0)


def test_the_options_of_another_layout_stay(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q")
    redis.hset(Keys("q").meta, "layout", "2")
    before = everything(redis)

    with pytest.raises(DecodeError, match="another layout"):
        mq.update_queue("q", {"max_retries": 5})

    assert everything(redis) == before


def test_a_queue_is_shown_with_its_options(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, shards=2, timeout_s=5))

    shown = mq.show_queue("q")

    assert (shown.options, shown.is_implicit) == (
        QueueOptions(config_dead_letter_queue=True, shards=2, timeout_s=5.0),
        False,
    )
    assert (shown.shards, shown.dead_letter_queue) == (("q", "q:1"), "q_dlq")
    assert shown.created_at_s is not None
    assert abs(shown.created_at_s - redis.time()[0]) < 60
    assert json.loads(json.dumps(shown.as_dict()))["options"]["timeout_s"] == 5.0


def test_an_implicit_dead_letter_queue_has_no_time_of_creation(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))

    shown = mq.show_queue("q_dlq")

    assert (shown.is_implicit, shown.created_at_s, shown.dead_letter_queue) == (True, None, "")
    assert shown.as_dict()["created_at_s"] is None


@pytest.mark.parametrize("forged", ["", "x", "-1", "1e9", "9" * 15, "9" * 400, b"\xff"])
def test_a_forged_time_of_creation_is_unknown(mq: BizzMQ, redis: Redis, forged: Any) -> None:
    mq.create_queue("q")
    redis.hset(Keys("q").meta, "created_ms", forged)

    assert mq.show_queue("q").created_at_s is None


def test_all_queues_are_listed_with_their_counts(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("b", QueueOptions(config_dead_letter_queue=True))
    mq.create_queue("a")
    mq.publish_message_to_queue("a", 1)
    redis.hset(Keys("b").meta, "max_retries", "x")

    found = {one.queue: one for one in mq.queues()}

    assert [*found] == ["a", "b", "b_dlq"]
    assert found["a"].stats == mq.stats("a")
    assert found["b"].stats is None
    assert "max_retries" in found["b"].error
    assert found["b"].as_dict() == {"queue": "b", "error": found["b"].error}
    activity = found["a"].activity
    assert activity is not None
    assert found["a"].as_dict() == {"queue": "a", **mq.stats("a").as_dict(), **activity.as_dict()}
