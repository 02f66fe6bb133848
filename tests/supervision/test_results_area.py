"""Results in a slot's shared memory: what is read after a death is whole, and belongs to a finished message."""

from __future__ import annotations

import mmap
import os
import signal
import time

import pytest

from bizzmq.protocol.results import KeptResult, success_text
from bizzmq.testing.wait import eventually
from bizzmq.workers.ipc.results_area import RESULTS_BYTES, ResultsArea
from bizzmq.workers.ipc.scoreboard import Scoreboard


def message(number: int) -> bytes:
    return b"%020d" % number


def kept(size: int = 10, number: int = 1) -> KeptResult:
    return KeptResult(b"60000", success_text(b"x" * size, number, 1000, 2000))


def test_results_are_read_as_they_were_written() -> None:
    activity = Scoreboard(2).slot(1)
    results = {message(number): kept(number * 100, number) for number in range(20)}

    for name, one in results.items():
        assert activity.store_result(name, one)
        activity.finish(name)

    assert activity.results() == {name.decode(): one for name, one in results.items()}


def test_a_result_without_room_is_refused_and_the_next_batch_has_all_the_room() -> None:
    activity = Scoreboard(1).slot(0)
    assert activity.store_result(message(1), kept(RESULTS_BYTES - 200))
    activity.finish(message(1))

    assert not activity.store_result(message(2), kept(200))
    assert list(activity.results()) == [message(1).decode()]

    activity.acked()
    assert activity.store_result(message(2), kept(RESULTS_BYTES - 200))
    assert activity.results() == {message(2).decode(): kept(RESULTS_BYTES - 200)}
    assert not activity.store_result(message(3), kept(RESULTS_BYTES))


def test_a_slot_without_a_worker_has_no_results() -> None:
    board = Scoreboard(2)
    board.slot(0).store_result(message(1), kept())
    board.slot(1).store_result(message(2), kept())

    board.slot(0).reset()

    assert board.slot(0).results() == {}
    assert list(board.slot(1).results()) == [message(2).decode()]


@pytest.mark.parametrize("cut", range(0, 86, 7))
def test_half_of_a_result_is_none(cut: int) -> None:
    memory, whole = mmap.mmap(-1, RESULTS_BYTES), mmap.mmap(-1, RESULTS_BYTES)
    area, model = ResultsArea(memory, 0), ResultsArea(whole, 0)
    for one in (area, model):
        assert one.add(message(1), kept())
    assert model.add(message(2), kept(20))
    first = len(memory[:].rstrip(b"\0"))

    memory[first : first + cut] = whole[first : first + cut]

    assert list(area.read()) == [message(1).decode()]


@pytest.mark.parametrize("kind", ["ones", "random", "zeros"])
def test_garbage_is_no_result(kind: str) -> None:
    memory = mmap.mmap(-1, RESULTS_BYTES)
    memory[:] = {"ones": b"\xff" * RESULTS_BYTES, "random": os.urandom(RESULTS_BYTES), "zeros": bytes(RESULTS_BYTES)}[
        kind
    ]

    assert ResultsArea(memory, 0).read() == {}


def test_a_writer_that_is_killed_at_any_moment_leaves_whole_results_only() -> None:
    board = Scoreboard(1)
    for _ in range(20):
        activity = board.slot(0)
        activity.reset()
        pid = os.fork()
        if pid == 0:
            try:
                number = 0
                while True:
                    number += 1
                    if not activity.store_result(message(number), kept(number % 3000, number)):
                        activity.acked()
                        continue
                    activity.finish(message(number))
            finally:
                os._exit(1)
        eventually(lambda: activity.read().handled > 50)  # noqa: B023
        time.sleep(0)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

        for name, one in activity.results().items():
            assert one == kept(int(name) % 3000, int(name))
        last = activity.read().last_finished
        assert not last or last in activity.results(), "a finished message without its result"
