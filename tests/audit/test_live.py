"""An audit of a queue in use has no false findings, and a repair takes no message from a worker."""

from __future__ import annotations

import itertools
import random
import time
from typing import Any, Callable

import pytest

from bizzmq import BizzMQ, Context, MessageOptions, QueueOptions
from bizzmq.audit.audit import audit
from bizzmq.audit.repair import repair
from bizzmq.audit.scan import QueueScan
from bizzmq.broker.broker import Broker
from bizzmq.consumer.lease import Lease, LeaseOptions
from bizzmq.testing import invariants
from bizzmq.testing.wait import eventually
from tests.audit.damage import DEAD, K
from tests.faults.load import load, repeated
from tests.faults.scene import PATIENCE_S, QUEUE, Scene

LEASE_S = 5.0
FAILING = [{"do": "fail"}, *[{"do": "ok"}] * 20]


def test_a_live_pool_under_load_is_audited_without_a_false_finding(scene: Scene, broker: Broker) -> None:
    pool = scene.pool(concurrency=2)

    with load(scene, *FAILING):
        for _ in range(20):
            found = audit(broker, QUEUE, LEASE_S)
            assert found.balanced, found.findings
    scene.ledger.wait_started(scene.ledger.published()[-1], timeout_s=PATIENCE_S)
    assert pool.exit_code is None


def test_a_repair_of_a_live_queue_takes_no_message_from_a_worker(scene: Scene, broker: Broker) -> None:
    pool = scene.pool(concurrency=2)

    with load(scene, {"do": "ok"}, {"do": "ok"}):
        for _ in range(20):
            mended, found = repair(broker, QUEUE, LEASE_S)
            assert (mended, found.findings) == ([], ())

    scene.settle()
    scene.retire(pool)


def test_damage_under_load_is_repaired_under_load(scene: Scene, broker: Broker, rng: random.Random) -> None:
    pool = scene.pool(concurrency=2)

    def damage() -> None:
        waiting = scene.redis.lrange(K.waiting, 0, 50)
        for message_id in rng.sample(waiting, min(3, len(waiting))):
            scene.redis.lrem(K.waiting, 1, message_id)

    with load(scene, *[{"do": "ok"}] * 10):
        for _ in range(5):
            eventually(lambda: scene.redis.llen(K.waiting) or None, PATIENCE_S)
            damage()
            repair(broker, QUEUE, LEASE_S)

    repair(broker, QUEUE, LEASE_S)
    scene.settle()
    assert audit(broker, QUEUE, LEASE_S).balanced
    scene.retire(pool)


def test_a_repair_beside_publishers_and_workers_of_unique_messages_takes_nothing(scene: Scene, broker: Broker) -> None:
    """Each key is of one message, or of none: they are published, replaced, started, failed and cancelled meanwhile."""
    published: list[str] = []
    terms = [
        MessageOptions(unique_key="a"), MessageOptions(unique_key="b", unique_until="started"),
        MessageOptions(unique_key="c", on_duplicate="replace"), MessageOptions(unique_key="d", expires_s=0.02),
        MessageOptions(unique_key="e", delay_s=0.02, on_duplicate="replace"),
    ]  # fmt: skip

    def publish() -> None:
        number = len(published)
        published.append(scene.mq.publish_message_to_queue(QUEUE, {"do": number}, terms[number % len(terms)]))
        if number % 7 == 0:
            scene.mq.cancel(published[-1])

    def handle(body: Any, context: Context) -> None:
        context.progress(1, 2)
        time.sleep(0.01)
        if body["do"] % 3 == 0:
            raise LookupError

    stop = scene.mq.consume_message_from_queue(QUEUE, handle)
    with repeated(publish, 0.001):
        while len(published) < 50:
            mended, found = repair(broker, QUEUE, LEASE_S)
            assert (mended, found.findings) == ([], ())
    stop()

    assert audit(broker, QUEUE, LEASE_S).balanced


def test_messages_that_move_during_a_pass_are_suspects_but_not_findings(
    scene: Scene, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst case: between any two steps of a pass, everything moves."""
    monkeypatch.setattr("bizzmq.audit.scan.PAGE", 7)
    monkeypatch.setattr("bizzmq.audit.scan.HASH_PAGE", 7)
    scene.publish(*[{}] * 60)
    broker.register(QUEUE, "s1", "w1")
    scan = QueueScan(broker, QUEUE)
    execute, busy, numbers = broker.connection.execute, [], itertools.count(1)

    def execute_and_move(*args: Any) -> Any:
        reply = execute(*args)
        if not busy and args[0] in ("LRANGE", "ZSCAN", "EVALSHA"):
            busy.append(1)
            scene.mq.publish_messages_to_queue(QUEUE, [{}] * 3)
            held = [entry[0] for entry in broker.claim(QUEUE, "w1", 5).entries]
            broker.retry(QUEUE, "w1", held[-1].decode(), _attempts(scene, held[-1]), "9 0 0 0", 3_600_000)
            broker.release(QUEUE, "w1", next(numbers), held[2:-1][::-1])
            broker.claim(QUEUE, "w1", 0, held[:2])
            busy.clear()
        return reply

    monkeypatch.setattr(broker.connection, "execute", execute_and_move)
    suspects = scan.suspects()
    monkeypatch.undo()

    assert suspects, "nothing has moved"
    found = audit(broker, QUEUE, 0.05)
    assert found.balanced, found.findings


def _attempts(scene: Scene, message_id: bytes) -> str:
    stored: Any = scene.redis.hget(K.attempts, message_id.decode())
    return str(stored or "0 0 0 0")


def test_a_supervisor_that_registers_again_within_the_lease_is_not_a_finding(
    scene: Scene, broker: Broker, broker_at: Callable[[str], Broker]
) -> None:
    lease = Lease(broker_at(scene.url), "s1", [QUEUE], LeaseOptions(beat_s=0.02, lease_s=60, scan_s=60))
    lease.register("w1")
    broker.unregister(QUEUE, "s1")

    with repeated(lease.tick):
        found = audit(broker, QUEUE, PATIENCE_S)

    assert found.balanced, found.findings


def test_an_audit_at_the_memory_limit(private_server: Any, broker_at: Any) -> None:
    server = private_server(config=["maxmemory-policy noeviction"])
    broker = broker_at(server.url)
    with BizzMQ(server.url) as mq:
        mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True))
        ids = mq.publish_messages_to_queue(QUEUE, [{}] * 5)
    client = server.client()
    client.lrem(K.waiting, 1, ids[0])
    client.config_set("maxmemory", 1)

    assert len(audit(broker, QUEUE, 0.05).findings) == 1
    assert repair(broker, QUEUE, 0.05)[1].balanced
    invariants.check_one_place(client, QUEUE)
    assert audit(broker, DEAD, 0.05).balanced
