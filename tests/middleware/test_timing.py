"""Timing measures each run of a message."""

from __future__ import annotations

import threading
import time
from typing import Any

from bizzmq import BizzMQ
from bizzmq.middleware.timing import Measurement, Timing


def test_each_run_is_measured_with_its_outcome(url: str, queue: str) -> None:
    measured: list[Measurement] = []

    def handle(body: Any, context: Any) -> None:
        until_s = time.process_time() + 0.05
        while time.process_time() < until_s:
            pass
        if context.delivery == 1:
            raise KeyError("first")

    with BizzMQ(url, middleware=[Timing(measured.append)]) as mq:
        message_id = mq.publish_message_to_queue(queue, 1)
        mq.consume_until_empty(queue, handle, timeout_s=30)

    first, second = measured
    assert (first.id, first.queue, first.task, first.delivery, first.error) == (message_id, "q", "", 1, "KeyError")
    assert (second.delivery, second.error) == (2, "")
    assert min(first.cpu_s, second.cpu_s) >= 0.05
    assert first.ran_s > 0
    assert 0 <= first.waited_s < second.waited_s


def test_several_consumers_in_one_process_do_not_mix_their_times(url: str, mq: BizzMQ) -> None:
    measured: list[Measurement] = []
    slow_runs, fast_is_done = threading.Event(), threading.Event()

    def slow(_: Any) -> None:
        slow_runs.set()
        assert fast_is_done.wait(30)

    def fast(_: Any) -> None:
        assert slow_runs.wait(30)

    with BizzMQ(url, middleware=[Timing(measured.append)]) as client:
        for name in ("slow", "fast"):
            client.create_queue(name)
            client.publish_message_to_queue(name, 1)
        stop = client.consume_message_from_queue("slow", slow)
        client.consume_until_empty("fast", fast, timeout_s=30)
        fast_is_done.set()
        stop()

    fast_run, slow_run = measured
    assert (fast_run.queue, slow_run.queue) == ("fast", "slow")
    assert slow_run.ran_s >= fast_run.ran_s


def test_a_report_that_fails_is_logged_and_changes_nothing(url: str, queue: str, caplog: Any) -> None:
    def report(_: Measurement) -> None:
        raise ConnectionError("no statsd")

    with BizzMQ(url, middleware=[Timing(report)]) as mq:
        mq.publish_message_to_queue(queue, 1)
        mq.consume_until_empty(queue, print, timeout_s=30)

        assert mq.stats(queue).acked == 1
    assert "bizzmq.middleware.timing.Timing hook=after_handler" in caplog.text
