"""What messages with a key have used, beside what their tasks have used."""

from __future__ import annotations

import time

import pytest

from bizzmq import App, BizzMQ, MessageOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.metrics.columns import KEY_PREFIX, MOST_KEYS, MOST_TASKS, OTHER
from bizzmq.metrics.meter import Meter
from bizzmq.metrics.rolling import roll_up_queue
from bizzmq.metrics.table import NAME_BYTES, MetricsTable, size_of
from tests.metrics.test_meter import entries, outcomes, table
from tests.metrics.test_reporter import age

STEP_S = 600


def burn(seconds: float) -> None:
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


def test_messages_with_a_key_count_for_it_and_for_their_task() -> None:
    measured = table()
    meter = Meter(measured)

    meter.claim = (0, entries(6), 0.0)
    meter.switch("t", 0.0, 6)
    meter.switch("t", 0.01, 5, "a")
    meter.switch("t", 0.02, 3, "b")
    meter.fail("retried", 0.02, 2)
    meter.resume(0.03, 2)
    meter.end(0.03, 0.04, 6)

    assert outcomes(measured) == {
        (0, "t"): {"succeeded": 5, "retried": 1},
        (0, KEY_PREFIX + "a"): {"succeeded": 2},
        (0, KEY_PREFIX + "b"): {"succeeded": 2, "retried": 1},
    }


def test_keys_beyond_the_bound_share_a_row_and_take_none_from_tasks() -> None:
    measured = MetricsTable(bytearray(size_of(1024)), 1024)
    for number in range(MOST_KEYS + 50):
        measured.cells[measured.row(0, f"{KEY_PREFIX}k{number}")] += 1
    for number in range(MOST_TASKS):
        measured.cells[measured.row(0, f"t{number}")] += 1

    counts = outcomes(measured)
    assert len(counts) == MOST_KEYS + 1 + MOST_TASKS
    assert counts[0, KEY_PREFIX + OTHER] == {"succeeded": 50}


def test_a_long_key_stays_a_key() -> None:
    measured = table()
    measured.row(0, KEY_PREFIX + "x" * 200)

    (row,) = measured.rows()
    assert row.task == KEY_PREFIX + "x" * (NAME_BYTES - 1)


def test_the_history_says_which_key_uses_the_processor(url: str, mq: BizzMQ) -> None:
    app = App(url)

    @app.task(name="work", queue="q")
    def work(seconds: float) -> None:
        burn(seconds)

    mq.create_queue("q")
    for key, seconds in (("small", 0.01), ("large", 0.05), ("", 0.01)) * 3:
        work.using(key=key).publish(seconds)
    mq.consume_until_empty("q", app, timeout_s=30)
    app.close()
    mq.publish_message_to_queue("q", 1, MessageOptions(key="small"))
    mq.consume_until_empty("q", lambda _body: burn(0.01), timeout_s=30)

    def check() -> None:
        metrics = mq.metrics("q", last_s=STEP_S)
        assert metrics.total.succeeded == 10
        assert set(metrics.keys) == {"small", "large"}
        assert [metrics.total_of_key(key).succeeded for key in ("small", "large", "unknown")] == [4, 3, 0]
        assert metrics.total_of_key("large").cpu_s == pytest.approx(0.15, rel=0.5)
        assert metrics.total_of_key("large").cpu_s > 2 * metrics.total_of_key("small").cpu_s
        assert set(metrics.as_dict()["keys"]) == {"small", "large"}

    check()
    age(url)
    assert roll_up_queue(Broker(Connection(url)), "q")
    check()
