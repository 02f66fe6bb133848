"""Steps of a supervisor: it requeues and replaces its worker, sends heartbeats, and reaps a silent supervisor."""

from __future__ import annotations

from typing import Any, Iterator, Tuple

from tests.model.endings import Fate
from tests.model.queue import Counts, Request
from tests.model.world import ALIVE, BURIED, KILLED, Rules, Worker, World, fate_of


def requests(world: World, rules: Rules, slot: int) -> Iterator[Request]:
    """Requests of a live supervisor that waits for no reply."""
    supervisor, worker, queue = world.supervisors[slot], world.workers[slot], world.queue
    if worker.is_gone:
        for fate in _fates(world, rules, worker):
            yield Request("requeue", worker.id, (fate,))
    elif worker.life == BURIED:
        yield from _after_requeue(world, rules, slot)
    counter = queue.counter(supervisor.id)
    # A heartbeat that no supervisor watches changes nothing and is left out.
    if not counter or any(other.watched == counter for other in world.supervisors if other != supervisor):
        yield Request("heartbeat", supervisor.id)
    if supervisor.watched is not None:
        yield from _reaping(world, slot, supervisor.watched)


def prefetch_releases(world: World, rules: Rules, slot: int) -> Iterator[Tuple[Request, World]]:
    """Releases of a busy worker's prefetched messages, with the world in which the worker starts none of them."""
    worker = world.workers[slot]
    if rules.releases_prefetched and world.faults and worker.life == ALIVE and worker.running and worker.held:
        request = Request("release_prefetched", worker.id, (worker.running, Counts.of(worker.seen).delivery))
        yield request, world._replace(faults=world.faults - 1).with_worker(slot, held=())


def watching(world: World, rules: Rules, slot: int) -> Iterator[World]:
    """It sees that another supervisor is silent for a whole lease, which is one step here, or that it is alive."""
    for other in set(rules.frail) - {slot}:
        watched, silent = world.supervisors[slot].watched, world.supervisors[other].id
        counter = world.queue.counter(silent)
        if watched is None and world.faults and (counter or silent in dict(world.queue.workers).values()):
            yield world._replace(faults=world.faults - 1).with_supervisor(slot, watched=counter)
        if watched is not None and watched != counter:
            yield world.with_supervisor(slot, watched=None)


def _fates(world: World, rules: Rules, worker: Worker) -> Iterator[Fate]:
    """Possible ends of a worker, with the outcome of its running message."""
    yield fate_of(worker, "stopped")
    if worker.life != KILLED or not worker.running:
        return
    yield fate_of(worker, "crash")
    counts = Counts.of(world.queue.counts(worker.running))
    if counts.retries < rules.max_retries:
        counted = counts._replace(retries=counts.retries + 1).encode()
        yield fate_of(worker, "failed", outcome="retry", attempts_after=counted, later=rules.is_later)
    else:
        yield fate_of(worker, "failed", outcome="dead-letter" if rules.is_dead_lettered else "discard")


def _after_requeue(world: World, rules: Rules, slot: int) -> Iterator[Request]:
    worker, supervisor = world.workers[slot], world.supervisors[slot]
    if dict(world.queue.workers).get(worker.id) == supervisor.id:
        # A late copy of its registration was executed after its end.
        yield Request("requeue", worker.id, (Fate("silent"),))
    generation = int(worker.id[1:])
    if generation < rules.generations:
        yield Request("register", supervisor.id, (f"{supervisor.id}{generation + 1}",))


def _reaping(world: World, slot: int, watched: int) -> Iterator[Request]:
    """A silent supervisor and its workers are removed, if its counter has not changed."""
    for other in world.supervisors[:slot] + world.supervisors[slot + 1 :]:
        for worker, owner in world.queue.workers:
            if owner == other.id:
                yield Request("requeue", worker, (Fate("silent", supervisor=owner, counter=watched),))
        if watched:
            yield Request("unregister", other.id, (watched,))


def answered(world: World, _rules: Rules, slot: int, request: Request, reply: Any) -> World:
    """The world after a reply to a supervisor."""
    supervisor, worker = world.supervisors[slot], world.workers[slot]
    world = world.with_supervisor(slot, asking=None)
    if request.script == "heartbeat" and not reply:
        return world.with_supervisor(slot, asking=Request("register", supervisor.id, ("",)))
    if request.script == "register":
        return world.with_worker(slot, **Worker(request.args[0])._asdict()) if request.args[0] else world
    if request.script == "unregister":
        return world.with_supervisor(slot, watched=None)
    if request.script == "requeue" and request.who == worker.id and worker.is_gone:
        return world.with_worker(slot, **Worker(worker.id, BURIED)._asdict())
    return world
