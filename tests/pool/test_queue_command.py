"""`bizzmq queue update`, `show` and `list`."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.layout import Keys
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, refused
from tests.scripts.containers import everything, lasting
from tests.support.forked_command import bizzmq

SOON_S = 30.0


def test_an_update_changes_the_given_options_and_says_which(mq: BizzMQ, url: str) -> None:
    mq.create_queue("q", QueueOptions(max_retries=7, timeout_s=5))

    ended = bizzmq("queue", "update", "q", "--max-retries=5", "--no-timeout", "--dead-letter", REDIS_URL=url)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "q: --dead-letter is on, was off; --max-retries is 5, was 7; --timeout is no limit, was 5\n"
    assert mq.show_queue("q").options == QueueOptions(config_dead_letter_queue=True, max_retries=5)
    again = bizzmq("queue", "update", "q", "--max-retries=5", REDIS_URL=url)
    assert (again.code, again.out) == (0, "q has these options already\n")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["q"], 2, "name at least one option to change, for example --max-retries 5"),
        (["q", "--timeout=5", "--no-timeout"], 2, "--timeout and --no-timeout contradict each other"),
        (["q", "--shards=2"], 1, "--shards must be 1, the number that 'q' was created with, not 2"),
        (["q", "--timeout=nan"], 2, "not a finite number"),
        (["q", "--retry-backoff=1e300"], 1, "--retry-backoff must be between 0 and 100 years"),
        (["other", "--max-retries=5"], 1, "other"),
        (["q/", "--max-retries=5"], 1, "bad queue name 'q/'"),
    ],
)
def test_an_update_that_cannot_be_is_refused_in_one_line(
    mq: BizzMQ, url: str, redis: Redis, arguments: list[str], code: int, text: str
) -> None:
    mq.create_queue("q")
    before = everything(redis)

    ended = bizzmq("queue", "update", *arguments, REDIS_URL=url)

    assert ended.code in (code, 2)
    assert text in ended.err
    assert "Traceback" not in ended.err
    assert len(ended.err.splitlines()) == 1
    assert everything(redis) == before


def test_show_prints_the_options_that_are_stored(mq: BizzMQ, url: str) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, timeout_s=5, shards=2))

    shown = dict(line.split(maxsplit=1) for line in bizzmq("queue", "show", "q", REDIS_URL=url).lines())
    document = json.loads(bizzmq("queue", "show", "q", "--json", REDIS_URL=url).out)

    assert (shown["timeout"], shown["max-retries"], shown["shards"]) == ("5", "3", "2")
    assert (shown["dead-letter"], shown["dead-letter-queue"], shown["options-chosen"]) == ("on", "q_dlq", "yes")
    assert document == mq.show_queue("q").as_dict()


def test_list_prints_every_queue_and_those_that_are_unreadable(mq: BizzMQ, url: str, redis: Redis) -> None:
    mq.create_queue("a", QueueOptions(config_dead_letter_queue=True))
    mq.create_queue("b")
    redis.hset(Keys("b").meta, "retry", "\x1b[31m")

    ended = bizzmq("queue", "list", REDIS_URL=url)
    rows = json.loads(bizzmq("queue", "list", "--json", REDIS_URL=url).out)

    head, *lines = ended.lines()
    assert head.split()[:2] == ["queue", "max_retries"]
    assert [line.split()[0] for line in lines] == ["a", "a_dlq", "b"]
    assert [line.split()[-1] for line in lines] == ["yes", "no", "?"]
    assert ended.err.startswith("b: a queue's stored option retry is")
    assert "\x1b" not in ended.out + ended.err
    assert [("error" in row, row["queue"]) for row in rows] == [(False, "a"), (False, "a_dlq"), (True, "b")]


def test_a_queue_that_is_not_there_is_not_shown(url: str) -> None:
    assert "'q'" in refused(OPERATOR, "queue", "show", "q", code=1, REDIS_URL=url)


def test_a_running_pool_uses_new_options_soon(url: str, pool_factory: Callable[..., Pool], ledger: Any) -> None:
    """The time limit and the number of retries; the dead-letter queue is turned on."""
    pool = pool_factory(url)
    pool.wait_ready()
    with BizzMQ(url) as mq:
        mq.update_queue("q", {"config_dead_letter_queue": False, "retry_backoff_s": 0, "max_retries": 1})
        ledger.wait_handled(mq.publish_message_to_queue("q", {"do": "ok"}), timeout_s=SOON_S)

        mq.update_queue("q", {"config_dead_letter_queue": True, "timeout_s": 0.2, "max_retries": 0})

        def is_limited() -> bool:
            before = mq.stats("q").dead_lettered
            mq.publish_message_to_queue("q", {"do": "sleep", "sleep_s": 0.7})
            eventually(lambda: _is_at_rest(mq), SOON_S)
            return mq.stats("q").dead_lettered > before

        eventually(is_limited, SOON_S, pool.log)
        (letter,) = json.loads(bizzmq("dlq", "list", "q", "--limit=1", "--json", REDIS_URL=url).out)
        assert (letter["error_type"], letter["retry_count"]) == ("MessageTimeout", 0)


def test_a_running_pool_uses_a_new_back_off(url: str, pool_factory: Callable[..., Pool], ledger: Any) -> None:
    pool = pool_factory(url)
    pool.wait_ready()
    with BizzMQ(url) as mq:
        mq.update_queue("q", {"retry_backoff_s": 0, "max_retries": 1})
        ledger.wait_handled(mq.publish_message_to_queue("q", {"do": "ok"}), timeout_s=SOON_S)

        mq.update_queue("q", {"retry_backoff_s": 3600, "retry_backoff_max_s": 3600})

        def is_delayed() -> bool:
            before = mq.stats("q")
            mq.publish_message_to_queue("q", {"do": "fail"})
            eventually(lambda: _is_at_rest(mq), SOON_S)
            return mq.stats("q").delayed > before.delayed

        eventually(is_delayed, SOON_S, pool.log)


def _is_at_rest(mq: BizzMQ) -> bool:
    counts = mq.stats("q")
    return counts.waiting == counts.processing == 0


def test_an_empty_queue_is_deleted_without_a_question(mq: BizzMQ, url: str, redis: Redis) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, shards=2))

    assert bizzmq("queue", "delete", "q", REDIS_URL=url).lines() == ["q deleted"]

    assert lasting(redis) == set()
    assert "'q'" in refused(OPERATOR, "queue", "delete", "q", code=1, REDIS_URL=url)


def test_a_queue_with_messages_is_deleted_with_consent_only(mq: BizzMQ, url: str, redis: Redis) -> None:
    mq.create_queue("q")
    mq.publish_messages_to_queue("q", range(3))
    before = everything(redis)

    said = refused(OPERATOR, "queue", "delete", "q", code=1, REDIS_URL=url)
    assert "the queue 'q' has 3 messages, so it was not deleted; --with-messages deletes it" in said
    said = refused(OPERATOR, "queue", "delete", "q", "--with-messages", code=2, REDIS_URL=url)
    assert "this deletes the queue q with 3 messages and 0 dead letters for good" in said
    said = refused(OPERATOR, "queue", "delete", "q", "--yes", code=1, REDIS_URL=url)
    assert everything(redis) == before

    ended = bizzmq("queue", "delete", "q", "--with-messages", "--yes", REDIS_URL=url)

    assert ended.lines() == ["q deleted with 3 messages"]
    assert lasting(redis) == set()


def test_the_queue_of_a_running_pool_is_not_deleted(url: str, pool_factory: Callable[..., Pool]) -> None:
    pool = pool_factory(url)
    pool.wait_ready()

    said = refused(OPERATOR, "queue", "delete", "q", code=1, REDIS_URL=url)

    assert "registered workers" in said
