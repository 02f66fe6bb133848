"""Possible next steps: of processes, and replies, losses, repetitions and delays of requests."""

from __future__ import annotations

from typing import Any, Callable, Iterator, NamedTuple, Optional

from tests.model import supervision, working
from tests.model.history import Executed, execute
from tests.model.queue import Request
from tests.model.world import ALIVE, KILLED, Rules, World


class Step(NamedTuple):
    """One possible step. `executed` is set if Redis executes a request in it."""

    what: str
    world: World
    executed: Optional[Executed] = None


def steps(world: World, rules: Rules) -> Iterator[Step]:
    """All possible next steps."""
    for slot, worker in enumerate(world.workers):
        if worker.life == ALIVE:
            yield from _working(world, rules, slot)
        if slot in rules.frail:
            yield from _struck(world, slot)
    for slot, supervisor in enumerate(world.supervisors):
        if supervisor.is_alive:
            yield from _supervising(world, rules, slot)
    if world.publishing:
        yield from _publishing(world, rules)
    for copy in set(world.network):
        rest = list(world.network)
        rest.remove(copy)
        changed, executed = execute(world._replace(network=tuple(rest)), copy, is_late=True)
        yield Step(f"a late copy: {copy}", changed, executed)
    if world.queue.delayed:
        queue = world.queue._replace(due=world.queue.due + world.queue.delayed, delayed=())
        yield Step("time passes", world._replace(queue=queue))


def _working(world: World, rules: Rules, slot: int) -> Iterator[Step]:
    worker = world.workers[slot]
    if worker.asking:
        yield from _asked(world, rules, slot, WORKER, worker.asking)
        return
    for what, changed in working.steps(world, rules, slot):
        yield Step(f"{worker.id} {what}", changed)
    for request in working.requests(world, rules, slot):
        yield from _asked(world, rules, slot, WORKER, request)


def _supervising(world: World, rules: Rules, slot: int) -> Iterator[Step]:
    supervisor = world.supervisors[slot]
    if supervisor.asking:
        yield from _asked(world, rules, slot, SUPERVISOR, supervisor.asking)
        return
    for changed in supervision.watching(world, rules, slot):
        yield Step(f"{supervisor.id} watches another one", changed)
    for request in supervision.requests(world, rules, slot):
        yield from _asked(world, rules, slot, SUPERVISOR, request)
    for request, marked in supervision.prefetch_releases(world, rules, slot):
        yield from _asked(marked, rules, slot, SUPERVISOR, request)


def _struck(world: World, slot: int) -> Iterator[Step]:
    """A worker is killed, or its host is lost.

    A stopped process that resumes needs no step: it takes none for a while.
    """
    worker = world.workers[slot]
    if not world.faults or worker.life != ALIVE:
        return
    spent = world._replace(faults=world.faults - 1)
    dead = spent.ended(slot, KILLED)
    if worker.running:
        dead = dead.with_story(worker.running, deaths=world.story(worker.running).deaths + 1)
    yield Step(f"{worker.id} is killed", dead)
    if world.supervisors[slot].is_alive:
        lost = dead.with_supervisor(slot, is_alive=False, watched=None, asking=None)
        yield Step(f"the host of {worker.id} is lost", lost)


class Client(NamedTuple):
    """How a client changes in the world, and how it handles a reply."""

    changed: Callable[..., World]
    answered: Callable[[World, Rules, int, Request, Any], World]


WORKER = Client(World.with_worker, working.answered)
SUPERVISOR = Client(World.with_supervisor, supervision.answered)


def _asked(world: World, rules: Rules, slot: int, client: Client, request: Request) -> Iterator[Step]:
    """A request is executed and answered, its reply is lost, or a copy of it is executed later.

    A client without a reply sends the request again. A lost request changes nothing, nor does a lost reply to a request
    that has changed nothing.
    """
    after, executed = execute(world, request)
    answered = client.answered(after, rules, slot, request, executed.outcome.reply)
    yield Step(f"answered: {request}", answered, executed)
    if not world.faults:
        return
    spent = world._replace(faults=world.faults - 1)
    unanswered = client.changed(spent, slot, asking=request)
    if after.queue != world.queue:
        changed = unanswered._replace(queue=after.queue, stories=after.stories)
        yield Step(f"reply lost: {request}", changed, executed)
    if request.script in rules.late:
        yield Step(f"delayed: {request}", _delayed(unanswered, request))


def _delayed(world: World, request: Request) -> World:
    network = tuple(sorted((*world.network, request), key=repr))
    return world._replace(network=network)


def _publishing(world: World, rules: Rules) -> Iterator[Step]:
    """Each message is published by its own request. The next request may be sent before the reply."""
    number = len(rules.messages) - len(world.publishing) + 1
    first, *rest = world.publishing
    priorities = dict(zip(rules.messages, rules.priorities))
    request = Request("publish", "p", ((number, 0), False, priorities.get(first, 0), (first,)))
    after, executed = execute(world, request)
    yield Step(f"answered: {request}", after._replace(publishing=tuple(rest)), executed)
    if world.faults:
        spent = world._replace(faults=world.faults - 1)
        yield Step(f"reply lost: {request}", spent._replace(queue=after.queue, stories=after.stories), executed)
        yield Step(f"delayed: {request}", _delayed(spent, request))
        for second in rest[:1]:
            ahead = Request("publish", "p", ((number + 1, number), False, priorities.get(second, 0), (second,)))
            yield Step(f"sent ahead: {ahead}", _delayed(spent, ahead))
