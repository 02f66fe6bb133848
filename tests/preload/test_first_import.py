"""Without a template one worker imports first, so that compiled and written files exist for the others."""

from __future__ import annotations

import signal

from bizzmq.testing.wait import eventually
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.supervisor.first_import import LIMIT_S, TRIES, FirstImport
from bizzmq.workers.supervisor.slot import Phase, Slot
from tests.faults.scene import PATIENCE_S
from tests.preload.test_pools import Home, home

__all__ = ["home"]

COMPILES = """
import os, time
BUILT = OUT + ".built"
if not os.path.exists(BUILT):
    os.mkdir(OUT + ".building")  # as a build directory that another process has made meanwhile
    time.sleep(0.2)
    open(BUILT, "w").close()
    os.rmdir(OUT + ".building")
    say("built")
def handler(body):
    say("handled")
"""
STOPS = """
import os, signal
if not os.path.exists(OUT + ".stopped"):
    open(OUT + ".stopped", "w").close()
    os.kill(os.getpid(), signal.SIGSTOP)
def handler(body):
    say("handled")
"""


def test_an_import_is_compiled_by_one_worker_also_at_a_reload(home: Home) -> None:
    home.write(COMPILES)
    pool = home.pool("--preload=off", concurrency=4)
    assert home.lines() == ["built"]
    assert len(pool.started_worker_pids()) == 4, "one could not start"

    (home.folder / "out.built").unlink()
    pool.signal(signal.SIGHUP)

    eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
    assert home.lines() == ["built"] * 2
    assert "reload failed" not in pool.log()


def test_a_stopped_first_import_does_not_block_the_others(home: Home) -> None:
    home.write(STOPS)
    pool = home.pool("--preload=off", concurrency=3, ready=False)
    home.mq.publish_message_to_queue("q", 1)

    home.handled(1)

    eventually(lambda: pool.log().count("worker ready") == 2, PATIENCE_S, pool.log)
    assert pool.log().count("a worker does not come to the end of its import, the next one begins") == 1


class Clock:
    now_s = 100.0


def starts(first: FirstImport, slot: Slot, worker: str) -> None:
    slot.phase, slot.worker = Phase.UP, worker
    first.begin(slot)


def test_after_a_failed_or_slow_first_import_the_next_follows_and_after_three_all() -> None:
    scoreboard, clock = Scoreboard(TRIES), Clock()
    slots = [Slot(index, scoreboard.slot(index), pid=-1) for index in range(TRIES)]
    first = FirstImport(now_s=lambda: clock.now_s)

    assert first.may_begin()
    starts(first, slots[0], "w1")
    assert not first.may_begin()
    slots[0].phase = Phase.FAILED
    assert first.may_begin()
    starts(first, slots[1], "w2")
    clock.now_s += LIMIT_S - 1.0
    assert not first.may_begin()
    clock.now_s += 1.0
    assert first.may_begin()
    starts(first, slots[2], "w3")
    assert first.may_begin(), "all of them"


def test_a_successful_first_import_is_the_only_one_that_is_waited_for() -> None:
    slot, first = Slot(0, Scoreboard(1).slot(0), pid=-1), FirstImport()
    starts(first, slot, "w1")
    first.is_over = True
    starts(first, slot, "w2")

    assert first.may_begin()
    assert FirstImport(is_over=True).may_begin()
