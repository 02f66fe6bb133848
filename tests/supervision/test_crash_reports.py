"""The crashes that wait for the next worker are bounded, and each is handed out once."""

from __future__ import annotations

from bizzmq.middleware.base import WorkerCrash
from bizzmq.workers.ipc.crash_reports import MOST_CRASHES, CrashReports


def crash(pid: int) -> WorkerCrash:
    return WorkerCrash("was killed by SIGKILL", "w", 0, pid, "host", 0.0)


def test_crashes_are_handed_out_once_in_their_order() -> None:
    reports = CrashReports()
    reports.add(crash(1))
    reports.add(crash(2))

    assert [one.pid for one in reports.take()] == [1, 2]
    assert reports.take() == []


def test_the_oldest_of_too_many_crashes_are_only_counted() -> None:
    reports = CrashReports()
    for pid in range(MOST_CRASHES + 5):
        reports.add(crash(pid))

    taken = reports.take()
    reports.add(crash(99))

    assert [one.pid for one in taken] == list(range(5, MOST_CRASHES + 5))
    assert [one.earlier for one in taken] == [5] + [0] * (MOST_CRASHES - 1)
    assert [one.earlier for one in reports.take()] == [0]
