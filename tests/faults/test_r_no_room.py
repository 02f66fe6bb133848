"""R18 and R20: Redis can write nothing to its disk, or has fewer replicas than it wants."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable

import pytest

from bizzmq import BrokerUnavailableError, MessageOptions
from bizzmq.broker import Broker
from bizzmq.connection import Connection
from bizzmq.publisher import Publisher
from bizzmq.testing import invariants
from bizzmq.testing.layout import command, snapshot
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.gated import HANDLER, Gate
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support.features import need_replicas_for_scripts
from tests.support.tmpfs import can_mount, tmpfs

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
REFUSED_S = 2.0


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount a tmpfs")
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
        gates = _two_run(scene)

        disk.fill()
        eventually(lambda: _refuses(scene), PATIENCE_S, server.log)
        _open(gates)
        log_says(pool, "MISCONF", times=3)  # to both outcomes, and to the janitor's beat
        _stays_calm(pool)
        _publisher_is_told(server)
        disk.free()
        eventually(lambda: not _refuses(scene), PATIENCE_S, server.log)
        scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

        _works_again(scene, pool)
        scene.retire(pool)
        if persistence == "aof":
            server.restart()  # what was accepted is what is on the disk
            scene.check_stored()
        scene.close()
        server.close()  # its directory can only be unmounted then


def test_a_redis_without_the_replicas_that_it_wants_is_an_outage(own_scene: OwnScene) -> None:
    server, scene = own_scene()
    need_replicas_for_scripts(scene.redis)
    pool = scene.pool("--lease=1", handler=HANDLER, concurrency=2)
    gates = _two_run(scene)

    command(scene.redis, "CONFIG", "SET", "min-replicas-to-write", 1)
    _open(gates)
    log_says(pool, "NOREPLICAS", times=3)
    _stays_calm(pool)
    _publisher_is_told(server)
    held = scene.held()
    command(scene.redis, "CONFIG", "SET", "min-replicas-to-write", 0)
    scene.works_again(time.monotonic(), lambda: scene.totals().get("acked"))

    assert len(held) == 2, "something was moved though Redis refused it"
    _works_again(scene, pool)
    scene.retire(pool)


def test_a_pool_that_starts_while_nothing_can_be_written_waits(own_scene: OwnScene) -> None:
    _, scene = own_scene()
    need_replicas_for_scripts(scene.redis)
    messages = scene.publish(*[{"do": "ok"}] * 10)
    command(scene.redis, "CONFIG", "SET", "min-replicas-to-write", 1)

    pool = scene.pool(ready=False)
    log_says(pool, "NOREPLICAS")
    _stays_calm(pool)
    assert not scene.registered()
    healed_s = time.monotonic()
    command(scene.redis, "CONFIG", "SET", "min-replicas-to-write", 0)
    scene.runs_again(healed_s)

    scene.ledger.wait_handled(*messages, timeout_s=PATIENCE_S)
    scene.settle(extra_runs=0)
    scene.retire(pool)


def _two_run(scene: Scene) -> list[Gate]:
    """The gates of two messages that run now; one of them will fail once."""
    gates = [scene.gate() for _ in range(2)]
    for gate, deed in zip(gates, ("ok", "raise")):
        scene.ledger.wait_started(scene.publish_one(gate.body(deed, "ok")))
    return gates


def _open(gates: list[Gate]) -> None:
    for gate in gates:
        gate.open()


def _refuses(scene: Scene) -> bool:
    """Whether Redis refuses to write; asked with a write, since that makes it find out."""
    try:
        command(scene.redis, "SET", "probe", "x" * 2000)
    except Exception as error:  # noqa: BLE001 - whatever the client library makes of it
        return "MISCONF" in str(error)
    return False


def _stays_calm(pool: Pool) -> None:
    """Nobody leaves, and there is next to nothing to say."""
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
    assert pool.worker_pids() == pool.started_worker_pids(), "a worker has left"
    assert len(snapshot(scene.redis, QUEUE)[0].workers) == 2
