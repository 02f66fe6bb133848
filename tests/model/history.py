"""Updates the stories of messages when a request is executed, and checks the promises. Raises Broken."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from tests.model import transitions
from tests.model.queue import Counts, Outcome, Queue, Request
from tests.model.world import Story, World

SETTLEMENTS = ("retry", "dead_letter", "discard")
FENCED = ("claim", "release", "release_prefetched", *SETTLEMENTS)


class Broken(AssertionError):  # noqa: N818 - a broken promise is not an error of the code
    """A promise does not hold in one step."""


class Executed(NamedTuple):
    """A request that Redis has executed in one step."""

    before: Queue
    request: Request
    outcome: Outcome


def execute(world: World, request: Request, *, is_late: bool = False) -> tuple[World, Executed]:
    """Redis executes a request, or a late copy of one that the network has delayed."""
    executed = _executed(world.queue, request)
    world = world._replace(queue=executed.outcome.queue)
    return _told(world, executed.before, request, is_late=is_late), executed


@lru_cache(maxsize=None)
def _executed(before: Queue, request: Request) -> Executed:
    """Most worlds have equal queues, so each transition is made and checked once."""
    outcome = transitions.apply(before, request)
    check_fence(before, request, outcome)
    check_blame(before, request, outcome)
    return Executed(before, request, outcome)


def clear_transitions() -> None:
    """Clear the cache, for tests that replace a script."""
    _executed.cache_clear()


def begin(world: World, worker: str, message_id: str) -> World:
    """G3: a message starts only if no other worker can be running it.

    A worker may also begin what it had in hand when it was taken from it: it lost its lease and does not know yet.
    """
    story = world.story(message_id)
    if message_id in world.queue.held(worker):
        if story.state != "idle" and (story.state, story.worker) != ("failed", worker):
            raise Broken(f"G3: {worker} runs {message_id}, which is {story.state} by {story.worker}")
        return world.with_story(message_id, state="running", worker=worker)
    rest = tuple(taken for taken in story.taken_from if taken[0] != worker)
    if rest == story.taken_from:
        raise Broken(f"G3: {worker} runs {message_id}, which it does not hold")
    return world.with_story(message_id, taken_from=rest)


def check_fence(before: Queue, request: Request, outcome: Outcome) -> None:
    """An unregistered worker changes nothing, and a worker whose messages were taken is not registered."""
    worker = request.who
    if request.script in FENCED and not before.is_registered(worker) and outcome.queue != before:
        raise Broken(f"fence: {worker} is not registered, and its {request.script} has changed something")
    if request.script == "requeue" and outcome.reply is not None and outcome.queue.is_registered(worker):
        raise Broken(f"fence: {worker} is still registered after its {request.script}")


def check_blame(before: Queue, request: Request, outcome: Outcome) -> None:
    """G5: a failure raises the retries only, a crash the crashes of the running message only, others neither."""
    for message_id in set(outcome.queue.places()) - set(outcome.queue.dead):
        old, new = Counts.of(before.counts(message_id)), Counts.of(outcome.queue.counts(message_id))
        crashed = request.script == "requeue" and request.args[0].what == "crash"
        blamed = crashed and request.args[0].running == message_id
        failed = (request.script == "retry" and request.args[-1]) or (
            request.script == "requeue" and request.args[0].outcome == "retry"
        )
        if new.crashes - old.crashes not in ((0, 1) if blamed else (0,)):
            raise Broken(f"G5: {request} changes the crashes of {message_id}: {old} -> {new}")
        if new.retries - old.retries not in ((0, 1) if failed else (0,)):
            raise Broken(f"G5: {request} changes the retries of {message_id}: {old} -> {new}")


def check_state(world: World) -> None:
    """Checks G2, G4 and the sums of G5."""
    queue = world.queue
    places = queue.places()
    if len(places) != len(set(places)):
        raise Broken(f"G2: an id in two places: {queue}")
    if {name for name, _ in queue.attempts} - set(places):
        raise Broken(f"G2: attempts of what is nowhere: {queue}")
    for worker, ids in queue.processing:
        if not queue.is_registered(worker):
            raise Broken(f"G4: {worker} holds {ids} and is not registered")
    for message_id, story in world.stories:
        counts = Counts.of(queue.counts(message_id))
        # A death by an exceeded limit is a failure: each death counts as a crash or as a failure, never as both.
        if counts.crashes > story.deaths or counts.retries + counts.crashes > story.failures + story.deaths:
            raise Broken(f"G5: {message_id} has {counts} though {story}")


def without_ended(world: World) -> World:
    """The world without the stories of ended messages, after a check of their end.

    G1: a message that is in no place was handled, or discarded on purpose.
    """
    queue = world.queue
    stored = set(queue.places()) - set(queue.dead)
    for message_id, story in world.stories:
        if story.state == "new" and message_id not in world.publishing:
            raise Broken(f"G1: {message_id} was confirmed and never stored")
        if message_id in stored or story.state == "new":
            continue
        if not (message_id in queue.dead or story.is_done or story.is_given_up):
            raise Broken(f"G1: {message_id} is lost: {story}")
        ended = Story(is_done=True, taken_from=story.taken_from)
        if story != ended:
            world = world.with_story(message_id, **ended._asdict())
        for slot, worker in enumerate(world.workers):
            if worker.last == message_id:
                world = world.with_worker(slot, last="")
    return world


def _told(world: World, before: Queue, request: Request, *, is_late: bool) -> World:
    """The stories after a request, which may end the runs of workers."""
    if request.script == "publish":
        for message_id in set(request.args[-1]) & set(world.queue.places()):
            if world.story(message_id).state == "new":
                world = world.with_story(message_id, state="idle")
        return world
    left = set(before.held(request.who)) - set(world.queue.held(request.who))
    for message_id in left if request.script in (*FENCED, "requeue") else ():
        world = _taken(world, message_id, request, is_late=is_late)
    return world


def _taken(world: World, message_id: str, request: Request, *, is_late: bool) -> World:
    """The story of a message that has just left a worker's list."""
    worker, story = request.who, world.story(message_id)
    is_in_hand = message_id in _unbegun(world, worker)
    is_running = story.worker == worker and story.state == "running"
    is_finished = story.worker == worker and story.state == "finished" and request.script != "claim"
    is_waited_for = any(one.asking == request for one in world.workers)  # the copy is as good as the request itself
    is_unexpected = is_late and not is_waited_for and request.script in FENCED
    is_given_away = is_unexpected and (is_in_hand or is_running or is_finished)
    if is_given_away or (request.script == "requeue" and is_in_hand):
        taken = (worker, request.script)
        world = world.with_story(message_id, taken_from=tuple(sorted({*story.taken_from, taken})))
    if request.script == "requeue" and request.args[0].outcome == "discard" and request.args[0].running == message_id:
        world = world.with_story(message_id, is_given_up=True)
    if story.worker == worker and (is_given_away or _is_settled(request, story.state)):
        world = world.with_story(message_id, state="idle", worker="")
    return world


def _unbegun(world: World, worker_id: str) -> list[str]:
    """Messages that a worker has claimed and not started."""
    return [name for worker in world.workers if worker.id == worker_id for name, _ in worker.held]


def _is_settled(request: Request, state: str) -> bool:
    """Whether a message that has just left its worker may start again, if it is still stored."""
    if request.script != "requeue":
        return state in ("failed", "idle")
    # Finished messages are acked on the worker's behalf, unless its last state is unknown.
    return state in ("running", "failed") or request.args[0].what == "silent"
