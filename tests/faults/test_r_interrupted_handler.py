"""R26 in a pool: time limits strike a handler that uses the client, and what it was told is true."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bizzmq import BizzMQ, MessageOptions
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.support.interrupts import seeded
from tests.support.publishes import CALM, NOTES_VARIABLE, OUT, WRONG

LONGEST_S = 0.03


@pytest.mark.parametrize("interrupts", [100, pytest.param(3000, marks=[pytest.mark.matrix, pytest.mark.timeout(600)])])
def test_a_limit_in_a_call_of_the_client_leaves_the_next_message_a_client_that_is_right(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: int
) -> None:
    notes = tmp_path / "notes"
    monkeypatch.setenv(NOTES_VARIABLE, str(notes))
    chance = random.Random(seeded())
    for queue in (OUT, CALM):
        scene.mq.create_queue(queue)
    scene.mq.publish_messages_to_queue(CALM, [1, 2, 3])
    pool = scene.pool(handler="tests.support.publishes:handler", url_in_env=True)
    workers = pool.worker_pids()

    with BizzMQ(scene.url) as mq:
        for _ in range(interrupts):
            limit_s = max(0.001, chance.random() * LONGEST_S)
            mq.publish_message_to_queue(QUEUE, {}, MessageOptions(timeout_s=limit_s, retries=0))
        eventually(lambda: mq.stats(QUEUE).dead_lettered == interrupts, PATIENCE_S + interrupts * LONGEST_S, pool.log)

    told = notes.read_text().split()
    assert WRONG not in notes.read_text()
    assert len(told) == len(set(told)) > 0
    assert set(told) <= set(command(scene.redis, "HKEYS", Keys(OUT).messages))
    # Libraries catch whatever strikes some of their code: redis-py's finalizers, importlib.metadata's look at archives.
    swallowed = [line for line in pool.log().splitlines() if "worker died" in line]
    assert all("ran past its limit" in line for line in swallowed), swallowed
    assert len(swallowed) <= 1 + interrupts // 300, swallowed
    assert pool.started_worker_pids()[:2] == workers
    scene.retire(pool, tracebacks=10 * interrupts)  # an error may have several
