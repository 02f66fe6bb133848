"""Replays of many dead letters: what is moved, how fast, and by how many people at once."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, QueueOptions
from bizzmq.broker import scripts
from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.rates import Pace, checked_rate
from bizzmq.dead_letters.replay import Replay, replay_letter
from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys
from bizzmq.testing.proxy import Proxy
from tests.dead_letters.letters import bury, record
from tests.scripts.containers import look


@pytest.fixture
def queue(mq: BizzMQ) -> str:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))
    return "q"


def test_all_are_replayed_from_all_places_and_shards(mq: BizzMQ, redis: Redis) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, shards=3))
    count = 0
    for shard in ("q", "q:1", "q:2"):
        for place in ("waiting", "parked", "prioritized", "delayed"):
            count += len(bury(redis, *(record() for _ in range(130)), queue=shard, place=place))

    assert mq.replay("q") == count

    counts = mq.stats("q")
    assert (counts.waiting, counts.dead_lettered, counts.unaccounted) == (count, 0, 0)
    assert mq.replay("q") == 0


def test_messages_that_fail_again_are_replayed_once(mq: BizzMQ, redis: Redis, queue: str) -> None:
    """A worker fails each replayed message at once, while the others are still being replayed."""
    bury(redis, *(record() for _ in range(400)))
    seen: list[int] = []

    def fail(body: Any) -> None:
        seen.append(body["n"])
        raise LookupError

    stop = mq.consume_message_from_queue(queue, fail)

    assert mq.replay(queue) == 400

    stop()
    mq.consume_until_empty(queue, fail)
    assert sorted(seen) == list(range(400))
    assert mq.stats(queue).dead_lettered == 400


def fail(body: Any) -> None:
    raise LookupError


def test_several_people_replay_each_letter_once(mq: BizzMQ, url: str, redis: Redis, queue: str) -> None:
    bury(redis, *(record("KeyError" if number % 3 else "ValueError") for number in range(600)))
    counts: list[int] = []

    def replay(**wanted: Any) -> None:
        with BizzMQ(url) as other:
            counts.append(other.replay(queue, **wanted))

    threads = [threading.Thread(target=replay, kwargs=one) for one in ({}, {}, {"error_type": "KeyError"})]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts) == mq.stats(queue).waiting == 600
    assert mq.stats(queue).replayed == 600
    invariants.check_one_place(redis, queue)


def test_lost_replies_change_no_count(redis: Redis, mq: BizzMQ, queue: str, proxy: Proxy) -> None:
    """The connection repeats a call whose reply was lost."""
    ids = bury(redis, *(record() for _ in range(8)))
    digest = scripts.load("replay").digest.encode()
    with BizzMQ(proxy.url) as other:
        assert other.replay(queue, ids[0]) == 1
        lost = [proxy.swallow_reply(nth, digest) for nth in (1, 3, 6)]

        assert other.replay(queue, ids[1]) == 1
        assert other.replay(queue, ids[2], body={}) == 1
        assert other.replay(queue) == 5

        for one in lost:
            one.wait()
    assert mq.stats(queue).replayed == mq.stats(queue).waiting == 8


def test_a_repetition_leaves_a_letter_that_has_failed_again(mq: BizzMQ, redis: Redis, queue: str) -> None:
    (one,) = bury(redis, record())
    replay = Replay(mq._execute(lambda broker: broker.keys(queue)), LetterFilter())
    mq._perform(replay.read_page)
    (letter,) = replay.letters
    assert mq._perform(replay_letter, letter, replay.nonce)
    mq.consume_until_empty(queue, fail)

    assert mq._perform(replay_letter, letter, replay.nonce)
    assert not mq._perform(replay_letter, letter, "another")

    assert look(redis, "q_dlq").waiting == (one,)


def test_a_letter_that_has_failed_again_since_it_was_read_stays(mq: BizzMQ, redis: Redis, queue: str) -> None:
    (one,) = bury(redis, record())
    replay = Replay(mq._execute(lambda broker: broker.keys(queue)), LetterFilter())
    mq._perform(replay.read_page)
    dead = Keys("q_dlq")
    redis.hset(dead.messages, one, redis.hget(dead.messages, one).replace("ValueError", "TypeError"))

    assert mq._perform(replay_letter, replay.letters[0]) is False

    assert look(redis, "q_dlq").waiting == (one,)
    assert mq.replay(queue, one) == 1


def test_one_letter_is_gone_after_it_was_purged(mq: BizzMQ, redis: Redis, queue: str) -> None:
    (one,) = bury(redis, record())
    mq.purge("q_dlq")

    assert mq.replay(queue, one) == 0
    assert mq.replay(queue, one, body={}) == 0


@pytest.mark.parametrize("rate", ["50/s", 50, "3000/m"])
def test_a_rate_is_kept(mq: BizzMQ, redis: Redis, queue: str, rate: Any) -> None:
    bury(redis, *(record() for _ in range(26)))
    started_s = time.monotonic()

    assert mq.replay(queue, rate=rate) == 26

    assert time.monotonic() - started_s >= 25 / 50 - 0.06


def test_a_pace_makes_up_for_no_outage() -> None:
    times_s = iter([0.0, 0.0, 0.1, 60.0, 60.0, 60.0])
    pace = Pace(10.0, lambda: next(times_s))

    assert [round(pace.wait_s(), 3) for _ in range(6)] == [0.0, 0.1, 0.1, 0.0, 0.05, 0.15]


@pytest.mark.parametrize("rate", ["", "10", "10/d", "0/s", "-1/s", "1e3/s", 0, -1, float("nan"), True, b"10/s"])
def test_a_wrong_rate_is_refused(mq: BizzMQ, redis: Redis, queue: str, rate: Any) -> None:
    bury(redis, record())

    with pytest.raises(ConfigurationError, match="rate must be"):
        mq.replay(queue, rate=rate)

    assert mq.stats(queue).dead_lettered == 1


def test_rates_are_numbers_in_a_second() -> None:
    assert [checked_rate(one) for one in ("10/s", "120/m", "7200/h", "0.5 / s", 3)] == [10.0, 2.0, 2.0, 0.5, 3.0]
    assert checked_rate(None) is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"message_id": "x", "task": "t"}, "not both"), ({"body": 1}, "change one dead letter"),
        ({"options": {}}, "change one dead letter"), ({"message_id": 7}, "message_id must be"),
    ],
)  # fmt: skip
def test_arguments_that_contradict_each_other_are_refused(mq: BizzMQ, queue: str, given: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        mq.replay(queue, **given)
