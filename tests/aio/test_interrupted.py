"""Exceptions from signal handlers, at any instruction: the loop and the client go on, and no reply goes astray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from bizzmq.testing.layout import Keys
from tests.aio.interrupted_loop import LOST
from tests.aio.test_cancellation import QUEUE
from tests.support.interrupts import seeded

ROOT = Path(__file__).parents[2]


def _run(url: str, redis: Redis, interrupts: int) -> int:
    """Interrupt calls until there are enough, or asyncio has lost a callback. Returns how many were interrupted."""
    redis.flushall()
    command = [sys.executable, "-m", "tests.aio.interrupted_loop", url, str(interrupts), str(seeded())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # its watchdog ends it
    assert done.returncode in (0, LOST), done.stderr
    if done.returncode == LOST:
        print("asyncio has lost a callback")  # noqa: T201 - for the reader of the report
    turns = [line.split() for line in done.stdout.splitlines()]
    reported = [one for turn in turns for one in turn[1:]]
    assert len(reported) == len(set(reported))
    stored = {str(one) for one in redis.hkeys(Keys(QUEUE).messages)}
    assert set(reported) <= stored, "ids of messages that are not stored"
    return sum(int(turn[0]) for turn in turns)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("interrupts", [50, 3000])
def test_a_loop_that_was_interrupted_at_any_instruction_goes_on(url: str, redis: Redis, interrupts: int) -> None:
    """Nightly: asyncio loses a callback every few hundred interrupts, and a new program has to go on."""
    left = interrupts
    while left > 0:
        left -= max(1, _run(url, redis, left))
