"""R16, R19 and R24: Redis is full, read-only, or denies access to the pool."""

from __future__ import annotations

import re
import time
from typing import Callable

import pytest

from bizzmq import BizzMQ, BrokerFullError, BrokerUnavailableError, QueueOptions
from bizzmq.testing import invariants
from bizzmq.testing.layout import command
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER, Gate
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support.features import need_acl

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
CANARY, FRESH = "canary-secret", "canary-fresh"
WRONG_PASSWORD = re.compile("invalid username-password pair|invalid password")
"""The second is the error of Redis 5."""
LOCKED_OUT_S = 1.5


@pytest.mark.usually(1)
@pytest.mark.parametrize("pool_is_there", [True, False])
def test_a_full_redis_refuses_to_publish_and_is_drained(own_scene: OwnScene, *, pool_is_there: bool) -> None:
    _, scene = own_scene(config=["maxmemory-policy noeviction"])
    gates = [scene.gate() for _ in range(2)]
    scene.publish(*[gate.body() for gate in gates])
    actions = [["ok"]] * 8 + [["raise", "ok"], ["reject"]]
    opened = scene.gate()
    opened.open()
    pool = scene.pool("--lease=1", handler=HANDLER) if pool_is_there else None
    scene.publish(*[opened.body(*each) for each in actions * 20])

    command(scene.redis, "CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(BrokerFullError):
        scene.mq.publish_message_to_queue(QUEUE, 1)
    pool = pool or scene.pool("--lease=1", handler=HANDLER)
    full_s = time.monotonic()
    for gate in gates:
        gate.open()
    scene.works_again(full_s, lambda: scene.totals().get("acked"))

    scene.settle(dead_lettered=20, extra_runs=20)
    assert scene.totals() == {"published": 202, "acked": 182, "retried": 20, "dead_lettered": 20}
    assert len(pool.started_worker_pids()) == 2, "a worker has exited"
    assert "unavailable" not in pool.log()
    scene.retire(pool, tracebacks=20)


@pytest.mark.usually(1)
@pytest.mark.parametrize("queue", ["bare", "bare_dlq", f"{QUEUE}_dlq"])
def test_a_pool_on_any_queue_that_exists_starts_while_redis_is_full(own_scene: OwnScene, queue: str) -> None:
    _, scene = own_scene(config=["maxmemory-policy noeviction"])
    scene.mq.create_queue("bare", QueueOptions(config_dead_letter_queue=False))
    if queue == "bare_dlq":
        scene.mq.create_queue(queue)
    message = scene.mq.publish_message_to_queue(queue, {"do": "ok"})

    command(scene.redis, "CONFIG", "SET", "maxmemory", 1)
    pool = scene.pool(queue=queue)

    scene.ledger.wait_handled(message, timeout_s=PATIENCE_S)
    eventually(lambda: scene.mq.stats(queue).acked == 1, PATIENCE_S)  # creating it again is allowed, too
    scene.retire(pool)


def test_refused_stats_do_not_shift_the_next_reply(own_scene: OwnScene) -> None:
    _, scene = own_scene()
    need_acl(scene.redis)
    scene.publish(*[{"do": "ok"}] * 3)
    scene.mq.stats(QUEUE)

    command(scene.redis, "ACL", "SETUSER", "default", "-llen")
    with pytest.raises(BrokerUnavailableError):
        scene.mq.stats(QUEUE)
    command(scene.redis, "ACL", "SETUSER", "default", "+llen")

    assert scene.mq.create_queue("other")
    assert not scene.mq.create_queue("other")
    assert scene.mq.stats(QUEUE).waiting == 3


def test_a_changed_password_is_logged_as_an_outage_without_the_secret(own_scene: OwnScene) -> None:
    _, scene = own_scene(password=CANARY)
    pool = scene.pool("--lease=1", handler=HANDLER, url_in_env=True)
    gate = _start_one(scene)

    _accept_only_password(scene, FRESH)
    gate.open()
    eventually(lambda: len(WRONG_PASSWORD.findall(pool.log())) >= 3, PATIENCE_S, pool.log)
    _stays_quiet(pool)
    with pytest.raises(BrokerUnavailableError) as refused:
        BizzMQ(scene.url)
    _accept_only_password(scene, CANARY)
    scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

    _works_again(scene, pool)
    invariants.check_log(pool.log() + str(refused.value), secrets=[CANARY, FRESH])


@pytest.mark.parametrize(
    ("refuse", "says", "accept"),
    [
        ("ACL SETUSER default -evalsha", "no permissions to run the 'evalsha' command", "ACL SETUSER default +evalsha"),
        ("REPLICAOF 127.0.0.1 1", "You can't write against a read only replica", "REPLICAOF NO ONE"),
    ],
    ids=["permission", "mastership"],
)
def test_a_lost_write_permission_is_logged_as_an_outage(
    own_scene: OwnScene, refuse: str, says: str, accept: str
) -> None:
    _, scene = own_scene()
    if refuse.startswith("ACL"):
        need_acl(scene.redis)
    pool = scene.pool("--lease=1", handler=HANDLER, concurrency=1)
    gate = _start_one(scene)

    command(scene.redis, *refuse.split())
    gate.open()
    log_says(pool, says, times=2)
    _stays_quiet(pool)
    command(scene.redis, *accept.split())
    scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

    _works_again(scene, pool)


def _start_one(scene: Scene) -> Gate:
    """Start a message and return its gate: its ack will be sent while Redis refuses it."""
    gate = scene.gate()
    scene.ledger.wait_started(scene.publish_one(gate.body()))
    return gate


def _accept_only_password(scene: Scene, password: str) -> None:
    """Accept only this password and disconnect all other clients."""
    command(scene.redis, "CONFIG", "SET", "requirepass", password)
    command(scene.redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _stays_quiet(pool: Pool) -> None:
    """Check that no process exits and almost nothing is logged."""
    with invariants.log_rate(pool.log, limit_per_s=3.0):
        time.sleep(LOCKED_OUT_S)  # how long the fault lasts
    assert pool.exit_code is None
    assert pool.worker_pids() == pool.started_worker_pids()


def _works_again(scene: Scene, pool: Pool) -> None:
    gate = scene.gate()
    gate.open()
    scene.publish_one(gate.body())
    scene.settle(extra_runs=0)
    assert scene.totals() == {"published": 2, "acked": 2}
    assert pool.worker_pids() == pool.started_worker_pids(), "a worker has exited"
    scene.retire(pool)
