"""A handler's C code has overwritten the shared memory: what is read is wrong, but the pool goes on."""

from __future__ import annotations

import math
import random
from pathlib import Path

from bizzmq.testing.wait import eventually
from bizzmq.workers.ipc.pool_header import HEADER_BYTES
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.slot_activity import SLOT_BYTES
from tests.faults.scene import PATIENCE_S, QUEUE, Scene

HANDLER = """
import gc, os, pathlib, signal

once = pathlib.Path(__file__).with_name("once")

def handler(body, context):
    if body == "overwrite" and not once.exists():
        once.touch()
        slots = [one for one in gc.get_objects() if type(one).__name__ == "SlotActivity"]
        memory, at = slots[0]._memory, min(one._at for one in slots)
        memory[at:] = b"\\xff" * (len(memory) - at)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_random_memory_can_be_read(rng: random.Random) -> None:
    board = Scoreboard(1, 3)
    activity = board.slot(0)
    for number in range(2000):
        filled = bytes([255]) * SLOT_BYTES if number == 0 else bytes(rng.getrandbits(8) for _ in range(SLOT_BYTES))
        board._memory[HEADER_BYTES : HEADER_BYTES + SLOT_BYTES] = filled

        seen = activity.read()

        assert seen.queue_index < 3
        assert all(map(math.isfinite, (seen.started_s, seen.deadline_s, seen.cpu_deadline_s)))


def test_a_pool_goes_on_after_a_handler_has_overwritten_all_slots(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "overwriting.py").write_text(HANDLER, encoding="utf-8")
    pool = scene.pool(handler="overwriting:handler", cwd=tmp_path, concurrency=2)

    ids = scene.mq.publish_messages_to_queue(QUEUE, ["overwrite", *["fine"] * 20])

    eventually(lambda: scene.mq.stats(QUEUE).acked == len(ids), PATIENCE_S, pool.log)
    assert pool.exit_code is None
    assert "Traceback" not in pool.log()
