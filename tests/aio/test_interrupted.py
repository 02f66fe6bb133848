"""Exceptions from signal handlers, at any instruction: the loop and the client go on, and no reply goes astray."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from redis import Redis

from bizzmq.testing.layout import Keys
from tests.aio.test_cancellation import QUEUE
from tests.support.interrupts import seeded

ROOT = Path(__file__).parents[2]
SILENT_S = 60.0
"""A program that prints nothing for this time hangs: a turn takes milliseconds, and no reply is awaited for longer."""
SEEDS = 3
"""asyncio seldom loses a callback. So a run that hangs is repeated; if each one hangs, the fault is ours."""


def _run(url: str, interrupts: int) -> tuple[list[str], bool]:
    """What the program has printed, and whether it has hung. Any error in it fails the test."""
    command = [sys.executable, "-m", "tests.aio.interrupted_loop", url, str(interrupts), str(seeded())]
    printed: list[bytes] = []
    with tempfile.TemporaryFile() as errors, subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors
    ) as program:
        assert program.stdout is not None
        while not printed or printed[-1]:
            if not select.select([program.stdout], [], [], SILENT_S)[0]:
                program.kill()
                return b"".join(printed).decode().split(), True
            printed.append(os.read(program.stdout.fileno(), 65_536))
        assert program.wait(SILENT_S) == 0, (errors.seek(0), errors.read().decode())[1]
    return b"".join(printed).decode().split(), False


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("interrupts", [50, 3000])
def test_a_loop_that_was_interrupted_at_any_instruction_goes_on(url: str, redis: Redis, interrupts: int) -> None:
    """Nightly: a hang is bounded by a minute, and is asyncio's unless it comes back with each seed."""
    for _ in range(SEEDS):
        redis.flushall()
        printed, has_hung = _run(url, interrupts)
        ids = [one for one in printed if one != "done"]
        assert len(ids) == len(set(ids))
        stored = {str(one) for one in redis.hkeys(Keys(QUEUE).messages)}
        assert set(ids) <= stored, "ids of messages that are not stored"
        if not has_hung:
            assert printed[-1] == "done"
            return
        print("asyncio has lost a callback")  # noqa: T201 - for the reader of the report
    pytest.fail("no run ends: asyncio does not lose a callback each time")
