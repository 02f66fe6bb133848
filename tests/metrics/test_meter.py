"""The meter of a worker: the messages of a claim, their outcomes, times and waits."""

from __future__ import annotations

import time
from typing import Any, Dict, List

from bizzmq.metrics.columns import BOUNDS_S, CPU, MOST_TASKS, OTHER, OUTCOMES, RANGES, RUN, WAIT
from bizzmq.metrics.death import Death, count_death
from bizzmq.metrics.meter import Meter
from bizzmq.metrics.table import ROWS, MetricsTable, size_of

NOW_US = 1_796_000_000_000_000


def table() -> MetricsTable:
    made = MetricsTable(bytearray(size_of()))
    made.clock_offset_s = NOW_US / 1e6
    return made


def entries(count: int, *, age_s: float = 3.0, counts: bytes | None = None) -> List[Any]:
    """Messages that were published `age_s` before the monotonic time 0."""
    stamp = NOW_US - round(age_s * 1e6)
    return [(b"%013xabcdefg" % (stamp + number), b"envelope", counts) for number in range(count)]


def outcomes(of: MetricsTable) -> Dict[tuple[int, str], Dict[str, int]]:
    return {
        (row.queue, row.task): {name: int(row.cells[at]) for at, name in enumerate(OUTCOMES) if row.cells[at]}
        for row in of.rows()
    }


def histogram(of: MetricsTable, task: str, at: int) -> Dict[float, int]:
    """Upper bound of a range -> count."""
    (row,) = [row for row in of.rows() if row.task == task]
    bounds = [*BOUNDS_S, float("inf")]
    return {bounds[index]: int(row.cells[at + 1 + index]) for index in range(RANGES) if row.cells[at + 1 + index]}


def test_the_last_message_of_a_claim_has_its_own_time_and_the_others_their_mean() -> None:
    measured = table()
    meter = Meter(measured)

    meter.claim = (2, entries(5), 0.0)
    meter.end(0.03, 1.6, 5)

    assert outcomes(measured) == {(2, ""): {"succeeded": 5}}
    assert histogram(measured, "", RUN) == {0.01: 4, 2.0: 1}
    assert histogram(measured, "", WAIT) == {5.0: 5}


def test_tasks_of_one_claim_are_told_apart_and_what_was_not_started_is_not_counted() -> None:
    measured = table()
    meter = Meter(measured)

    meter.claim = (0, entries(6), 0.0)
    meter.switch("a", 0.0, 6)
    meter.switch("b", 0.015, 4)
    meter.end(0.015, 0.5, 3)

    assert outcomes(measured) == {(0, "a"): {"succeeded": 2}, (0, "b"): {"succeeded": 1}}
    assert histogram(measured, "a", RUN) == {0.01: 2}
    assert histogram(measured, "b", RUN) == {0.5: 1}


def test_short_claims_are_noted_together_and_before_the_worker_waits() -> None:
    measured = table()
    meter = Meter(measured)

    for number in range(7):
        meter.claim = (0, entries(1), number * 0.001)
        meter.end(number * 0.001, number * 0.001 + 0.0009, 1)
    assert outcomes(measured) == {(0, ""): {"succeeded": 6}}
    meter.flush()

    assert histogram(measured, "", RUN) == {0.001: 7}
    assert histogram(measured, "", WAIT) == {5.0: 7}


def test_queues_are_told_apart() -> None:
    measured = table()
    meter = Meter(measured)

    for queue in (0, 1, 0):
        meter.claim = (queue, entries(2), 0.0)
        meter.end(0.0001, 0.0002, 2)
    meter.flush()

    assert outcomes(measured) == {(0, ""): {"succeeded": 4}, (1, ""): {"succeeded": 2}}


