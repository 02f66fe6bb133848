"""The state machine with everything that messages have beside them: keys, expiry, cancels, progress and checkpoints."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from bizzmq.testing.layout import Keys
from tests.model.actors import SUPERVISORS
from tests.model.beside import FULL, Terms
from tests.model.calls import beside, beside_in, entry_text
from tests.model.facts import Process
from tests.model.machine import Machine, nth, times
from tests.model.queue import Request
from tests.scripts.moves import DEAD, QUEUE

NAMES = st.lists(st.sampled_from(("", "a", "a", "b")), min_size=1, max_size=3)
TERMS = st.builds(
    Terms,
    later=st.booleans(),
    priority=st.sampled_from((0, 0, 5, -5)),
    until_started=st.booleans(),
    replaces=st.booleans(),
    expires=st.booleans(),
    limit=st.sampled_from((0, 0, 2, 4)),
    drops_oldest=st.booleans(),
    throttles=st.just(False),
)


FATES = ("none", "expire", "finish", "dead_letter", "save", "give back", "cancel", "cancel and fail", "cancel and die",
         "discard")  # fmt: skip


class BesideMachine(Machine):
    """After each step each unique key is of its message, and nothing is left beside messages that are gone."""

    PREFIX = "m"
    checked = 0
    publish = heartbeat = scripts_are_forgotten = reap = start = purge = None  # type: ignore[assignment] # Machine has them

    @initialize()
    def two_workers(self) -> None:
        for name in ("w1", "w2"):
            self.ask(Request("register", SUPERVISORS[0], (name,)))
            self.processes[name] = Process(name, SUPERVISORS[0])

    @precondition(lambda self: len(self.processes) < 2)
    @rule()
    def replace_a_worker(self) -> None:
        self.number += 1
        process = Process(f"w{self.number:02}", SUPERVISORS[0])
        self.ask(Request("register", SUPERVISORS[0], (process.id,)))
        self.processes[process.id] = process

    def ask(self, request: Request, again: int = 1) -> Any:
        """As before; a message whose cancel is requested may end, and one that has expired may end in a claim."""
        before = self.queue
        reply = super().ask(request, again)
        for name in set(before.places()) - set(self.queue.places()):
            if name in before.cancels or (before.entry(name).expires == "past" and request.script == "claim"):
                self.facts.ended.add(name)
        return reply

    @rule(names=NAMES, terms=TERMS, again=times)
    def publish_checked(self, names: list[str], terms: Terms, again: int) -> None:
        self.number += 1
        self.checked += 1
        ids = tuple(f"{self.PREFIX}{self.number:02}{letter}" for letter in "abc"[: len(names)])
        if terms.until_started and terms.replaces:
            terms = terms._replace(until_started=False)
        before = set(self.queue.places())
        reply = self.ask(Request("publish_checked", "p", (self.checked, terms, ids, tuple(names))), again)
        if reply != FULL:
            self.facts.published.update(set(ids) & set(reply[0]))
            self.facts.ended |= (before | set(ids)) - set(self.queue.places())

    @precondition(lambda self: self.processes)
    @rule(names=NAMES, terms=TERMS, number=nth, fate=st.sampled_from(FATES))
    def publish_and_run(self, names: list[str], terms: Terms, number: int, fate: str) -> None:
        """What it takes chance many steps to bring about."""
        self.publish_checked(names, terms._replace(later=False, limit=0), 1)
        if fate == "expire":
            self.times_of_expiry_pass()
        self.claim(number, 4, 1)
        if not any(process.hand for process in self.processes.values()):
            return
        if fate in ("cancel", "cancel and fail", "cancel and die"):
            process = self.busy(number)
            self.ask(Request("cancel", "operator", (tuple(name for name, _ in process.hand[:2]),)))
        acts = {
            "finish": lambda: self.finish(number), "dead_letter": lambda: self.fail_for_good(number, 1),
            "save": lambda: self.save(number, 1), "give back": lambda: self.give_back(number, False, 1),
            "cancel and fail": lambda: self.fail(number, True, False, 1),
            "cancel and die": lambda: self.die(number, "crash", True, True, 1),
            "discard": lambda: self.discard(number),
        }  # fmt: skip
        acts.get(fate, lambda: None)()

    def discard(self, number: int) -> None:
        process = self.busy(number)
        message_id, seen = process.hand.pop(0)
        self.facts.failures[message_id] += 1
        if message_id not in self.facts.done:
            self.facts.ended.add(message_id)
        self.tell(process, Request("discard", process.id, (message_id, seen)), 1)

    @precondition(lambda self: any(process.hand for process in self.processes.values()))
    @rule(number=nth, again=times)
    def fail_for_good(self, number: int, again: int) -> None:
        process = self.busy(number)
        message_id, seen = process.hand.pop(0)
        self.facts.failures[message_id] += 1
        self.tell(process, Request("dead_letter", process.id, (message_id, seen)), again)

    @precondition(lambda self: self.facts.published)
    @rule(numbers=st.lists(nth, min_size=1, max_size=2), again=times)
    def cancel(self, numbers: list[int], again: int) -> None:
        known = sorted(self.facts.published)
        ids = tuple(dict.fromkeys(known[-1 - number % len(known)] for number in numbers))
        before = set(self.queue.places())
        self.ask(Request("cancel", "operator", (ids,)), again)
        self.facts.ended |= before - set(self.queue.places())

    @precondition(lambda self: any(process.hand for process in self.processes.values()))
    @rule(number=nth, again=times)
    def save(self, number: int, again: int) -> None:
        process = self.busy(number)
        self.tell(process, Request("record", process.id, (process.hand[0][0],)), again)

    @rule()
    def times_of_expiry_pass(self) -> None:
        for name, entry in self.queue.extras:
            if entry.expires == "later":
                self.queue = self.queue.with_entry(name, entry._replace(expires="past"))
                self.redis.hset(Keys(QUEUE).extras, name, entry_text(self.queue.entry(name)))

    @precondition(lambda self: self.queue.dead)
    @rule(least=st.integers(0, 2), again=times)
    def expire_dead_letters(self, least: int, again: int) -> None:
        dead = self.queue.dead
        self.ask(Request("expire_dead_letters", "janitor", (least, dead)), again)
        self.facts.ended |= set(dead) - set(self.queue.dead)
        self.redis.delete(Keys(DEAD).stats)

    @precondition(lambda self: self.facts.published)
    @rule(number=nth, priority=st.sampled_from((0, 7)), again=times)
    def replay_edited(self, number: int, priority: int, again: int) -> None:
        known = sorted(self.facts.published)
        message_id = self.queue.dead[-1] if self.queue.dead else known[number % len(known)]
        self.facts.replayed.add(message_id)
        self.number += 1
        self.ask(Request("replay_edited", "operator", (message_id, priority, f"nonce{self.number}")), again)

    @invariant()
    def nothing_is_left_beside(self) -> None:
        assert beside(self.redis) == beside_in(self.queue)
        stored = set(self.queue.places())
        for key, ids in beside(self.redis).items():
            assert set(ids) <= stored, f"{key}: left of a message that is gone"
        for name, entry in self.queue.extras:
            owner = dict(self.queue.unique).get(entry.key)
            if entry.key and self.queue.is_own(name) and not (entry.until_started or entry.is_superseded):
                assert owner == name, f"{name} has lost its unique key"
        for name, owner in self.queue.unique:
            assert self.queue.is_own(owner), f"the unique key {name} of a message that is gone"
