"""Progress and checkpoints in a slot's shared memory: what is read after a death is whole, and the newest."""

from __future__ import annotations

import os
import signal
import time

import pytest

from bizzmq.protocol.records import MAX_PROGRESS_BYTES, SMALL_BYTES
from bizzmq.testing.wait import eventually
from bizzmq.workers.ipc.records_area import Record
from bizzmq.workers.ipc.scoreboard import Scoreboard

ID, QUEUE = "00000000000000000001", "q" * 128 + ":127"


def test_the_newest_is_read() -> None:
    board = Scoreboard(2)
    activity = board.slot(1)
    assert (activity.records.progress(), activity.records.checkpoint(), board.has_records) == (None, None, False)

    for number in (1, 2, 3):
        assert activity.record_checkpoint(QUEUE, ID, number, b"c" * (SMALL_BYTES - number))
        activity.record_progress(QUEUE, ID, b"p" * (MAX_PROGRESS_BYTES - number))

    assert activity.records.checkpoint() == Record(3, ID, QUEUE, b"c" * (SMALL_BYTES - 3))
    assert activity.records.progress() == Record(3, ID, QUEUE, b"p" * (MAX_PROGRESS_BYTES - 3))
    assert board.has_records
    assert board.slot(0).records.checkpoint() is None


@pytest.mark.parametrize("forget", ["forget_checkpoint", "reset"])
def test_a_forgotten_one_counts_no_more(forget: str) -> None:
    activity = Scoreboard(1).slot(0)
    activity.record_checkpoint(QUEUE, ID, 1, b"{}")
    activity.record_checkpoint(QUEUE, ID, 2, b"{}")

    getattr(activity, forget)()

    assert activity.records.checkpoint() is None


def test_a_record_goes_through_json_unchanged() -> None:
    record = Record(7, ID, QUEUE, '{"text":"\N{SNOWMAN}"}'.encode())

    assert Record.from_stored(record.to_stored()) == record


def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_checkpoint() -> None:
    board = Scoreboard(1)
    for _ in range(15):
        activity = board.slot(0)
        activity.reset()
        pid = os.fork()
        if pid == 0:
            try:
                for number in range(1, 10**9):
                    activity.record_checkpoint(QUEUE, ID, number, b"%09d" % number * (1 + number % 400))
            finally:
                os._exit(1)
        eventually(lambda: board.slot(0).records.checkpoint() is not None, 30)
        time.sleep(0.003)  # anywhere in its writes
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

        found = activity.records.checkpoint()

        assert found is not None
        assert found.data == b"%09d" % found.number * (1 + found.number % 400)
