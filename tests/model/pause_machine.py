"""The state machine of pauses: a paused message is never claimed, never lost, and comes back in order."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Dict, List, Tuple

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.control.pause import look
from tests.model.beside import Terms
from tests.model.beside_machine import NAMES, BesideMachine
from tests.model.machine import Machine, nth, times
from tests.model.pauses import FIRST_PAGE, PAGE, QUEUE, covers, held_pauses
from tests.model.queue import LEASE_LOST, Counts, Request
from tests.model.timed_machine import HOUR_MS, TimedMachine
from tests.scripts.moves import QUEUE as NAME

PAUSED = ("queue", "task:t1", "task:t2", "key:k")
MANY = PAGE + 5
TERMS = st.builds(
    Terms,
    priority=st.sampled_from((0, 0, 5, -5)),
    until_started=st.booleans(),
    replaces=st.booleans(),
    expires=st.booleans(),
    later=st.just(False),
    limit=st.just(0),
    drops_oldest=st.just(False),
    throttles=st.just(False),
)


class PauseMachine(TimedMachine):
    """Operators pause and resume while workers work. Each page is a step, after which its client may die."""

    PREFIX = "n"
    late_copy = replay = None  # type: ignore[assignment] # the other machines have them
    purge = Machine.purge

    def __init__(self, redis: Redis, broker: Broker) -> None:
        super().__init__(redis, broker)
        self.touched: set[str] = set()
        self.pages: Dict[str, str] = {}
        self.has_many = False

    def ask(self, request: Request, again: int = 1) -> Any:
        before = self.queue
        reply = super().ask(request, again)
        if request.script == "claim" and reply != LEASE_LOST:
            fresh = {name for name, _ in reply[0]} - set(before.held(request.who))
            self.touched |= fresh
            pauses = held_pauses(self.queue)
            assert not fresh or QUEUE not in pauses, "claimed while the queue is paused"
            assert not [name for name in fresh if covers(pauses, name)], "claimed while it is paused"
        return reply

    @rule(names=NAMES, terms=TERMS, again=times)
    def publish_checked(self, names: list[str], terms: Terms, again: int) -> None:
        BesideMachine.publish_checked(self, names, terms, again)

    @precondition(lambda self: not self.has_many and self.processes)
    @rule(number=nth, name=st.sampled_from(("", "task:t2")))
    def many_are_put_aside(self, number: int, name: str) -> None:
        """More than a page, the first of which may return."""
        self.has_many = True
        self.pause("task:t2", 0, 1)
        self.number += 1
        ids = tuple(f"n{self.number:02}x{at:03}b" for at in range(MANY))
        self.facts.published.update(ids)
        self.ask(Request("publish", "p", ((self.number, 0), False, 0, ids)))
        for _ in range(2):
            self.claim(number, 4, 1)
        if name:
            self.resume(name, 1)
            self.claim(number, 4, 1)

    @rule(name=st.sampled_from(PAUSED), hours=st.sampled_from((0, 1)), again=times)
    def pause(self, name: str, hours: int, again: int) -> None:
        self.ask(Request("pause", "operator", (name, hours * HOUR_MS)), again)

    @rule(name=st.sampled_from(PAUSED), again=times)
    def resume(self, name: str, again: int) -> None:
        self.take_page("operator", name, FIRST_PAGE, again)

    @precondition(lambda self: self.pages)
    @rule(client=st.sampled_from(("operator", "janitor")), again=times)
    def resume_goes_on(self, client: str, again: int) -> None:
        if client in self.pages:
            self.take_page(client, "", self.pages[client], again)

    @precondition(lambda self: self.pages)
    @rule()
    def clients_die(self) -> None:
        self.pages.clear()

    @precondition(lambda self: self.queue.pauses or self.queue.suspended)
    @rule(again=times)
    def janitor_looks(self, again: int) -> None:
        operation = look(self.broker.keys(NAME))
        stored: Any = self.broker.connection.execute(*next(operation).parts)  # type: ignore[union-attr]
        operation.send(stored)
        try:
            operation.send((self.queue.now_ms // 1000, self.queue.now_ms % 1000 * 1000))
        except StopIteration as end:
            if end.value.page:
                self.take_page("janitor", "", end.value.page, again)

    def take_page(self, client: str, name: str, page: str, again: int) -> None:
        following = self.ask(Request("resume", client, (name, page)), again)[2]
        self.pages.pop(client, None)
        if following:
            self.pages[client] = following

    @invariant()
    def what_no_worker_has_had_is_in_order(self) -> None:
        rows: Dict[Tuple[str, int], List[str]] = defaultdict(list)
        for name in (*self.queue.aside, *self.queue.prioritized, *self.queue.waiting):
            if name not in self.touched:
                rows[name[-1], Counts.of(self.queue.counts(name)).priority].append(name)
        for row in rows.values():
            assert row == sorted(row, key=_published), "not in the order of publishing"


def _published(message_id: str) -> Tuple[int, str]:
    return int(re.sub(r"\D.*", "", message_id[1:])), message_id
