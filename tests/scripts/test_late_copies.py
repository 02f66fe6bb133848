"""A request that the network delays and that executes late is harmless."""

from __future__ import annotations

from typing import Any, Callable, Dict

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import CheckedRequest, Terms, publish_checked_call
from bizzmq.broker.queues import Deletion
from bizzmq.broker.schedules import Fired
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.broker.workers import DeadWorker
from bizzmq.queue import QueueOptions
from bizzmq.testing.layout import Keys
from tests.scripts.containers import FRESH, Containers, everything, look, put
from tests.scripts.moves import QUEUE, claim_ids, held
from tests.scripts.table_schedules import DEFINITION, ONE, OTHER, occurrence, one, putting, removing
from tests.support import pipelined_publish

NEW, ONCE = "0 0 0 0", "1 0 0 0"


def publish(broker: Broker, publisher: str, request: int, *ids: str) -> None:
    entries: list[Any] = [part for name in ids for part in (name, b"1\n1")]
    broker.publish(QUEUE, publisher, request, 0, 0, entries)


def publish_behind(broker: Broker, request: int, before: int, *ids: str) -> bool:
    """Whether Redis executed a request that was sent before the reply to an earlier one."""
    entries: list[Any] = [part for name in ids for part in (name, b"1\n1")]
    return pipelined_publish.publish_behind(broker, QUEUE, "pub", (request, before), entries)


# Each is sent for the first delivery, and again while the second one runs.
OUTDATED: Dict[str, Callable[[Broker], bool]] = {
    "retry": lambda broker: broker.retry(QUEUE, "w1", "m1", NEW, ONCE, 0),
    "dead_letter": lambda broker: broker.dead_letter(QUEUE, "w1", "m1", NEW, b"{}"),
    "discard": lambda broker: broker.discard(QUEUE, "w1", "m1", NEW),
}


def test_an_old_request_number_publishes_nothing(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())
    for number, name in ((1, "m1"), (2, "m2")):
        publish(broker, "pub", number, name)
    before = everything(redis)

    publish(broker, "pub", 1, "m1")
    publish(broker, "pub", 2, "m2")

    assert everything(redis) == before


def unique(broker: Broker, number: int, before: int, **keys: str) -> Any:
    """The reply to a request of unique messages, id -> key."""
    request = CheckedRequest(number, [*keys], [*keys.values()], [b"1\n1"] * len(keys))
    call = publish_checked_call(broker.keys(QUEUE), "pub", request, Terms(0, 0), before)
    return ScriptRunner(broker.connection).run("publish_checked", call)


def test_the_last_two_requests_of_unique_messages_return_again_what_they_have_returned(
    broker: Broker, redis: Redis
) -> None:
    put(redis, QUEUE, Containers())
    assert unique(broker, 1, 0, m1="a", m2="b") == [1, 0, []]
    assert unique(broker, 2, 1, m3="c", m4="a") == [1, 0, [b"m3", b"m1"]]
    before = everything(redis)

    assert unique(broker, 2, 1, m3="c", m4="a") == [1, 0, [b"m3", b"m1"]]
    assert unique(broker, 1, 0, m1="a", m2="b") == [1, 0, []]
    assert everything(redis) == before
    assert unique(broker, 3, 2, m5="d") == [1, 0, []]
    assert unique(broker, 2, 0, m3="c", m4="a") == [1, 0, [b"m3", b"m1"]]
    before = everything(redis)
    assert unique(broker, 1, 0, m1="a", m2="b") == [-3], "what it has returned is not known any more"
    assert everything(redis) == before


def test_a_request_of_unique_messages_is_refused_if_the_one_before_is_missing(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())
    unique(broker, 1, 0, m1="a")
    before = everything(redis)

    assert unique(broker, 3, 2, m3="c") == [-2]

    assert everything(redis) == before
    unique(broker, 2, 0, m2="b")
    assert unique(broker, 3, 2, m3="c") == [1, 0, []]
    assert look(redis, QUEUE).waiting == ("m1", "m2", "m3")


