"""What operators do with stored messages, in Python: list, find, replay, delete and purge them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from redis import Redis

from bizzmq import (
    BizzMQ,
    ConfigurationError,
    DecodeError,
    MessageOptions,
    QueueNotFoundError,
    QueueOptions,
    StoredMessage,
)
from bizzmq.testing.layout import Keys
from tests.client.full_queue import full, ids
from tests.scripts.containers import NO_QUEUE, everything, look

__all__ = ["full"]


def every_page(mq: BizzMQ, queue: str, state: str, limit: int = 2) -> list[StoredMessage]:
    found: list[StoredMessage] = []
    page = mq.messages(queue, state, limit=limit)
    while True:
        assert len(page.messages) <= limit
        found += page.messages
        if page.next is None:
            return found
        page = mq.messages(queue, state, limit=limit, after=page.next)


@pytest.mark.parametrize("limit", [1, 2, 1000])
@pytest.mark.parametrize(
    ("queue", "state", "expected"),
    [
        ("q", "waiting", ["m5", "m3", "m4", "m6"]),
        ("q", "delayed", ["m7", "m8"]),
        ("q", "processing", ["m1", "m2"]),
        ("q", "dead_lettered", ["d2", "d3", "d4", "d5", "d6"]),
        ("q_dlq", "dead_lettered", ["d2", "d3", "d4", "d5", "d6"]),
        ("q_dlq", "processing", ["d1"]),
    ],
)
def test_messages_of_each_state_are_listed_in_their_order(
    mq: BizzMQ, full: Redis, queue: str, state: str, expected: list[str], limit: int
) -> None:
    before = everything(full)

    found = every_page(mq, queue, state, limit)

    assert ids(found) == expected
    assert {message.state for message in found} == {state}
    assert everything(full) == before


def test_a_message_is_listed_with_all_that_is_known_about_it(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q")
    now_s = time.time()
    options = MessageOptions(priority=7, retries=5, timeout_s=9, delay_s=60, headers={"tenant": "a"})
    message_id = mq.publish_message_to_queue("q", {"n": [1, None]}, options)

    (found,) = mq.messages("q", "delayed").messages

    assert (found.id, found.queue, found.state, found.place) == (message_id, "q", "delayed", "delayed")
    assert (found.body, found.priority, found.worker, found.problem) == ({"n": [1, None]}, 7, "", "")
    assert found.message is not None
    assert (found.message.retries, found.message.timeout_s) == (5, 9.0)
    assert found.due_at_s == pytest.approx(now_s + 60, abs=30)
    assert found.published_at_s == pytest.approx(now_s, abs=30)
    assert (found.retry_count, found.crash_count, found.delivery, found.last_crash) == (0, 0, 0, None)
    document = json.loads(json.dumps(found.as_dict()))
    assert document["body"] == {"n": [1, None]}
    assert (document["retries"], document["timeout_s"], document["headers"]) == (5, 9.0, {"tenant": "a"})
    assert mq.find(message_id) == found


def test_attempts_are_listed_and_unreadable_ones_count_as_none(mq: BizzMQ, full: Redis) -> None:
    found = {message.id: message for message in mq.messages("q").messages}

    assert (found["m3"].retry_count, found["m3"].crash_count, found["m3"].delivery) == (2, 1, 3)
    assert found["m3"].last_crash == {"error": "crash"}
    assert (found["m5"].retry_count, found["m5"].delivery) == (0, 0)


def test_a_listing_goes_over_all_shards(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(shards=3))
    published = mq.publish_messages_to_queue("q", range(700))

    found = every_page(mq, "q", "waiting", 100)

    assert sorted(ids(found)) == sorted(published)
    assert [message.queue for message in found] == sorted(message.queue for message in found)
    assert {message.queue for message in found} == {"q", "q:1", "q:2"}


def test_an_unreadable_message_is_listed_with_its_problem(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q")
    redis.lpush(Keys("q").waiting, b"\xff\x00", "missing")
    redis.hset(Keys("q").messages, b"\xff\x00", b"9\tx")

    (found,) = mq.messages("q").messages

    assert (found.message, found.body, found.published_at_s) == (None, None, None)
    assert "unknown envelope header" in found.problem
    json.dumps(found.as_dict())
    assert mq.find(found.id) == found
    assert mq.delete("q", found.id)
    assert redis.lrange(Keys("q").waiting, 0, -1) == ["missing"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"state": "done"}, "state must be waiting, delayed, suspended, processing or dead_lettered, not 'done'"),
        ({"state": None}, "state must be"),
        ({"state": []}, "state must be"),
        ({"limit": 0}, "limit must be between 1 and 1000, not 0"),
        ({"limit": 1001}, "limit must be between 1 and 1000, not 1001"),
        ({"limit": True}, "limit must be an integer"),
        ({"after": "x"}, "after must be the `next` of a page of 'q' in the state waiting, not 'x'"),
        ({"after": ""}, "after must be"),
        ({"after": 5}, "after must be"),
        ({"after": b"x"}, "after must be"),
        ({"after": "\ud800"}, "after must be"),
        ({"after": "W10"}, "after must be"),
        ({"after": "W" * 100_000}, "after must be"),
    ],
)
def test_a_wrong_argument_of_a_listing_is_refused(mq: BizzMQ, arguments: Any, text: str) -> None:
    mq.create_queue("q")

    with pytest.raises(ConfigurationError) as refused:
        mq.messages("q", **arguments)

    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_cursor_belongs_to_its_listing(mq: BizzMQ) -> None:
    for queue in ("q", "other"):
        mq.create_queue(queue, QueueOptions(config_dead_letter_queue=True))
        mq.publish_messages_to_queue(queue, range(3))
        mq.publish_messages_to_queue(queue, range(3), MessageOptions(delay_s=60))
    after = mq.messages("q", limit=1).next

    for queue, state in (("other", "waiting"), ("q", "delayed"), ("q", "dead_lettered")):
        with pytest.raises(ConfigurationError, match="after must be"):
            mq.messages(queue, state, after=after)


def test_a_dead_letter_queue_has_no_waiting_messages(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))

    with pytest.raises(ConfigurationError, match="state must be dead_lettered or processing, not 'waiting'"):
        mq.messages("q_dlq")


@pytest.mark.parametrize("call", ["messages", "dead_letters", "replay", "purge"])
def test_a_queue_that_does_not_exist_is_an_error(mq: BizzMQ, redis: Redis, call: str) -> None:
    with pytest.raises(QueueNotFoundError):
        getattr(mq, call)("q")
    assert everything(redis) == {}


def test_a_queue_without_a_dead_letter_queue_has_no_dead_letters(mq: BizzMQ) -> None:
    mq.create_queue("q")

    for call in (mq.dead_letters, mq.replay):
        with pytest.raises(QueueNotFoundError, match="q_dlq"):
            call("q")


@pytest.mark.parametrize(
    ("message_id", "state", "place", "queue", "worker"),
    [
        ("m1", "processing", "processing", "q", "w1"),
        ("m3", "waiting", "waiting", "q", ""),
        ("m5", "waiting", "prioritized", "q", ""),
        ("m8", "delayed", "delayed", "q", ""),
        ("d1", "processing", "processing", "q_dlq", "w2"),
        ("d2", "dead_lettered", "", "q_dlq", ""),
        ("d4", "dead_lettered", "", "q_dlq", ""),
        ("d6", "dead_lettered", "delayed", "q_dlq", ""),
    ],
)
@pytest.mark.parametrize("within", [None, "q", "q_dlq"])
def test_a_message_is_found_wherever_it_is(
    mq: BizzMQ, full: Redis, within: str | None, message_id: str, state: str, place: str, queue: str, worker: str
) -> None:
    before = everything(full)

    found = mq.find(message_id, within)

    assert found is not None
    assert (found.id, found.state, found.place, found.queue, found.worker) == (message_id, state, place, queue, worker)
    assert found.body == f"body of {message_id}"
    assert everything(full) == before


def test_a_message_is_found_in_any_queue_and_shard(mq: BizzMQ) -> None:
    mq.create_queue("a")
    mq.create_queue("b", QueueOptions(shards=3))
    published = mq.publish_messages_to_queue("b", range(300))

    found = [mq.find(message_id) for message_id in published[::50]]

    assert [one.id for one in found if one] == published[::50]
    assert mq.find("0" * 20) is None
    assert mq.find(published[0], "a") is None


def test_a_broken_queue_hides_no_message_of_another_one(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("a")
    mq.create_queue("b")
    message_id = mq.publish_message_to_queue("b", 1)
    redis.hset(Keys("a").meta, "shards", "many")

    assert mq.find(message_id) is not None
    with pytest.raises(DecodeError, match="shards"):
        mq.find("0" * 20)


@pytest.mark.parametrize("message_id", [None, 5, b"x", [], "\ud800"])
@pytest.mark.parametrize("call", ["find", "delete", "replay"])
def test_an_id_is_a_text(mq: BizzMQ, call: str, message_id: Any) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    if (call, message_id) == ("replay", None):
        return  # all of them

    with pytest.raises(ConfigurationError, match="message_id must be"):
        getattr(mq, call)(*[message_id, "q"][:: 1 if call == "find" else -1])


@pytest.mark.parametrize("queue", [None, 5, "q/", ""])
@pytest.mark.parametrize(
    "call", ["messages", "dead_letters", "replay", "purge", "delete", "find", "show_queue", "update_queue"]
)
def test_the_name_of_a_queue_is_checked(mq: BizzMQ, call: str, queue: Any) -> None:
    if (call, queue) == ("find", None):
        return  # all queues
    more = {"delete": ["m"], "update_queue": [{}]}.get(call, [])

    with pytest.raises(ConfigurationError, match="queue"):
        getattr(mq, call)(*(["m", queue] if call == "find" else [queue, *more]))


def test_a_closed_client_does_none_of_it(url: str) -> None:
    mq = BizzMQ(url)
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    mq.close()

    for call in ("messages", "dead_letters", "replay", "purge", "show_queue"):
        with pytest.raises(Exception, match="closed"):
            getattr(mq, call)("q")
    with pytest.raises(Exception, match="closed"):
        mq.queues()


def test_no_queue_is_created_by_a_look(mq: BizzMQ, redis: Redis) -> None:
    assert mq.queues() == []
    assert mq.find("x") is None
    assert look(redis, "q") == NO_QUEUE
