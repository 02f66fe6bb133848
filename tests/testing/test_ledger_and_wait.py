"""The ledger records what happened, and waiting ends in time."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bizzmq.testing.ledger import END, START, Ledger
from bizzmq.testing.wait import eventually, eventually_holds
from tests.support.paths import ROOT


def test_all_processes_write_and_the_reader_separates_runs(ledger: Ledger) -> None:
    code = """if True:
        import os
        from bizzmq.testing.ledger import record
        record("start", "m1", delivery=1)
        if os.fork() == 0:
            record("start", "m2", delivery=1)
            record("end", "m2", outcome="ok")
            os.kill(os.getpid(), 9)
        os.wait()
        record("end", "m1", outcome="error")
        record("start", "m1", delivery=2)
        os.kill(os.getpid(), 9)
    """
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == -signal.SIGKILL

    first, second = ledger.runs_of("m1")
    (other,) = ledger.runs_of("m2")
    assert (first.delivery, first.succeeded, second.delivery, second.end) == (1, False, 2, None)
    assert first.pid == second.pid != other.pid
    assert first.start.time_s < other.start.time_s < first.start.time_s + 60
    assert ledger.handled() == {"m2"}
    assert ledger.duplicates() == {"m1": 1}
    assert ledger.running() == [second]
    assert ledger.running(at_s=other.start.time_s) == [first, other]


def test_a_reader_sees_what_is_written_later(ledger: Ledger) -> None:
    ledger.record_published("m1", "m2")
    assert ledger.published() == ["m1", "m2"]

    ledger.record(START, "m1", delivery=1)
    assert ledger.wait_started("m1").delivery == 1
    ledger.record(END, "m1", outcome="ok")
    ledger.wait_handled("m1")
    with pytest.raises(AssertionError, match=r"2 messages to be handled; the ledger has .*'published': 2"):
        ledger.wait_handled(timeout_s=0.01)


def test_a_half_written_line_is_read_when_it_is_complete(tmp_path: Path) -> None:
    writer, reader = Ledger(tmp_path), Ledger(tmp_path)
    writer.record(START, "m1")
    (file,) = tmp_path.glob("*.jsonl")
    line = file.read_bytes()

    file.write_bytes(line[:10])
    assert reader.starts() == []
    file.write_bytes(line)
    assert [event.id for event in reader.starts()] == ["m1"]


def test_a_failure_names_the_condition_and_its_last_value() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.01 s for two; last value: \[\]"):
        eventually(list, timeout_s=0.01, what="two")
    with pytest.raises(AssertionError, match="for the server; last error: ArithmeticError"):
        eventually(_not_yet, timeout_s=0.01, what=lambda: "the server", ignoring=(ArithmeticError,))


def test_other_errors_are_raised_at_once() -> None:
    with pytest.raises(ArithmeticError):
        eventually(_not_yet, timeout_s=60)


def test_a_check_is_repeated_until_it_holds() -> None:
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        assert len(calls) == 3

    eventually_holds(check)

    assert len(calls) == 3


def _not_yet() -> bool:
    raise ArithmeticError("not yet")
