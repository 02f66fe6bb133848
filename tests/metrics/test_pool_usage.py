"""What a pool uses: sampled from its processes, kept for an hour, bounded, and gone with the pool."""

from __future__ import annotations

import random
import subprocess
import sys
import zlib
from typing import Iterator

import psutil
import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.consumer.lease import Lease
from bizzmq.metrics.deploys import start_bytes
from bizzmq.metrics.pool_usage import (
    KEPT_S,
    MOST_POOLS,
    MOST_SLOTS,
    POOL_BYTES,
    SLOTS_BYTES,
    STEP_S,
    PoolUsage,
    SlotStep,
    UsageStep,
    decode,
    read_usage,
    read_usages,
)
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.wait import eventually
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.janitor.orphans import OrphanedWorkers
from bizzmq.workers.janitor.usage_sampler import UsageSampler
from tests.scripts.containers import put
from tests.scripts.moves import QUEUE, held

KEY = "bizzmq:{q}:metrics"
NOW_S = 1_800_000_000.0
BUSY, IDLE = "while True: pass", "import time; time.sleep(600)"


@pytest.fixture
def processes() -> Iterator[list[psutil.Process]]:
    """Two that work and rest, as workers do."""
    started = [subprocess.Popen([sys.executable, "-c", code]) for code in (BUSY, IDLE)]
    yield [psutil.Process(one.pid) for one in started]
    for one in started:
        one.kill()
        one.wait()


def test_workers_are_sampled_and_a_new_janitor_goes_on(
    broker: Broker, redis: Redis, processes: list[psutil.Process]
) -> None:
    put(redis, QUEUE, held())
    scoreboard, now = Scoreboard(2), [100.0]
    config = WorkerConfig("m:h", redis_url="redis://x", queues=(QUEUE,))

    def janitor() -> UsageSampler:
        workers = OrphanedWorkers(config, scoreboard)
        for slot, process in enumerate(processes):
            assert workers.adopt(f"w{slot}", process.pid, slot)
        return UsageSampler(broker, "s1", QUEUE, Lease(broker, "s1", [QUEUE]), scoreboard, workers, lambda: now[0])

    first = janitor()
    scoreboard.slot(0).begin(b"m1", 0, 95.0, 0.0, 1, 0)
    assert first.sample(None, 0.0) == (b"", b"")  # there is nothing to compare with yet
    before_s = processes[0].cpu_times().user
    eventually(lambda: processes[0].cpu_times().user >= before_s + 0.2, 60)
    now[0] = 110.0
    stored = first.sample(NOW_S, 0.0)
    broker.add_metrics(QUEUE, "s1", 1, b"", b"{}", stored)

    usage = broker.perform(read_usage(QueueKeys(QUEUE), "s1"))
    (step,) = usage.steps.values()
    assert (step.workers, step.busy_milli) == (2, 1000)  # it ran for all of the ten seconds
    assert 2 * 1024 < step.memory_kb < 10**6
    assert step.cpu_milli >= 20
    slots = {slot: one[max(one)] for slot, one in usage.slots.items()}
    assert sorted(slots) == [0, 1]
    assert slots[0].cpu_milli > slots[1].cpu_milli

    scoreboard.slot(0).idle()
    second = janitor()
    assert second.sample(NOW_S + 20, 16.0) == (b"", b"")
    now[0] = 120.0
    known = decode(*second.sample(NOW_S + 30, 21.0))
    assert sorted(known.steps) == [NOW_S // STEP_S, NOW_S // STEP_S + 3]
    assert known.steps[int(NOW_S) // STEP_S + 3].busy_milli == 500


def test_a_usage_goes_with_its_pool_and_stays_for_the_others(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held())
    usage = PoolUsage()
    usage.add(NOW_S, UsageStep(1, 2, 3, 4), {0: SlotStep(5, 6)})
    start = start_bytes("1", "0.1.0", "m:h")
    for pool in ("s1", "s2"):
        broker.register(QUEUE, pool)
        for number in (1, 2):  # the second one adds nothing but the usage
            broker.add_metrics(QUEUE, pool, number, b"", start if number == 1 else b"", usage.encode())

    found = broker.perform(read_usages(QueueKeys(QUEUE), ["s1", "s2", "s3"], 0))
    broker.unregister(QUEUE, "s1")

    assert sorted(found.usages) == ["s1", "s2"]
    assert found.usages["s2"].steps == usage.steps
    assert len(found.deploys) == 1  # both run the same
    assert sorted(name for name in redis.hkeys(KEY) if name[:2] in ("u:", "w:")) == ["u:s2", "w:s2"]


def test_an_hour_of_the_largest_pool_is_bounded() -> None:
    rng, usage = random.Random(7), PoolUsage()
    for number in range(2 * KEPT_S // STEP_S):
        slots = {slot: SlotStep(rng.randrange(10**7), rng.randrange(10**4)) for slot in range(MOST_SLOTS + 8)}
        step = UsageStep(rng.randrange(10**9), rng.randrange(10**6), rng.randrange(10**6), rng.randrange(1000))
        usage.add(NOW_S + number * STEP_S, step, slots)
    assert len(usage.steps) == KEPT_S // STEP_S
    assert len(usage.slots) == MOST_SLOTS

    whole, parts = usage.encode()

    assert len(whole) <= POOL_BYTES
    assert len(parts) <= SLOTS_BYTES
    assert MOST_POOLS * (POOL_BYTES + SLOTS_BYTES) < 10**6
    stored = decode(whole, parts)
    assert stored.steps
    assert stored.slots
    assert stored.steps.items() <= usage.steps.items()
    assert stored.slots.items() <= usage.slots.items()
    usage.add(NOW_S - 86_400, step, {})  # the clock was set back
    assert len(usage.steps) == 1


FORGED = [b"5", b"[[1],[2]]", b"[[1],[1],[1],[1],[-5]]", b'[["1"],[1],[1],[1],[1]]']


@pytest.mark.parametrize("stored", [b"", b"x", *map(zlib.compress, FORGED)])
def test_what_is_forged_is_nothing(stored: bytes) -> None:
    assert decode(stored, stored).steps == {}
    assert decode(None, stored).slots == {}
