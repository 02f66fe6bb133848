"""The messages between a worker and its supervisor, over a real channel."""

from __future__ import annotations

from typing import Iterator, NamedTuple

import pytest

from bizzmq.utils import clock
from bizzmq.utils.stop_event import StopEvent
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.ipc.worker_messages import FROM_WORKER, Go, HoldsSeveral, Leave, Recycle
from bizzmq.workers.worker.supervisor_channel import SupervisorChannel


class Pair(NamedTuple):
    """Both ends of a channel, and the stop event that a `Leave` sets."""

    supervisor: Channel
    worker: SupervisorChannel
    stop: StopEvent


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = Channel.pair()
    stop = StopEvent()
    yield Pair(ours, SupervisorChannel(theirs, stop.request), stop)
    ours.close()
    theirs.close()
    stop.close()


def test_a_registered_worker_starts_without_unusable_queues(pair: Pair) -> None:
    pair.supervisor.send(Go(["broken"]))

    assert pair.worker.wait_for_go(pair.stop) == Go(["broken"])
    assert not pair.stop.requested


def test_a_worker_that_is_asked_to_leave_before_it_is_registered_does_not_start(pair: Pair) -> None:
    pair.supervisor.send(Leave())

    assert pair.worker.wait_for_go(pair.stop) is None
    assert pair.stop.requested


def test_a_worker_whose_supervisor_dies_before_it_is_registered_does_not_start(pair: Pair) -> None:
    pair.supervisor.close()

    assert pair.worker.wait_for_go(pair.stop) is None
    assert pair.worker.closed
    assert not pair.stop.requested


def test_a_worker_leaves_when_it_is_asked_to_and_not_before(pair: Pair) -> None:
    assert pair.worker.check() == []
    assert not pair.stop.requested

    pair.supervisor.send(Leave())

    assert pair.worker.check() == [Leave()]
    assert pair.stop.requested


def test_a_backlog_is_reported_again_only_after_a_moment(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now_s)
    for _ in range(3):
        pair.worker.report_backlog()
    assert pair.supervisor.receive(FROM_WORKER) == [HoldsSeveral()]

    now_s += 0.1
    pair.worker.report_backlog()

    assert pair.supervisor.receive(FROM_WORKER) == [HoldsSeveral()]


def test_the_supervisor_learns_why_a_worker_wants_to_be_replaced(pair: Pair) -> None:
    pair.worker.request_recycling(spent=True)
    pair.worker.request_recycling(spent=False)

    assert pair.supervisor.receive(FROM_WORKER) == [Recycle(spent=True), Recycle(spent=False)]
