"""One state of the model: the queue, its clients, the network, and the true story of each message."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from tests.model.endings import Fate
from tests.model.queue import Ids, Queue, Request
from tests.model.transitions import SCRIPTS

ALIVE, LEFT, KILLED, BURIED = "alive", "left", "killed", "dead_lettered"
FIRST_COUNTER = 10


class Rules(NamedTuple):
    """Scope of one exploration. Each fault, and each step that could repeat forever, uses one of `faults`."""

    messages: Ids = ("m1",)
    priorities: Tuple[int, ...] = ()
    is_published: bool = False  # by a publisher whose requests may be lost; else the messages wait from the start
    want: int = 1
    faults: int = 2
    supervisors: int = 2
    frail: Tuple[int, ...] = (0,)  # hosts whose processes may die; requests may be lost anywhere
    generations: int = 2  # consecutive workers of a slot
    max_retries: int = 1
    late: Tuple[str, ...] = tuple(SCRIPTS)  # scripts whose requests the network may copy and delay
    is_dead_lettered: bool = True  # after the last failure; else the message is discarded
    is_later: bool = False  # retries are delayed
    releases_prefetched: bool = False  # supervisors release the prefetched messages of busy workers


class Worker(NamedTuple):
    """A process in the slot of a supervisor. `running` and `last` are in its scoreboard, which outlives it."""

    id: str
    life: str = ALIVE
    held: Tuple[Tuple[str, str], ...] = ()  # claimed and not started: (id, attempts as claimed)
    running: str = ""
    seen: str = ""  # attempts of the running message
    finished: Ids = ()
    last: str = ""
    releases: int = 0  # number of answered releases
    asking: Optional[Request] = None

    @property
    def is_gone(self) -> bool:
        return self.life in (LEFT, KILLED)


class Supervisor(NamedTuple):
    """A supervisor with its janitor. `watched` is the other supervisor's counter that has not changed for a lease: 0 if
    that one is not registered, None if none is watched."""

    id: str
    is_alive: bool = True
    watched: Optional[int] = None
    asking: Optional[Request] = None


class Story(NamedTuple):
    """The true story of one message, unknown to Redis.

    `state`: `new` before its publish was executed; `idle` when nobody can be running it; `running`, `finished` or
    `failed` by `worker`, which has not settled it yet. `taken_from` names the workers that had it in hand when a
    script took it from them, and that script.
    """

    state: str = "idle"
    worker: str = ""
    failures: int = 0
    deaths: int = 0  # workers that were killed while they ran it
    is_done: bool = False
    taken_from: Tuple[Tuple[str, str], ...] = ()
    is_given_up: bool = False  # discarded on purpose


class World(NamedTuple):
    """One state of the model."""

    queue: Queue
    workers: Tuple[Worker, ...]
    supervisors: Tuple[Supervisor, ...]
    stories: Tuple[Tuple[str, Story], ...]
    network: Tuple[Request, ...] = ()  # copies that may be executed at any later time
    publishing: Ids = ()  # not confirmed yet, the next one first
    faults: int = 0

    def story(self, message_id: str) -> Story:
        return dict(self.stories)[message_id]

    def with_story(self, message_id: str, **news: object) -> World:
        """The world with a changed story of one message."""
        stories = tuple(
            (name, story._replace(**news) if name == message_id else story)  # type: ignore[arg-type]
            for name, story in self.stories
        )
        return self._replace(stories=stories)

    def with_worker(self, slot: int, **news: object) -> World:
        changed = self.workers[slot]._replace(**news)  # type: ignore[arg-type]
        return self._replace(workers=(*self.workers[:slot], changed, *self.workers[slot + 1 :]))

    def ended(self, slot: int, life: str) -> World:
        """The world after the process has died. Its scoreboard stays, the messages in its hand are gone."""
        worker = self.workers[slot]
        world = self.with_worker(slot, life=life, held=(), seen="", finished=(), asking=None, releases=0)
        for name, story in self.stories:
            if story.taken_from:
                rest = tuple(taken for taken in story.taken_from if taken[0] != worker.id)
                world = world.with_story(name, taken_from=rest)
        return world

    def with_supervisor(self, slot: int, **news: object) -> World:
        changed = self.supervisors[slot]._replace(**news)  # type: ignore[arg-type]
        return self._replace(supervisors=(*self.supervisors[:slot], changed, *self.supervisors[slot + 1 :]))


def start(rules: Rules) -> World:
    """The first world: each supervisor is registered with an idle worker, and the messages wait or are unpublished."""
    names = [chr(ord("a") + slot) for slot in range(rules.supervisors)]
    queue = Queue(
        workers=tuple((f"{name}1", name) for name in names),
        supervisors=tuple((name, FIRST_COUNTER) for name in names),
    )
    if not rules.is_published:
        counts = {name: f"0 0 0 {priority}" for name, priority in zip(rules.messages, rules.priorities) if priority}
        queue = queue.with_counts(counts).enqueued(rules.messages)
    return World(
        queue=queue,
        workers=tuple(Worker(f"{name}1") for name in names),
        supervisors=tuple(Supervisor(name) for name in names),
        stories=tuple((name, Story("new" if rules.is_published else "idle")) for name in rules.messages),
        publishing=rules.messages if rules.is_published else (),
        faults=rules.faults,
    )


def fate_of(worker: Worker, what: str, **more: object) -> Fate:
    """Facts that a supervisor reads from the scoreboard of its worker."""
    return Fate(what, worker.running, worker.last, **more)  # type: ignore[arg-type]
