"""Each kind of damage is found, and repaired without the loss of a message."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq.admin import dead_letters, purge
from bizzmq.audit.audit import Diagnosis, audit
from bizzmq.audit.findings import Kind
from bizzmq.audit.repair import repair
from bizzmq.broker.broker import Broker
from bizzmq.testing import invariants
from bizzmq.testing.layout import Keys, snapshot
from bizzmq.testing.wait import eventually
from tests.audit.damage import DAMAGES, DEAD, D, K, orphan, publish_ten
from tests.faults.scene import QUEUE, Scene
from tests.scripts.containers import everything

LEASE_S = 0.05
every_damage = pytest.mark.parametrize("name", DAMAGES)


def kinds(found: Diagnosis) -> list[tuple[Kind, str, int]]:
    return [(finding.kind, finding.queue, len(finding.subjects)) for finding in found.findings]


def expected(name: str) -> list[tuple[Kind, str, int]]:
    return [
        (kind, queue, count) for kind, queue, count in DAMAGES[name].found if kind is not Kind.STALE_ATTEMPTS or count
    ]


def handle_all(scene: Scene) -> set[str]:
    """Run everything that is stored, delayed messages too; returns the ids."""
    handled: set[str] = set()
    for message_id in snapshot(scene.redis, QUEUE)[0].delayed:
        scene.redis.zadd(K.delayed, {message_id: 1})
    stop = scene.mq.consume_message_from_queue(QUEUE, lambda _, context: handled.add(context.id))
    eventually(lambda: not scene.redis.exists(K.messages), 30.0, "all messages to be handled")
    stop()
    return handled


@every_damage
def test_damage_is_found(scene: Scene, broker: Broker, name: str) -> None:
    DAMAGES[name].do(scene.redis, publish_ten(scene))
    before = everything(scene.redis)

    found = audit(broker, QUEUE, LEASE_S)

    assert kinds(found) == expected(name)
    assert everything(scene.redis) == before, "an audit changes nothing"


@every_damage
def test_damage_is_repaired_and_nothing_is_lost(scene: Scene, broker: Broker, name: str) -> None:
    damage = DAMAGES[name]
    ids = publish_ten(scene)
    damage.do(scene.redis, ids)

    mended, found = repair(broker, QUEUE, LEASE_S)

    assert found.balanced, found.findings
    assert mended
    invariants.check_one_place(scene.redis, QUEUE)
    invariants.check_nothing_stranded(scene.redis, QUEUE)
    handled = handle_all(scene)
    assert len(set(ids) - handled) == damage.lost
    assert len(handled - set(ids)) == damage.extra
    assert audit(broker, QUEUE, LEASE_S).balanced


@every_damage
def test_a_second_repair_changes_nothing(scene: Scene, broker: Broker, name: str) -> None:
    DAMAGES[name].do(scene.redis, publish_ten(scene))
    repair(broker, QUEUE, LEASE_S)
    before = everything(scene.redis)

    assert repair(broker, QUEUE, LEASE_S)[0] == []

    assert everything(scene.redis) == before


def test_a_healthy_queue_is_balanced(scene: Scene, broker: Broker) -> None:
    ids = publish_ten(scene)
    scene.mq.create_queue(DEAD)
    failing = scene.publish(*[{}] * 3, retries=0)
    claimed = scene.mq.consume_message_from_queue(QUEUE, _fail_some(set(failing)))
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 3 and scene.mq.stats(QUEUE).waiting == 0, 30.0)
    claimed()

    found = audit(broker, DEAD, LEASE_S)

    assert found.balanced, found.findings
    own, dead = found.accounts
    assert (own.came, own.went["acked"], own.went["dead-lettered"]) == ({"published": 13, "replayed": 0}, 9, 3)
    assert (dead.came["dead-lettered"], dead.stored, own.stored) == (3, 3, 1)
    assert snapshot(scene.redis, QUEUE)[0].delayed == [ids[8]]


def test_replayed_and_purged_dead_letters_stay_in_the_accounts(scene: Scene, broker: Broker) -> None:
    failing = scene.publish(*[{}] * 4, retries=0)
    stop = scene.mq.consume_message_from_queue(QUEUE, _fail_some(set(failing)))
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 4, 30.0)
    stop()
    letters = dead_letters.dead_letters(broker, QUEUE, 0, 4)
    assert broker.replay(QUEUE, letters[0].id, letters[0].priority)
    assert purge.purge(broker, DEAD, 2) == 2
    assert purge.purge(broker, QUEUE) == 1

    found = audit(broker, QUEUE, LEASE_S)

    assert found.balanced, found.findings
    assert [one.stored for one in found.accounts] == [0, 1]


def _fail_some(failing: set[str]) -> Any:
    def handler(_: Any, context: Any) -> None:
        if context.id in failing:
            raise ValueError("no luck")

    return handler


def test_an_unexplained_loss_stays_a_finding_until_it_is_accepted(scene: Scene, broker: Broker) -> None:
    ids = publish_ten(scene)
    scene.redis.hdel(K.messages, ids[0])
    scene.redis.lrem(K.waiting, 1, ids[0])

    assert kinds(audit(broker, QUEUE, LEASE_S)) == [(Kind.ACCOUNTS, QUEUE, 0)]
    mended, found = repair(broker, QUEUE, LEASE_S)
    assert (mended, kinds(found)) == ([], [(Kind.ACCOUNTS, QUEUE, 0)])

    mended, found = repair(broker, QUEUE, LEASE_S, accept=True)
    assert [(finding.kind, count) for finding, count in mended] == [(Kind.ACCOUNTS, 1)]
    assert found.balanced
    assert found.accounts[0].written_off == 1

    scene.redis.hdel(K.messages, ids[1])
    scene.redis.lrem(K.waiting, 1, ids[1])
    assert kinds(audit(broker, QUEUE, LEASE_S)) == [(Kind.ACCOUNTS, QUEUE, 0)], "the next one is a finding again"


def test_a_forged_id_that_was_skipped_does_not_hide_a_later_loss(scene: Scene, broker: Broker) -> None:
    ids = publish_ten(scene)
    scene.redis.rpush(K.waiting, "forged")
    assert repair(broker, QUEUE, LEASE_S)[1].balanced
    scene.redis.lrem(K.waiting, 1, ids[0])
    scene.redis.hdel(K.messages, ids[0])

    assert kinds(audit(broker, QUEUE, LEASE_S)) == [(Kind.ACCOUNTS, QUEUE, 0)]


def test_requeued_messages_are_handled_first_and_in_order(scene: Scene, broker: Broker) -> None:
    ids = scene.publish(*[{}] * 6)
    for message_id in (ids[4], ids[1]):
        scene.redis.lrem(K.waiting, 1, message_id)

    repair(broker, QUEUE, LEASE_S)

    assert scene.waiting() == [ids[1], ids[4], ids[0], ids[2], ids[3], ids[5]]


@pytest.mark.parametrize(
    "key", [K.waiting, K.delayed, K.messages, K.attempts, K.stats, K.workers, K.releases, K.wake, K.meta, D.parked,
            D.messages, K.processing("ghost"), D.processing("ghost")]
)  # fmt: skip
def test_a_key_of_the_wrong_type_is_named_and_nothing_is_touched(scene: Scene, broker: Broker, key: str) -> None:
    publish_ten(scene)
    scene.redis.delete(key)
    scene.redis.set(key, "of the wrong type")
    before = everything(scene.redis)

    mended, found = repair(broker, QUEUE, LEASE_S)

    assert [(finding.kind, finding.subjects) for finding in found.findings] == [(Kind.WRONG_TYPE, (key,))]
    assert mended == []
    assert everything(scene.redis) == before


def test_an_unreadable_counter_is_named(scene: Scene, broker: Broker) -> None:
    publish_ten(scene)
    scene.redis.hset(K.stats, "acked", "many")

    found = audit(broker, QUEUE, LEASE_S)

    assert [(finding.kind, finding.subjects) for finding in found.findings] == [(Kind.UNREADABLE, ("acked",))]


def test_messages_of_a_queue_that_is_gone_are_reported(scene: Scene, broker: Broker) -> None:
    publish_ten(scene)
    scene.redis.delete(K.meta, D.meta)

    assert kinds(audit(broker, QUEUE, LEASE_S)) == [(Kind.NO_OPTIONS, QUEUE, 1)]


def test_names_and_ids_may_be_any_bytes(scene: Scene, broker: Broker) -> None:
    publish_ten(scene)
    scene.redis.lpush(K.waiting, b"\xff\x00\n")
    scene.redis.lpush(K.processing("").encode() + b"\xfe\x1b[31m", b"\xff\x00\n")
    scene.redis.hset(K.workers, b"\xfd", b"\xfc")

    found = audit(broker, QUEUE, LEASE_S)
    assert kinds(found) == [(Kind.MISSING_BODY, QUEUE, 1), (Kind.UNREGISTERED, QUEUE, 1), (Kind.UNSUPERVISED, QUEUE, 1)]
    assert found.findings[0].subjects == ("\\xff\x00\n",)

    assert repair(broker, QUEUE, LEASE_S)[1].balanced


def test_a_large_damaged_queue_is_repaired_in_batches(scene: Scene, broker: Broker) -> None:
    ids = scene.mq.publish_messages_to_queue(QUEUE, [{}] * 2500)
    for message_id in ids[::5]:
        scene.redis.lrem(K.waiting, 1, message_id)
    scene.redis.lpush(K.waiting, *ids[1::5])
    scene.redis.hdel(K.messages, *ids[2::5])

    found = audit(broker, QUEUE, LEASE_S)
    assert kinds(found) == [
        (Kind.MISSING_BODY, QUEUE, 500), (Kind.UNPLACED, QUEUE, 500), (Kind.DUPLICATE, QUEUE, 500),
        (Kind.ACCOUNTS, QUEUE, 0),
    ]  # fmt: skip

    assert repair(broker, QUEUE, LEASE_S)[1].balanced
    invariants.check_one_place(scene.redis, QUEUE)
    assert snapshot(scene.redis, QUEUE)[0].messages == set(ids) - set(ids[2::5])


def test_messages_of_a_dead_letter_worker_return_to_the_dead_letters(scene: Scene, broker: Broker) -> None:
    scene.mq.create_queue(DEAD)
    ids = scene.mq.publish_messages_to_queue(DEAD, [{}] * 3)
    orphan(scene.redis, ids, DEAD)

    mended, found = repair(broker, QUEUE, LEASE_S)

    assert [(finding.kind, finding.queue, count) for finding, count in mended] == [(Kind.UNREGISTERED, DEAD, 2)]
    assert found.balanced
    assert scene.redis.lrange(Keys(DEAD).waiting, 0, -1)[::-1] == ids
