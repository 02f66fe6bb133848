"""The protocol keeps its promises in every state that faults lead to, and the model detects each broken promise."""

from __future__ import annotations

from typing import Any, Callable, Dict

import pytest

from tests.model import history, transitions
from tests.model.endings import Fate, requeue
from tests.model.explorer import explore
from tests.model.history import Broken
from tests.model.queue import Counts, Ids, Outcome, Queue
from tests.model.scenarios import QUICK, TWO, explored
from tests.model.transitions import BY_THE_MACHINE, SCRIPTS
from tests.model.world import Rules


@pytest.mark.parametrize("name", QUICK)
def test_the_promises_hold_in_every_state(name: str) -> None:
    found = explored(name)

    print(f"{name}: {found}")  # noqa: T201 - for pytest's report
    assert len(found.worlds) > 1000
    # A worker holds the messages in its hand, unless it has lost its lease.
    assert set(found.taken) <= {"requeue"}


@pytest.mark.timeout(600)  # it computes all explorations if their tests run in another process
def test_every_script_is_explored() -> None:
    executed = {executed.request.script for name in QUICK for executed in explored(name).executed}

    assert executed == set(SCRIPTS) - BY_THE_MACHINE


def _unfenced_claim(queue: Queue, worker: str, want: int, finished: Ids) -> Outcome:
    outcome = transitions.claim(queue._replace(workers=((worker, ""),)), worker, want, finished)
    return outcome._replace(queue=outcome.queue._replace(workers=queue.workers))


def _requeue_that_leaves_the_registration(queue: Queue, worker: str, fate: Fate) -> Outcome:
    outcome = requeue(queue, worker, fate)
    return outcome._replace(queue=outcome.queue._replace(workers=queue.workers))


def _requeue_that_acks_nothing(queue: Queue, worker: str, fate: Fate) -> Outcome:
    return requeue(queue, worker, fate._replace(last_finished=""))


def _requeue_that_acks_all(queue: Queue, worker: str, fate: Fate) -> Outcome:
    return requeue(queue, worker, fate._replace(last_finished=(queue.held(worker) or ("",))[-1]))


def _requeue_that_blames_a_stop(queue: Queue, worker: str, fate: Fate) -> Outcome:
    return requeue(queue, worker, fate._replace(what="crash") if fate.what == "stopped" else fate)


def _retry_of_any_delivery(queue: Queue, worker: str, message_id: str, _seen: str, *args: Any) -> Outcome:
    return transitions.retry(queue, worker, message_id, queue.counts(message_id), *args)


def _publish_without_numbers(queue: Queue, publisher: str, numbers: tuple[int, int], *args: Any) -> Outcome:
    return transitions.publish(queue._replace(request=0), publisher, (numbers[0], 0), *args)


def _publish_behind_a_gap(queue: Queue, publisher: str, numbers: tuple[int, int], *args: Any) -> Outcome:
    return transitions.publish(queue, publisher, (numbers[0], 0), *args)


def _release_without_numbers(queue: Queue, worker: str, number: int, *args: Any) -> Outcome:
    return transitions.release(queue._replace(releases=()), worker, number, *args)


def _release_of_any_delivery(queue: Queue, worker: str, running: str, _delivery: int) -> Outcome:
    return transitions.release_prefetched(queue, worker, running, Counts.of(queue.counts(running)).delivery)


def _release_of_any_message(queue: Queue, worker: str, _running: str, _delivery: int) -> Outcome:
    running = queue.held(worker)[0] if queue.held(worker) else ""
    return _release_of_any_delivery(queue, worker, running, 0)


RELEASED = QUICK["a late release of prefetched messages in a batch"]
BATCH = Rules(messages=TWO, want=2, faults=1, max_retries=0, generations=1)
PUBLISHED = QUICK["published while a fault strikes"]
# Each breaks the first promise on the shortest path.
BROKEN: Dict[str, tuple[str, Callable[..., Outcome], Rules, str]] = {
    "a claim without a fence": ("claim", _unfenced_claim, Rules(faults=1), "fence"),
    "requeue ends no registration": ("requeue", _requeue_that_leaves_the_registration, Rules(faults=1), "fence"),
    "requeue acks nothing": ("requeue", _requeue_that_acks_nothing, BATCH, "G3"),
    "requeue acks all": ("requeue", _requeue_that_acks_all, Rules(faults=1), "G1"),
    "requeue blames a stop": ("requeue", _requeue_that_blames_a_stop, Rules(faults=1), "G5"),
    "a retry fits any delivery": ("retry", _retry_of_any_delivery, Rules(faults=2, generations=1), "G5"),
    "a publish has no number": ("publish", _publish_without_numbers, PUBLISHED, "G2"),
    "a publish is accepted after a gap": ("publish", _publish_behind_a_gap, PUBLISHED, "G1"),
    "a release of prefetched messages fits any delivery": (
        "release_prefetched",
        _release_of_any_delivery,
        RELEASED,
        "G3",
    ),
    "a release of prefetched messages fits any message": (
        "release_prefetched",
        _release_of_any_message,
        RELEASED,
        "G3",
    ),
    "a release has no number": ("release", _release_without_numbers, QUICK["a late release in a batch"], "G1"),
}


@pytest.mark.usually(3)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_protocol_is_detected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script, act, rules, promise = BROKEN[name]
    monkeypatch.setitem(SCRIPTS, script, act)
    history.clear_transitions()

    try:
        with pytest.raises(Broken) as broken:
            explore(rules)
    finally:
        history.clear_transitions()

    assert f"then: {promise}" in str(broken.value)
