"""R18 and R20: Redis cannot write to its disk, or has fewer replicas than `min-replicas-to-write`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable

import pytest

from bizzmq import BrokerUnavailableError, MessageOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.publisher.publisher import Publisher
from bizzmq.testing import invariants
from bizzmq.testing.layout import command, snapshot
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.gated_handler import HANDLER, Gate
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support.features import need_replicas_for_scripts
from tests.support.tmpfs import can_mount, tmpfs

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
REFUSED_S = 2.0


@pytest.mark.usually(1)
@pytest.mark.skipif(not can_mount(), reason="needs permission to mount a tmpfs")
@pytest.mark.parametrize("persistence", ["aof", "rdb"])
def test_a_full_disk_is_an_outage_until_there_is_room(
    private_server: Callable[..., RedisServer], own_scene: OwnScene, tmp_path: Path, persistence: str
) -> None:
    with tmpfs(tmp_path / "disk", "2m") as disk:
        saving = ["save 1 1"] if persistence == "rdb" else []
        server, scene = own_scene(
            persistence="aof" if persistence == "aof" else "none",
            fsync="everysec",  # with "always" a server whose disk is full exits: that is a killed Redis, row R1
            config=[f"dir {disk.path}", "auto-aof-rewrite-percentage 0", *saving],
        )
        pool = scene.pool("--lease=1", handler=HANDLER, concurrency=2)
        gates = _start_two(scene)

        disk.fill()
        eventually(lambda: _refuses(scene), PATIENCE_S, server.log)
        _open(gates)
        log_says(pool, "MISCONF", times=3)  # to both outcomes, and to the janitor's heartbeat
        _stays_quiet(pool)
        _publisher_is_told(server)
        disk.free()
        eventually(lambda: not _refuses(scene), PATIENCE_S, server.log)
        scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

        _works_again(scene, pool)
        scene.retire(pool)
        if persistence == "aof":
            server.restart()  # every accepted message is on the disk
            scene.check_stored()
        scene.close()
        server.close()  # its directory can be unmounted only after that


def test_a_redis_with_too_few_replicas_is_an_outage(own_scene: OwnScene) -> None:
    server, scene = own_scene()
    need_replicas_for_scripts(scene.redis)
    pool = scene.pool("--lease=1", handler=HANDLER, concurrency=2)
    gates = _start_two(scene)

    command(scene.redis, "CONFIG", "SET", "min-replicas-to-write", 1)
    _open(gates)
    log_says(pool, "NOREPLICAS", times=3)
    _stays_quiet(pool)
    _publisher_is_told(server)
    held = scene.held()
    command(scene.redis, "CONFIG", "SET", "min-replicas-to-write", 0)
    scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

    assert len(held) == 2, "something was moved although Redis refused it"
    _works_again(scene, pool)
    scene.retire(pool)


def test_a_pool_that_starts_while_writes_are_refused_waits(own_scene: OwnScene) -> None:
    _, scene = own_scene()
    need_replicas_for_scripts(scene.redis)
    messages = scene.publish(*[{"do": "ok"}] * 10)
    command(scene.redis, "CONFIG", "SET", "min-replicas-to-write", 1)

    pool = scene.pool(ready=False)
    log_says(pool, "NOREPLICAS")
    _stays_quiet(pool)
    assert not scene.registered()
    healed_s = time.monotonic()
    command(scene.redis, "CONFIG", "SET", "min-replicas-to-write", 0)
    scene.runs_again(healed_s)

    scene.ledger.wait_handled(*messages, timeout_s=PATIENCE_S)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def _start_two(scene: Scene) -> list[Gate]:
    """Start two messages and return their gates; one of them will fail once."""
    gates = [scene.gate() for _ in range(2)]
    for gate, action in zip(gates, ("ok", "raise")):
        scene.ledger.wait_started(scene.publish_one(gate.body(action, "ok")))
    return gates


def _open(gates: list[Gate]) -> None:
    for gate in gates:
        gate.open()


def _refuses(scene: Scene) -> bool:
    """Whether Redis refuses writes, checked with a write, which makes Redis notice."""
    try:
        command(scene.redis, "SET", "probe", "x" * 2000)
    except Exception as error:  # noqa: BLE001 - any error of the client library
        return "MISCONF" in str(error)
    return False


def _stays_quiet(pool: Pool) -> None:
    """Check that no process exits and almost nothing is logged."""
    with invariants.log_rate(pool.log, limit_per_s=3.0):
        time.sleep(REFUSED_S)  # how long the fault lasts
    assert pool.exit_code is None
    assert pool.worker_pids() == pool.started_worker_pids()


def _publisher_is_told(server: RedisServer) -> None:
    publisher = Publisher(Broker(Connection(server.url)), retry_for_s=0.5)
    with pytest.raises(BrokerUnavailableError, match=r"MISCONF|NOREPLICAS"):
        publisher.publish(QUEUE, [1], MessageOptions())
    publisher.close()


def _works_again(scene: Scene, pool: Pool) -> None:
    gate = scene.gate()
    gate.open()
    scene.publish(*[gate.body()] * 10)
    scene.settle(extra_runs=1)
    assert scene.totals() == {"published": 12, "acked": 12, "retried": 1}
    assert pool.worker_pids() == pool.started_worker_pids(), "a worker has exited"
    assert len(snapshot(scene.redis, QUEUE)[0].workers) == 2