def test_a_failure_is_counted_without_the_time_of_its_settlement() -> None:
    measured = table()
    meter = Meter(measured)
    start_s = time.monotonic()

    meter.claim = (0, entries(4), start_s - 1.0)
    meter.fail("retried", start_s - 0.5, 2)
    meter.resume(start_s + 10.0, 2)
    meter.end(start_s + 10.0, start_s + 10.0, 3)
    meter.flush()

    assert outcomes(measured) == {(0, ""): {"succeeded": 2, "retried": 1}}
    (row,) = measured.rows()
    assert 0.9 < row.cells[RUN] < 5.0


def test_a_message_that_no_handler_has_seen_has_an_outcome_and_no_time() -> None:
    measured = table()
    meter = Meter(measured)

    meter.claim = (0, entries(2), 0.0)
    meter.fail("released", 0.0, 1, ran=False)
    meter.resume(0.0, 1)
    meter.end(0.0, 0.001, len(meter.claim[1]))
    meter.flush()

    assert outcomes(measured) == {(0, OTHER): {"released": 1}, (0, ""): {"succeeded": 1}}
    assert histogram(measured, OTHER, RUN) == {}


def test_a_message_that_was_delivered_before_has_no_wait() -> None:
    measured = table()
    meter = Meter(measured)

    meter.claim = (0, entries(1, counts=b"1 0 0 0"), 0.0)
    meter.end(0.0, 0.001, len(meter.claim[1]))
    meter.claim = (0, entries(1, counts=b"0 0 0 5"), 0.0)
    meter.end(0.0, 0.001, len(meter.claim[1]))

    assert histogram(measured, "", WAIT) == {5.0: 1}


def test_processor_time_is_that_of_the_handlers() -> None:
    measured = table()
    meter = Meter(measured)
    for used_s in (0.0, 0.05):
        start_s, began_s = time.monotonic(), time.process_time()
        meter.claim = (0, entries(1), start_s)
        while time.process_time() - began_s < used_s:
            pass
        time.sleep(0.05)
        meter.end(start_s, time.monotonic(), 1)

    (row,) = measured.rows()
    assert 0.04 < row.cells[CPU] < 0.09
    assert row.cells[RUN] > 0.09


def test_tasks_beyond_the_bound_share_a_row_and_queues_do_not() -> None:
    measured = table()
    for queue in (0, 1):
        for number in range(MOST_TASKS + 50):
            measured.cells[measured.row(queue, f"t{number}")] += 1

    counts = outcomes(measured)
    assert sum(one["succeeded"] for (queue, _), one in counts.items() if queue == 1) == MOST_TASKS + 50
    assert counts[0, OTHER] == {"succeeded": 50}
    assert len(counts) <= ROWS


def test_many_queues_with_many_tasks_fill_the_table_and_lose_no_count() -> None:
    measured = table()
    for queue in range(200):
        for number in range(30):
            measured.cells[measured.row(queue, f"t{number}")] += 1

    assert sum(one["succeeded"] for one in outcomes(measured).values()) == 6000


def test_a_later_worker_of_the_slot_goes_on_and_others_read_it() -> None:
    buffer = bytearray(size_of())
    first = MetricsTable(buffer)
    first.cells[first.row(1, "a" * 300)] += 3

    second = MetricsTable(buffer)
    second.cells[second.row(1, "a" * 300)] += 4

    assert [(row.queue, row.cells[0]) for row in first.rows()] == [(1, 7.0)]


def test_a_death_is_counted_with_the_task_whose_name_the_scoreboard_has_cut() -> None:
    measured = table()
    name = "package." * 9 + "task"
    measured.cells[measured.row(0, name)] += 1

    count_death(measured, Death("sigkill", "crashed", 0, name[-64:], 2.0, 1_000_000))
    count_death(measured, Death("exit", "", 0, "", 0.0, 0))

    assert outcomes(measured) == {(0, name): {"succeeded": 1, "crashed": 1}, (0, ""): {}}
    assert histogram(measured, name, RUN) == {2.0: 1}
