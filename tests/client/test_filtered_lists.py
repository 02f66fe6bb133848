"""Lists with filters, and lists that begin with the newest message."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from bizzmq import App, BizzMQ, ConfigurationError, MessageOptions, QueueOptions, StoredMessage
from bizzmq.admin import listing
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, refused, run
from tests.scripts.containers import put
from tests.scripts.moves import held

NO_BACKOFF = QueueOptions(config_dead_letter_queue=True, retry_backoff_s=60)


def every_page(mq: BizzMQ, state: str = "waiting", limit: int = 2, **filters: Any) -> list[StoredMessage]:
    found: list[StoredMessage] = []
    page = mq.messages("q", state, limit=limit, **filters)
    while True:
        assert len(page.messages) <= limit
        found += page.messages
        if page.next is None:
            return found
        page = mq.messages("q", state, limit=limit, after=page.next, **filters)


def ids(messages: Any) -> list[str]:
    return [message.id for message in messages]


@pytest.mark.parametrize("limit", [1, 2, 1000])
@pytest.mark.parametrize("state", ["waiting", "delayed", "processing", "dead_lettered"])
def test_newest_first_is_the_opposite_order(mq: BizzMQ, redis: Redis, state: str, limit: int) -> None:
    put(redis, "q", held("m1", "m2", waiting=tuple(f"w{n:02}" for n in range(25)), prioritized={"m5": 4, "m6": -4},
                         due=("m7",), delayed=("m8", "m81")))  # fmt: skip
    put(redis, "q_dlq", held("d1", worker="w2", workers={"w2": "s1"}, waiting=("d2", "d3"), parked=("d4", "d41"),
                             prioritized={"d5": 1}, delayed=("d6",)))  # fmt: skip
    redis.sadd("bizzmq:queues", "q")

    assert ids(every_page(mq, state, limit, newest_first=True)) == ids(every_page(mq, state, limit))[::-1]


def test_newest_first_goes_on_from_its_place_while_messages_come_and_go(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q")
    published = mq.publish_messages_to_queue("q", range(40))
    page = mq.messages("q", limit=10, newest_first=True)
    mq.publish_messages_to_queue("q", range(30))
    redis.rpop(Keys("q").waiting, 5)

    rest = mq.messages("q", limit=1000, after=page.next, newest_first=True)

    assert ids(page.messages) == published[:-11:-1]
    assert ids(rest.messages) == published[29:4:-1]
    with pytest.raises(ConfigurationError, match="after must be"):
        mq.messages("q", after=page.next)


def test_messages_are_found_by_task_key_age_and_error(mq: BizzMQ, url: str) -> None:
    mq.create_queue("q", NO_BACKOFF)
    app = App(url)

    def task(n: int) -> float:
        return 1 / n

    sent = app.task(task, name="a.task", queue="q")
    by_task = [sent.publish(n).id for n in range(3)]
    by_key = mq.publish_message_to_queue("q", "x", MessageOptions(key="tenant-7"))
    others = mq.publish_messages_to_queue("q", range(5))
    app.close()

    assert ids(every_page(mq, task="a.task")) == by_task
    assert ids(every_page(mq, key="tenant-7")) == [by_key]
    assert every_page(mq, task="other") == every_page(mq, key="tenant-8") == every_page(mq, older_s=3600) == []
    eventually(lambda: len(every_page(mq, older_s=timedelta(milliseconds=1))) == 9)

    def fail(body: Any) -> None:
        raise LookupError("no such picture" if body == 3 else "other")

    mq.delete("q", by_key)
    for message_id in by_task:
        mq.delete("q", message_id)
    stop = mq.consume_message_from_queue("q", fail)
    eventually(lambda: mq.stats("q").delayed == 5)
    stop()
    assert sorted(ids(every_page(mq, "delayed", error="LookupError"))) == sorted(others)
    assert ids(every_page(mq, "delayed", error="no such picture")) == [others[3]]
    assert every_page(mq, "delayed", error="ValueError") == []


def test_the_work_of_a_page_is_bounded(mq: BizzMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_SEARCHED", 300)
    mq.create_queue("q")
    published = mq.publish_messages_to_queue("q", range(1000))
    wanted = mq.publish_message_to_queue("q", 1, MessageOptions(key="k"))

    page = mq.messages("q", key="k")

    assert (page.messages, page.next is None) == ([], False)
    assert ids(every_page(mq, key="k", limit=10)) == [wanted]
    assert ids(every_page(mq, older_s=0.0, limit=1000)) == [*published, wanted]


@pytest.mark.parametrize("wrong", [
    {"task": 1}, {"key": None}, {"older_s": -1}, {"older_s": "5m"}, {"error": b"x"}, {"newest_first": "yes"},
])  # fmt: skip
def test_a_wrong_filter_is_refused(mq: BizzMQ, wrong: Any) -> None:
    mq.create_queue("q")

    with pytest.raises(ConfigurationError):
        mq.messages("q", **wrong)


def test_the_command_lists_with_filters(mq: BizzMQ, url: str) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))
    dead = mq.publish_messages_to_queue("q", ["a", "b"])
    mq.consume_until_empty("q", lambda body: {}[body], timeout_s=30)
    waiting = mq.publish_messages_to_queue("q", range(3))

    def listed(*words: str) -> list[str]:
        return ids_of(run(OPERATOR, "list", "q", *words, "--json", BIZZMQ_REDIS_URL=url).json())

    time.sleep(0.05)
    assert listed("--newest", "--limit=2") == waiting[:0:-1]
    assert listed("--state=dead", "--error=KeyError: 'b'") == [dead[1]]
    assert listed("--older=5m") == []
    assert listed("--older=0.01s") == waiting
    assert "is no time span" in refused(OPERATOR, "list", "q", "--older=soon", code=2, BIZZMQ_REDIS_URL=url)
    assert run(OPERATOR, "messages", "q", "--json", BIZZMQ_REDIS_URL=url).json() == json.loads(
        run(OPERATOR, "list", "q", "--json", BIZZMQ_REDIS_URL=url).out
    )


def ids_of(page: Any) -> list[str]:
    return [message["id"] for message in page["messages"]]
