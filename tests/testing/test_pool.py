"""The pools of the fault kit: all their processes are found, checked and ended."""

from __future__ import annotations

import os
import signal
from typing import Callable

import pytest
from redis import Redis

from bizzmq.testing.family import is_living
from bizzmq.testing.pool import Pool
from bizzmq.testing.roles import classify
from bizzmq.testing.wait import eventually

DECOY = "tests.support.decoy_pool"
StartPool = Callable[..., Pool]


def test_a_ready_pool_knows_its_processes(pool_factory: StartPool, url: str, redis: Redis) -> None:
    pool = pool_factory(url, module=DECOY, concurrency=3)

    pool.wait_ready()

    assert len(pool.worker_pids()) == redis.hlen("bizzmq:{q}:workers") == 3
    pids = {pool.supervisor_pid, pool.janitor_pid(), *pool.worker_pids()}
    assert len(pids) == 5
    assert pids == {process.pid for process in pool.living()}


def test_a_killed_worker_that_is_not_reaped_is_noticed(pool_factory: StartPool, url: str) -> None:
    pool = pool_factory(url, module=DECOY)
    pool.wait_ready()
    victim, other = pool.worker_pids()

    os.kill(victim, signal.SIGKILL)

    assert [process.pid for process in eventually(pool.zombies)] == [victim]
    assert pool.worker_pids() == [other]
    assert pool.started_worker_pids() == [victim, other]


def test_a_pool_that_exits_in_order_leaves_nothing(pool_factory: StartPool, url: str) -> None:
    pool = pool_factory(url, module=DECOY)
    pool.wait_ready()

    pool.signal(signal.SIGTERM)

    assert pool.wait() == 0
    pool.assert_no_process_left()


def test_a_process_left_behind_is_found_and_ended(pool_factory: StartPool, url: str) -> None:
    pool = pool_factory(url, module=DECOY, env={"DECOY": "leave"})
    pool.wait_ready()
    pool.signal(signal.SIGTERM)
    pool.wait()

    with pytest.raises(AssertionError, match="sleep 60"):
        pool.assert_no_process_left(timeout_s=0.01)
    pool.close()

    pool.assert_no_process_left()


def test_orphans_of_a_killed_supervisor_still_belong_to_the_pool(pool_factory: StartPool, url: str) -> None:
    pool = pool_factory(url, module=DECOY)
    pool.wait_ready()
    workers = pool.worker_pids()

    pool.signal(signal.SIGKILL)

    assert pool.wait() == -signal.SIGKILL
    assert pool.worker_pids() == workers
    pool.close()
    assert pool.worker_pids() == []


def test_the_loss_of_a_host_kills_all_processes_at_once(pool_factory: StartPool, url: str) -> None:
    pool = pool_factory(url, module=DECOY)
    pool.wait_ready()
    processes = pool.living()

    pool.kill_group()

    assert pool.exit_code == -signal.SIGKILL
    assert not any(is_living(process) for process in processes)
    pool.assert_no_process_left()


def test_a_pool_that_cannot_start_fails_at_once_with_its_log(pool_factory: StartPool, url: str) -> None:
    pool = pool_factory(url, module=DECOY, env={"DECOY": "broken"})

    with pytest.raises(AssertionError, match=r"left with 1 before it was ready(?s:.*)asked to be broken"):
        pool.wait_ready()


def test_roles_are_read_from_text_and_json_logs() -> None:
    log = """
2024-01-01 12:00:00 INFO worker started slot=0 pid=11 worker=host.1
{"event": "janitor started", "level": "info", "pid": 12}
{"pid": 13, "message": "worker started"}
worker exited pid=11
worker started without a number
"""
    assert classify(log) == {11: "worker", 12: "janitor", 13: "worker"}