def test_an_old_request_stays_harmless_when_its_message_is_finished(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    publish(broker, "pub", 1, "m1")
    assert claim_ids(broker, 1) == ["m1"]
    claim_ids(broker, 0, "m1")

    publish(broker, "pub", 1, "m1")

    assert look(redis, QUEUE).ids() == set()


def test_a_request_behind_one_that_was_executed_is_executed_once(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())
    publish(broker, "pub", 1, "m1")

    assert publish_behind(broker, 2, 1, "m2")
    assert publish_behind(broker, 2, 1, "m2")

    assert look(redis, QUEUE).waiting == ("m1", "m2")


def test_a_request_behind_one_that_was_not_executed_changes_nothing(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())
    publish(broker, "pub", 1, "m1")
    before = everything(redis)

    assert not publish_behind(broker, 3, 2, "m3")
    assert everything(redis) == before

    publish(broker, "pub", 2, "m2")
    assert publish_behind(broker, 3, 2, "m3")
    assert look(redis, QUEUE).waiting == ("m1", "m2", "m3")


def test_a_late_copy_of_a_request_that_was_sent_ahead_changes_nothing(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())
    publish(broker, "pub", 1, "m1")
    publish(broker, "pub", 2, "m2")
    publish(broker, "pub", 3, "m3")
    before = everything(redis)

    assert publish_behind(broker, 2, 1, "m2")
    assert publish_behind(broker, 3, 2, "m3")

    assert everything(redis) == before


def test_request_numbers_of_publishers_are_their_own(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())

    publish(broker, "one", 5, "m1")
    publish(broker, "two", 1, "m2")

    assert look(redis, QUEUE).waiting == ("m1", "m2")


def test_redis_remembers_a_request_for_two_minutes(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, Containers())

    publish(broker, "pub", 1, "m1")

    assert 110 < redis.ttl(broker.keys(QUEUE).publisher("pub")) <= 120


@pytest.mark.parametrize("name", OUTDATED)
def test_an_outdated_outcome_does_not_end_a_later_delivery(broker: Broker, redis: Redis, name: str) -> None:
    put(redis, QUEUE, held("m1"))
    assert OUTDATED["retry"](broker)
    assert claim_ids(broker, 1) == ["m1"]
    before = everything(redis)

    assert not OUTDATED[name](broker)

    after = everything(redis)
    after.pop("bizzmq:queues", None)  # the name of the dead-letter queue may become known
    assert after == before


@pytest.mark.parametrize("name", OUTDATED)
def test_an_outdated_outcome_does_not_touch_the_message_of_another_worker(
    broker: Broker, redis: Redis, name: str
) -> None:
    put(redis, QUEUE, held("m1", workers={"w1": "s1", "w2": "s1"}))
    broker.retry(QUEUE, "w1", "m1", NEW, ONCE, 0)
    assert claim_ids(broker, 1, worker="w2") == ["m1"]

    assert not OUTDATED[name](broker)

    assert look(redis, QUEUE).processing == {"w2": ("m1",)}


def test_a_late_ack_does_not_end_a_delivery_to_another_worker(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1", workers={"w1": "s1", "w2": "s1"}))
    broker.release(QUEUE, "w1", 1, ["m1"])
    assert claim_ids(broker, 1, worker="w2") == ["m1"]

    claim_ids(broker, 0, "m1")

    assert look(redis, QUEUE).processing == {"w2": ("m1",)}


@pytest.mark.parametrize("started", [False, True])
def test_a_late_release_returns_no_message_that_was_claimed_again(broker: Broker, redis: Redis, started: bool) -> None:
    put(redis, QUEUE, held("m1", workers={"w1": "s1", "w2": "s1"}))
    broker.release(QUEUE, "w1", 1, ["m1"], started=started)
    assert claim_ids(broker, 1) == ["m1"]
    before = everything(redis)

    assert broker.release(QUEUE, "w1", 1, ["m1"], started=started) == 0

    assert everything(redis) == before
    assert claim_ids(broker, 1, worker="w2") == []


def test_a_late_release_keeps_the_order_of_finished_and_unfinished_messages(broker: Broker, redis: Redis) -> None:
    """A requeue acks all messages older than the last finished one. In another order it would ack unrun messages."""
    put(redis, QUEUE, held("m1"))
    broker.release(QUEUE, "w1", 1, ["m1"])
    publish(broker, "pub", 1, "m2")
    assert claim_ids(broker, 2) == ["m1", "m2"]

    # w1 has run m1 and must release m2.
    broker.release(QUEUE, "w1", 1, ["m1"])  # the copy
    broker.release(QUEUE, "w1", 2, ["m2"])
    assert claim_ids(broker, 2, "m1") == ["m2"]
    broker.requeue(QUEUE, "w1", DeadWorker("stopped", last_finished="m1"))  # killed before it started m2

    assert look(redis, QUEUE).waiting == ("m2",)


def test_each_worker_numbers_its_own_releases(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1", workers={"w1": "s1", "w2": "s1"}))

    assert broker.release(QUEUE, "w1", 5, ["m1"]) == 1
    assert claim_ids(broker, 1, worker="w2") == ["m1"]

    assert broker.release(QUEUE, "w2", 1, ["m1"]) == 1


def test_a_late_requeue_takes_nothing_from_the_next_worker_of_the_slot(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1"))
    death = DeadWorker("crash", running="m1")
    broker.requeue(QUEUE, "w1", death)
    broker.register(QUEUE, "s1", "w2")
    assert claim_ids(broker, 1, worker="w2") == ["m1"]

    assert broker.requeue(QUEUE, "w1", death) is None

    assert look(redis, QUEUE).processing == {"w2": ("m1",)}
    assert look(redis, QUEUE).attempts == {"m1": "0 1 0 0\t{}"}


def test_a_late_reap_never_ends_a_later_registration(broker: Broker, redis: Redis) -> None:
    """Not even one by a late copy of the registration that the reaper has ended."""
    put(redis, QUEUE, Containers(waiting=("m1",)))
    broker.register(QUEUE, "s1", "w1")
    counter = broker.supervisors(QUEUE)["s1"]
    death = DeadWorker("silent", supervisor="s1", counter=counter)
    broker.requeue(QUEUE, "w1", death)
    broker.unregister(QUEUE, "s1", counter)
    broker.register(QUEUE, "s1", "w1")  # the copy
    broker.register(QUEUE, "s1", "w2")
    assert claim_ids(broker, 1, worker="w2") == ["m1"]

    assert broker.requeue(QUEUE, "w2", death) is None
    assert not broker.unregister(QUEUE, "s1", counter)

    assert look(redis, QUEUE).processing == {"w2": ("m1",)}
    assert look(redis, QUEUE).supervisors == {"s1": FRESH}


def test_the_next_claim_returns_the_messages_of_a_late_one(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(waiting=("m1", "m2")))

    broker.claim(QUEUE, "w1", 1)

    assert claim_ids(broker, 1) == ["m1"]


def test_a_copy_that_executes_late_spares_a_new_queue(broker: Broker, redis: Redis) -> None:
    broker.create(QUEUE, QueueOptions())
    created_ms = redis.hget(Keys(QUEUE).meta, "created_ms").encode()
    assert broker.delete_queue(QUEUE, [], "all", created_ms) == Deletion(True, 0, 0, 0)
    redis.hset(Keys(QUEUE).meta, mapping={"retry": "0", "created_ms": int(created_ms) + 1})
    before = everything(redis)

    assert broker.delete_queue(QUEUE, [], "all", created_ms) is None
    assert broker.delete_queue(QUEUE, [], "empty", created_ms) is None

    assert everything(redis) == before


def test_a_late_fire_changes_nothing_also_when_its_message_is_finished(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held(**ONE))
    fire = occurrence(1000, 2000)
    assert broker.fire(QUEUE, [fire]) == [Fired.FIRED]
    assert claim_ids(broker, 1) == ["m1"]
    claim_ids(broker, 0, "m1")
    before = everything(redis)

    assert broker.fire(QUEUE, [fire]) == [Fired.ELSEWHERE]

    assert everything(redis) == before


def test_a_late_copy_of_an_addition_does_not_bring_a_removed_schedule_back(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, one())
    assert putting(DEFINITION, OTHER)(broker)
    assert removing(OTHER)(broker)

    assert not putting(DEFINITION, OTHER)(broker)

    assert look(redis, QUEUE) == Containers()
