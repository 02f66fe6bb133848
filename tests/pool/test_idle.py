"""Idle pools: their load on Redis, and their immediate exit while Redis is unavailable."""

from __future__ import annotations

import signal
import time
from typing import Any, Callable

import psutil
import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.testing.layout import Keys
from bizzmq.testing.pool import Pool
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says

SOON_S = 15.0
"""Far below the drain timeout, which is 30 s here."""
TIMEOUT_S = 5.0
"""How long a reply may take before Redis counts as unavailable."""
BUSY = 0.2
"""The part of a processor that no idle process uses: one that never sleeps uses all that it gets."""


def test_an_idle_pool_sends_less_than_a_command_a_second_for_a_worker_and_sleeps(scene: Scene) -> None:
    workers, window_s = 4, 6.0
    pool = scene.pool("--log-level=debug", concurrency=workers)
    log_says(pool, "worker ready", times=workers)

    before, used_s, started_s = _commands(scene.redis), pool_cpu_s(pool), time.monotonic()
    time.sleep(window_s)  # the time over which the rate is measured
    sent, took_s = _commands(scene.redis) - before, time.monotonic() - started_s

    assert 0 < sent < workers * took_s, f"{sent} commands of {workers} workers and a janitor in {took_s:.1f} s"
    used = {name: now_s - used_s[name] for name, now_s in pool_cpu_s(pool).items()}
    assert max(used.values()) < BUSY * took_s, f"processor seconds in {took_s:.1f} s: {used}"
    scene.retire(pool)


def test_a_pool_that_waits_for_later_messages_and_damaged_schedules_sleeps(scene: Scene) -> None:
    scene.mq.schedule("later", QUEUE, {"do": "ok"}, every_s=3600)
    keys = Keys(QUEUE)
    scene.redis.hset(keys.schedules, "damaged", "x")
    scene.redis.zadd(keys.due, {"damaged": 1000})
    scene.mq.publish_message_to_queue(QUEUE, {"do": "ok"}, MessageOptions(delay_s=3600))
    pool = scene.pool("--min-concurrency=1", concurrency=1)
    log_says(pool, "cannot fire")

    used_s, started_s = pool_cpu_s(pool), time.monotonic()
    time.sleep(3.0)  # the time over which processor seconds are measured
    took_s = time.monotonic() - started_s

    used = {name: now_s - used_s.get(name, 0.0) for name, now_s in pool_cpu_s(pool).items()}
    assert max(used.values()) < BUSY * took_s, f"processor seconds in {took_s:.1f} s: {used}"
    scene.retire(pool)


def test_an_idle_consumer_in_process_sleeps(mq: BizzMQ, queue: str, consumer_factory: Any, url: str) -> None:
    handled: list[Any] = []
    consumer_factory(url, queue, handled.append, LeaseOptions(beat_s=0.2))
    mq.publish_message_to_queue(queue, 1)
    eventually(lambda: handled == [1])

    used_s, started_s = time.process_time(), time.monotonic()
    time.sleep(2.0)  # the time over which processor seconds are measured
    took_s = time.monotonic() - started_s

    assert time.process_time() - used_s < BUSY * took_s


@pytest.mark.usually(1)
@pytest.mark.parametrize(("fault", "within_s"), [(RedisServer.kill, SOON_S), (RedisServer.pause, SOON_S + TIMEOUT_S)])
def test_an_idle_pool_without_redis_exits_at_once(
    own_scene: Callable[..., tuple[RedisServer, Scene]], fault: Callable[[RedisServer], None], within_s: float
) -> None:
    server, scene = own_scene()
    pool = scene.pool("--log-level=debug")
    log_says(pool, "worker ready", times=2)

    fault(server)
    _exits_soon(pool, within_s=within_s)


def test_an_idle_pool_that_has_noticed_the_outage_exits_at_once(
    own_scene: Callable[..., tuple[RedisServer, Scene]],
) -> None:
    server, scene = own_scene()
    pool = scene.pool()
    server.kill()
    log_says(pool, "Redis is unavailable", times=3)  # the janitor and both workers

    _exits_soon(pool)


def test_a_death_settled_long_ago_does_not_delay_the_exit_of_an_idle_pool(
    own_scene: Callable[..., tuple[RedisServer, Scene]],
) -> None:
    server, scene = own_scene()
    pool = scene.pool()
    scene.publish_one({"do": "os_exit", "times": 1})
    scene.settle(extra_runs=1)
    eventually(lambda: len(pool.started_worker_pids()) == 3 and len(scene.registered()) == 2, PATIENCE_S)
    server.kill()
    log_says(pool, "Redis is unavailable", times=3)

    _exits_soon(pool)


@pytest.mark.usually(1)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_pool_that_never_found_redis_logs_that_once_and_exits_at_once(
    pool_factory: Callable[..., Pool], number: int
) -> None:
    pool = pool_factory(f"redis://{LOOPBACK}:{free_port()}/0")
    log_says(pool, "Redis is unavailable")
    log_says(pool, "worker started", times=2)

    _exits_soon(pool, number)
    assert pool.log().count("Redis is unavailable") == 1


def pool_cpu_s(pool: Pool) -> dict[str, float]:
    """Processor seconds of each process of the pool so far."""
    supervisor = psutil.Process(pool.supervisor_pid)
    found = {}
    for process in [supervisor, *supervisor.children(recursive=True)]:
        times = process.cpu_times()
        found[f"{process.name()} {process.pid}"] = times.user + times.system
    return found


def _exits_soon(pool: Pool, number: int = signal.SIGTERM, within_s: float = SOON_S) -> None:
    started_s = time.monotonic()
    pool.signal(number)
    assert pool.wait(PATIENCE_S) == 0
    assert time.monotonic() - started_s < within_s, pool.log()
    pool.assert_no_process_left()


def _commands(redis: Redis) -> int:
    """The number of scripts and blocking waits that the server has executed so far."""
    stats = redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval", "bzpopmin"))
