"""Steps of a worker: it claims, runs its messages in order, settles failures and releases the rest."""

from __future__ import annotations

from typing import Any, Iterator, Tuple

from tests.model.history import begin
from tests.model.queue import LEASE_LOST, Counts, Request
from tests.model.world import ALIVE, LEFT, Rules, World


def requests(world: World, rules: Rules, slot: int) -> Iterator[Request]:
    """Requests of a worker that waits for no reply. They depend only on its own memory."""
    worker = world.workers[slot]
    if worker.running:
        return
    if worker.held:
        yield Request(
            "release", worker.id, (worker.releases + 1, False, tuple(name for name, _ in reversed(worker.held)))
        )
        return
    yield Request("claim", worker.id, (rules.want, worker.finished))
    if world.faults and worker.finished:
        yield Request("claim", worker.id, (0, worker.finished))  # it leaves


def steps(world: World, rules: Rules, slot: int) -> Iterator[Tuple[str, World]]:
    """Steps of a worker without Redis."""
    worker = world.workers[slot]
    if worker.running:
        yield from _ending(world, rules, slot)
    elif worker.held:
        (first, seen), *rest = worker.held
        yield (
            f"begins {first}",
            begin(world.with_worker(slot, running=first, seen=seen, held=tuple(rest)), worker.id, first),
        )
    elif world.faults and not worker.finished:
        yield "leaves", world._replace(faults=world.faults - 1).ended(slot, LEFT)


def _ending(world: World, rules: Rules, slot: int) -> Iterator[Tuple[str, World]]:
    """The running message succeeds, fails, or is released because the pool drains."""
    worker = world.workers[slot]
    message_id, story = worker.running, world.story(worker.running)
    is_owner = story.worker == worker.id
    ended = world.with_worker(slot, running="", seen="")
    done = ended.with_worker(slot, finished=(*worker.finished, message_id), last=message_id)
    yield (
        f"finishes {message_id}",
        done.with_story(message_id, is_done=True, state="finished" if is_owner else story.state),
    )

    request = _settlement(rules, worker.id, message_id, worker.seen)
    over = ended.with_story(message_id, state="failed" if is_owner else story.state)
    failed = over.with_story(
        message_id, failures=story.failures + 1, is_given_up=story.is_given_up or request.script == "discard"
    )
    yield f"fails {message_id}", failed.with_worker(slot, asking=request)
    if world.faults:
        back = Request("release", worker.id, (worker.releases + 1, True, (message_id,)))
        yield f"puts back {message_id}", over._replace(faults=world.faults - 1).with_worker(slot, asking=back)


def _settlement(rules: Rules, worker: str, message_id: str, seen: str) -> Request:
    counts = Counts.of(seen)
    if counts.retries < rules.max_retries:
        counted = counts._replace(retries=counts.retries + 1).encode()
        return Request("retry", worker, (message_id, seen, counted, rules.is_later, True))
    return Request("dead_letter" if rules.is_dead_lettered else "discard", worker, (message_id, seen))


def answered(world: World, _rules: Rules, slot: int, request: Request, reply: Any) -> World:
    """The world after a reply to a worker."""
    if reply == LEASE_LOST:
        return world.ended(slot, LEFT)
    world = world.with_worker(slot, asking=None)
    if request.script == "release":
        number, is_started, _ = request.args
        return world.with_worker(slot, releases=number, held=world.workers[slot].held if is_started else ())
    if request.script == "claim":
        is_leaving = request.args[0] == 0
        return world.with_worker(
            slot, finished=(), held=() if is_leaving else reply[0], life=LEFT if is_leaving else ALIVE
        )
    return world
