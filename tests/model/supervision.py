"""What a supervisor does: it buries and replaces its worker, beats, and reaps another one that is silent."""

from __future__ import annotations

from typing import Any, Iterator, Tuple

from tests.model.endings import Fate
from tests.model.queue import Counts, Request
from tests.model.world import ALIVE, BURIED, FIRST_COUNTER, KILLED, Rules, Worker, World, fate_of


def requests(world: World, rules: Rules, slot: int) -> Iterator[Request]:
    """What a living supervisor, which waits for no answer, may ask Redis for now."""
    supervisor, worker, queue = world.supervisors[slot], world.workers[slot], world.queue
    if worker.is_gone:
        for fate in _fates(world, rules, worker):
            yield Request("requeue", worker.id, (fate,))
    elif worker.life == BURIED:
        yield from _after_burial(world, rules, slot)
    counter = queue.counter(supervisor.id)
    # Beats that nobody watches change nothing, and are left out.
    if not counter or any(other.watched == counter for other in world.supervisors if other != supervisor):
        yield Request("beat", supervisor.id)
    if supervisor.watched is not None:
        yield from _reaping(world, slot, supervisor.watched)


def recalls(world: World, rules: Rules, slot: int) -> Iterator[Tuple[Request, World]]:
    """What it may have given back while its worker is busy, and the world in which that worker starts none of it."""
    worker = world.workers[slot]
    if rules.recalls and world.faults and worker.life == ALIVE and worker.running and worker.held:
        request = Request("recall", worker.id, (worker.running, Counts.of(worker.seen).delivery))
        yield request, world._replace(faults=world.faults - 1).with_worker(slot, held=())


def watching(world: World, rules: Rules, slot: int) -> Iterator[World]:
    """It sees a frail one silent for a whole lease, which takes one step here; or it sees that one live."""
    for other in set(rules.frail) - {slot}:
        watched, silent = world.supervisors[slot].watched, world.supervisors[other].id
        counter = world.queue.counter(silent)
        if watched is None and world.faults and (counter or silent in dict(world.queue.workers).values()):
            yield world._replace(faults=world.faults - 1).with_supervisor(slot, watched=counter)
        if watched is not None and watched != counter:
            yield world.with_supervisor(slot, watched=None)


def _fates(world: World, rules: Rules, worker: Worker) -> Iterator[Fate]:
    """How a worker may have ended, and what follows for the message that it ran."""
    yield fate_of(worker, "stopped")
    if worker.life != KILLED or not worker.running:
        return
    yield fate_of(worker, "crash")
    counts = Counts.of(world.queue.counts(worker.running))
    if counts.retries < rules.max_retries:
        counted = counts._replace(retries=counts.retries + 1).encode()
        yield fate_of(worker, "failed", outcome="retry", counted=counted, later=rules.is_later)
    else:
        yield fate_of(worker, "failed", outcome="dead-letter" if rules.is_buried else "discard")


def _after_burial(world: World, rules: Rules, slot: int) -> Iterator[Request]:
    worker, supervisor = world.workers[slot], world.supervisors[slot]
    if dict(world.queue.workers).get(worker.id) == supervisor.id:
        # A late copy of its registration has come after its end.
        yield Request("requeue", worker.id, (Fate("silent"),))
    generation = int(worker.id[1:])
    if generation < rules.generations:
        fresh = (supervisor.registrations + 1) * FIRST_COUNTER
        yield Request("register", supervisor.id, (fresh, f"{supervisor.id}{generation + 1}"))


def _reaping(world: World, slot: int, watched: int) -> Iterator[Request]:
    """The workers of a silent one and it itself are ended, if its counter still is what it was."""
    for other in world.supervisors[:slot] + world.supervisors[slot + 1 :]:
        for worker, owner in world.queue.workers:
            if owner == other.id:
                yield Request("requeue", worker, (Fate("silent", supervisor=owner, counter=watched),))
        if watched:
            yield Request("evict", other.id, (watched,))


def answered(world: World, _rules: Rules, slot: int, request: Request, reply: Any) -> World:
    """What a supervisor makes of an answer."""
    supervisor, worker = world.supervisors[slot], world.workers[slot]
    world = world.with_supervisor(slot, asking=None)
    if request.script == "beat" and not reply:
        anew = Request("register", supervisor.id, ((supervisor.registrations + 1) * FIRST_COUNTER, ""))
        return world.with_supervisor(slot, asking=anew)
    if request.script == "register":
        if world.queue.counter(supervisor.id) == request.args[0]:
            world = world.with_supervisor(slot, registrations=request.args[0] // FIRST_COUNTER)
        return world.with_worker(slot, **Worker(request.args[1])._asdict()) if request.args[1] else world
    if request.script == "evict":
        return world.with_supervisor(slot, watched=None)
    if request.script == "requeue" and request.who == worker.id and worker.is_gone:
        return world.with_worker(slot, **Worker(worker.id, BURIED)._asdict())
    return world
