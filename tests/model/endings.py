"""The scripts that grant or end a worker's right to a queue, as functions: requeue, register, heartbeat, unregister."""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple

from tests.model.queue import Counts, Outcome, Queue, changed, totals

CRASH_LIMIT = 2
CRASH = "\t{}"
BETWEEN_REGISTRATIONS = 1000
"""More than the heartbeats of any supervisor here."""


class Fate(NamedTuple):
    """Facts about the end of a worker, named as in bizzmq.broker.workers.DeadWorker. `later` stands for a delay.

    `counter` is what the supervisor's beats must still stand at, 0 for one that is not registered.
    """

    what: str
    running: str = ""
    last_finished: str = ""
    supervisor: str = ""
    counter: int = 0
    outcome: str = ""
    attempts_after: str = ""
    later: bool = False


def requeue(queue: Queue, worker: str, fate: Fate) -> Outcome:
    if fate.supervisor and queue.counter(fate.supervisor) != fate.counter:
        return Outcome(queue, None)
    if not queue.is_registered(worker):
        return Outcome(queue, None)
    held = queue.held(worker)
    finished = held[: held.index(fate.last_finished) + 1] if fate.last_finished in held else ()
    if fate.running in finished:
        finished = ()  # that id was finished in an earlier claim, and has been stored anew
    rest = held[len(finished) :]
    queue = queue.with_held(worker, ()).without_messages(finished)
    queue = queue._replace(workers=changed(queue.workers, {worker: ""}), releases=changed(queue.releases, {worker: 0}))
    crashes = _crashes(queue, fate) if fate.running in rest else 0
    cancelled = tuple(name for name in rest if name in queue.cancels)
    rest, queue = tuple(name for name in rest if name not in cancelled), queue.without_messages(cancelled)
    settled = _settled(queue, fate, crashes) if fate.running in rest else None
    back = tuple(name for name in rest if settled is None or name != fate.running)
    counted = {name: _counts(queue, fate, name) for name in back if name == fate.running or fate.what == "silent"}
    outcome = settled or Outcome(queue, None)
    queue = outcome.queue.with_counts(counted).enqueued(back, at_head=True)
    quarantined = fate.running if settled is not None and fate.what == "crash" else ""
    stats = totals(**{**dict(outcome.stats), "acked": len(finished), "requeued": len(back),
                      "cancelled": len(cancelled)})  # fmt: skip
    reply = (len(back), len(finished), quarantined, crashes)
    return Outcome(queue, reply, stats, bool(back) or outcome.wake, outcome.dead_wake)


def _crashes(queue: Queue, fate: Fate) -> int:
    """Crashes of the running message, including this one; 0 if the worker did not crash."""
    return Counts.of(queue.counts(fate.running)).crashes + 1 if fate.what == "crash" else 0


def _counts(queue: Queue, fate: Fate, message_id: str) -> str:
    """The attempts of a message that may have been started."""
    counts = Counts.of(queue.counts(message_id))
    if message_id == fate.running and fate.what == "crash":
        return counts._replace(crashes=counts.crashes + 1, crash=CRASH).encode()
    return counts._replace(requeues=counts.requeues + 1).encode()


def _settled(queue: Queue, fate: Fate, crashes: int) -> Outcome | None:
    """The outcome of the running message; None if it is requeued."""
    running = (fate.running,)
    is_last = (
        fate.outcome == "dead-letter" if fate.what == "failed" else fate.what == "crash" and crashes >= CRASH_LIMIT
    )
    if is_last:
        queue = queue.dead_lettered(fate.running)
        return Outcome(queue, None, totals(dead_lettered=1), dead_wake=True)
    if fate.what != "failed":
        return None
    if fate.outcome == "retry":
        queue = queue.with_counts({fate.running: fate.attempts_after})
        queue = queue._replace(delayed=queue.delayed + running) if fate.later else queue.enqueued(running)
        return Outcome(queue, None, totals(retried=1), wake=True)
    return Outcome(queue.without_messages(running), None, totals(discarded=1))


def register(queue: Queue, supervisor: str, worker: str) -> Outcome:
    """The counter of a new registration is above all that have been. Redis's clock makes it so."""
    workers = changed(queue.workers, {worker: supervisor}) if worker else queue.workers
    queue = queue._replace(workers=workers)
    if queue.counter(supervisor):
        return Outcome(queue, None)
    number = queue.registrations + 1
    supervisors = changed(queue.supervisors, {supervisor: number * BETWEEN_REGISTRATIONS})
    return Outcome(queue._replace(supervisors=supervisors, registrations=number), None)


def heartbeat(queue: Queue, supervisor: str) -> Outcome:
    counter = queue.counter(supervisor)
    if not counter:
        return Outcome(queue, 0)
    return Outcome(queue._replace(supervisors=changed(queue.supervisors, {supervisor: counter + 1})), counter + 1)


def unregister(queue: Queue, supervisor: str, counter: int) -> Outcome:
    """A counter of 0 means no condition."""
    current = queue.counter(supervisor)
    if not current or counter not in (0, current):
        return Outcome(queue, False)
    return Outcome(queue._replace(supervisors=changed(queue.supervisors, {supervisor: 0})), True)


ENDINGS: Dict[str, Callable[..., Outcome]] = {
    "requeue": requeue,
    "register": register,
    "heartbeat": heartbeat,
    "unregister": unregister,
}
