"""Stored messages are replayed, deleted and purged."""

from __future__ import annotations

import json
import threading

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageInUseError, MessageOptions, MessagePage, QueueOptions
from bizzmq.testing.wait import eventually
from tests.client.full_queue import full, ids
from tests.scripts.containers import Containers, everything, look, put
from tests.support.recording_handler import NO_BACKOFF, fail

__all__ = ["full"]

BOTH = pytest.mark.parametrize("name", ["q", "q_dlq"])


@pytest.fixture
def dead(mq: BizzMQ) -> list[str]:
    """Three dead letters of `q`, oldest first."""
    mq.create_queue("q", NO_BACKOFF)
    published = mq.publish_messages_to_queue("q", range(3), MessageOptions(retries=0, priority=2))
    stop = mq.consume_message_from_queue("q", fail)
    eventually(lambda: mq.stats("q").dead_lettered == 3)
    stop()
    return published


@BOTH
def test_dead_letters_are_listed_with_their_errors_in_pages(mq: BizzMQ, dead: list[str], name: str) -> None:
    first = mq.dead_letters(name, limit=2)
    second = mq.dead_letters(name, limit=2, after=first.next)

    assert (ids(first.messages), ids(second.messages), second.next) == (dead[:2], dead[2:], None)
    assert [message.error["error_type"] for message in first.messages] == ["ValueError"] * 2
    assert isinstance(first, MessagePage)
    assert json.loads(json.dumps(first.as_dict()))["next"] == first.next


@BOTH
def test_one_dead_letter_or_all_are_replayed(mq: BizzMQ, redis: Redis, dead: list[str], name: str) -> None:
    assert mq.replay(name, "0" * 20) == 0
    assert mq.replay(name, dead[1]) == 1
    assert mq.replay(name, dead[1]) == 0
    assert look(redis, "q").prioritized == {dead[1]: 2}

    assert mq.replay(name) == 2
    assert mq.replay(name) == 0

    assert list(look(redis, "q").prioritized) == [dead[1], dead[0], dead[2]]
    assert (mq.stats("q").replayed, mq.stats("q").unaccounted) == (3, 0)


def test_a_dead_letter_that_a_worker_holds_is_not_replayed(mq: BizzMQ, full: Redis) -> None:
    assert mq.replay("q", "d1") == 0
    assert mq.replay("q") == 5
    assert look(full, "q_dlq").ids() == {"d1"}


TABLE = {
    "a waiting one": ("q", "m3", True, "q"),
    "one of another priority": ("q", "m5", True, "q"),
    "a delayed one": ("q", "m8", True, "q"),
    "a dead letter, by its queue": ("q", "d2", True, "q_dlq"),
    "a parked one": ("q_dlq", "d4", True, "q_dlq"),
    "none of the queue, by its dead-letter queue": ("q_dlq", "m3", False, ""),
    "none that is not there": ("q", "m9", False, ""),
}


@pytest.mark.parametrize(("queue", "message_id", "deleted", "side"), TABLE.values(), ids=TABLE)
def test_a_message_that_no_worker_holds_is_deleted(
    mq: BizzMQ, full: Redis, queue: str, message_id: str, deleted: bool, side: str
) -> None:
    before = {name: look(full, name) for name in ("q", "q_dlq")}

    assert mq.delete(queue, message_id) is deleted

    after = {name: look(full, name) for name in ("q", "q_dlq")}
    for name, found in before.items():
        assert after[name].ids() == found.ids() - {message_id if side == name else ""}
        assert after[name].stats == ({"purged": 1} if side == name else {})
        assert message_id not in after[name].attempts or not deleted
    assert mq.delete(queue, message_id) is False


@pytest.mark.parametrize(("message_id", "worker", "queue"), [("m2", "w1", "q"), ("d1", "w2", "q_dlq")])
def test_a_message_that_a_worker_holds_is_not_deleted(
    mq: BizzMQ, full: Redis, message_id: str, worker: str, queue: str
) -> None:
    before = everything(full)

    with pytest.raises(MessageInUseError, match=f"the worker {worker} is processing it") as refused:
        mq.delete("q", message_id)

    assert (refused.value.message_id, refused.value.queue, refused.value.worker_id) == (message_id, queue, worker)
    assert everything(full) == before


def test_a_message_without_a_place_is_the_audits(mq: BizzMQ, redis: Redis) -> None:
    put(redis, "q", Containers(unplaced=("m1",)))

    with pytest.raises(MessageInUseError, match="see bizzmq audit"):
        mq.delete("q", "m1")


def test_a_deletion_beside_a_busy_worker_deletes_or_is_refused(mq: BizzMQ, url: str) -> None:
    """Each message is handled or deleted, never both."""
    mq.create_queue("q")
    handled: list[int] = []
    published = mq.publish_messages_to_queue("q", range(300))
    stop = mq.consume_message_from_queue("q", handled.append)
    deleted: list[int] = []

    def delete(numbers: range) -> None:
        with BizzMQ(url) as other:
            for number in numbers:
                try:
                    if other.delete("q", published[number]):
                        deleted.append(number)
                except MessageInUseError:
                    continue

    threads = [threading.Thread(target=delete, args=(range(299, 0, -step),)) for step in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: mq.stats("q").waiting == mq.stats("q").processing == 0)
    stop()

    assert sorted([*handled, *deleted]) == list(range(300))
    counts = mq.stats("q")
    assert (counts.acked, counts.purged, counts.unaccounted) == (len(handled), len(deleted), 0)


def test_a_purge_deletes_what_no_worker_holds(mq: BizzMQ, full: Redis) -> None:
    assert mq.purge("q") == 6
    assert mq.purge("q") == 0
    assert look(full, "q").ids() == {"m1", "m2"}
    assert look(full, "q_dlq").ids() == {"d1", "d2", "d3", "d4", "d5", "d6"}

    assert mq.purge("q_dlq") == 5
    assert look(full, "q_dlq").ids() == {"d1"}


def test_a_purge_deletes_the_messages_of_all_shards(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(shards=3))
    mq.publish_messages_to_queue("q", range(1000))
    mq.publish_messages_to_queue("q", range(500), MessageOptions(delay_s=60))

    assert mq.purge("q") == 1500
    assert mq.stats("q").waiting == mq.stats("q").delayed == 0
