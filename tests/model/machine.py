"""A state machine of publishers, workers, supervisors, operators and a bad network, on the real scripts."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from bizzmq.testing.invariants import check_nothing_stranded, check_one_place
from bizzmq.testing.layout import Keys
from tests.model.actors import SUPERVISORS, Actors
from tests.model.endings import Fate
from tests.model.envelopes import keeps
from tests.model.facts import Process
from tests.model.queue import LEASE_LOST, Counts, Request
from tests.scripts.moves import QUEUE

MAX_RETRIES = 1
times = st.integers(1, 2)  # a call is repeated after a lost reply
nth = st.integers(0, 9)


class Machine(Actors):
    """Compares each call with the model, and after each step checks the promises against the facts.

    Late copies of operators' calls are left out: they repeat the operation.
    """

    @rule(count=st.integers(1, 3), priority=st.sampled_from((0, 0, 5, -5)), later=st.booleans(), again=times)
    def publish(self, count: int, priority: int, later: bool, again: int) -> None:
        self.number += 1
        ids = tuple(f"m{self.number:02}{letter}" for letter in "abc"[:count])
        self.facts.published.update(ids)
        self.ask(Request("publish", "p", ((self.number, 0), later, priority, ids)), again)

    @precondition(lambda self: len(self.processes) < 4)
    @rule(supervisor=st.sampled_from(SUPERVISORS), again=times)
    def start(self, supervisor: str, again: int) -> None:
        self.started += 1
        process = Process(f"w{self.started}", supervisor)
        self.ask(Request("register", supervisor, (process.id,)), again)
        self.processes[process.id] = process

    @precondition(lambda self: self.processes)
    @rule(number=nth, want=st.integers(0, 4), again=times)
    def claim(self, number: int, want: int, again: int) -> None:
        process = self.process(number)
        if any(map(keeps, process.finished)):
            if self.tell(process, Request("finish", process.id, (tuple(process.finished),)), again) == LEASE_LOST:
                return
            process.finished = []
        reply = self.tell(process, Request("claim", process.id, (want, tuple(process.finished))), again)
        if reply != LEASE_LOST:
            process.finished, process.hand, process.lost = [], list(reply[0]), set()
            self.facts.check_claimed(self.processes, process, reply[0])

    @precondition(lambda self: any(process.hand for process in self.processes.values()))
    @rule(number=nth)
    def finish(self, number: int) -> None:
        process = self.busy(number)
        process.last = process.hand.pop(0)[0]
        process.finished.append(process.last)
        self.facts.done.add(process.last)

    @precondition(lambda self: any(process.hand for process in self.processes.values()))
    @rule(number=nth, dead_lettered=st.booleans(), later=st.booleans(), again=times)
    def fail(self, number: int, dead_lettered: bool, later: bool, again: int) -> None:
        process = self.busy(number)
        message_id, seen = process.hand.pop(0)
        counts = Counts.of(seen)
        self.facts.failures[message_id] += 1
        if counts.retries < MAX_RETRIES:
            counted = counts._replace(retries=counts.retries + 1).encode()
            self.tell(process, Request("retry", process.id, (message_id, seen, counted, later, True)), again)
            return
        if not dead_lettered and message_id not in self.facts.done:
            self.facts.ended.add(message_id)
        self.tell(
            process, Request("dead_letter" if dead_lettered else "discard", process.id, (message_id, seen)), again
        )

    @precondition(lambda self: any(process.hand for process in self.processes.values()))
    @rule(number=nth, later=st.booleans(), again=times)
    def postpone(self, number: int, later: bool, again: int) -> None:
        """A worker does not know the task of a message."""
        process = self.busy(number)
        message_id, seen = process.hand.pop(0)
        counts = Counts.of(seen)
        counted = counts._replace(requeues=counts.requeues + 1).encode()
        self.tell(process, Request("retry", process.id, (message_id, seen, counted, later, False)), again)

    @precondition(lambda self: any(process.hand for process in self.processes.values()))
    @rule(number=nth, is_started=st.booleans(), again=times)
    def give_back(self, number: int, is_started: bool, again: int) -> None:
        process = self.busy(number)
        given, process.hand = (process.hand[:1], process.hand[1:]) if is_started else (process.hand, [])
        ids = tuple(name for name, _ in reversed(given))
        process.releases += 1
        self.tell(process, Request("release", process.id, (process.releases, is_started, ids)), again)

    @precondition(lambda self: self.processes)
    @rule(number=nth, what=st.sampled_from(("crash", "failed", "stopped")), ran=st.booleans(),
          dead_lettered=st.booleans(), again=times)  # fmt: skip
    def die(self, number: int, what: str, ran: bool, dead_lettered: bool, again: int) -> None:
        """A process ends. Its parent knows its entry in the scoreboard."""
        process = self.process(number)
        del self.processes[process.id]
        fate = Fate(what if ran and process.hand else "stopped", last_finished=process.last)
        if ran and process.hand:
            running, seen = process.hand[0]
            fate = fate._replace(running=running)
            self.facts.deaths[running] += what == "crash"
            self.facts.failures[running] += what == "failed"
            fate = self.with_outcome(fate, Counts.of(seen), dead_lettered=dead_lettered)
        self.ask(Request("requeue", process.id, (fate,)), again)

    def with_outcome(self, fate: Fate, counts: Counts, *, dead_lettered: bool) -> Fate:
        if fate.what != "failed":
            return fate
        if counts.retries < MAX_RETRIES:
            counted = counts._replace(retries=counts.retries + 1).encode()
            return fate._replace(outcome="retry", attempts_after=counted, later=dead_lettered)
        if not dead_lettered:
            self.facts.ended.add(fate.running)
        return fate._replace(outcome="dead-letter" if dead_lettered else "discard")

    @rule(supervisor=st.sampled_from(SUPERVISORS), beats=st.booleans(), again=times)
    def reap(self, supervisor: str, beats: bool, again: int) -> None:
        """Others have watched a supervisor for a lease. A heartbeat at the last moment prevents the reaping."""
        counter = self.queue.counter(supervisor)
        if beats and counter:
            self.ask(Request("heartbeat", supervisor))
        for worker, owner in self.queue.workers:
            if owner != supervisor:
                continue
            taken = self.ask(Request("requeue", worker, (Fate("silent", supervisor=owner, counter=counter),)), again)
            assert not (taken and beats and counter), "a living supervisor was reaped"
            if worker in self.processes and not self.queue.is_registered(worker):
                process = self.processes[worker]
                process.lost.update([*dict(process.hand), *process.finished, ""])
        if counter:
            self.ask(Request("unregister", supervisor, (counter,)), again)

    @rule(supervisor=st.sampled_from(SUPERVISORS), again=times)
    def heartbeat(self, supervisor: str, again: int) -> None:
        if not self.ask(Request("heartbeat", supervisor), again):
            self.ask(Request("register", supervisor, ("",)))

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 30))
    def late_copy(self, number: int) -> None:
        """The network delivers an earlier request only now."""
        request = self.sent[-1 - number % len(self.sent)]
        if not self.facts.replayed.intersection(map(str, request.args)):
            self.ask(request)

    @precondition(lambda self: self.queue.dead)
    @rule(number=nth, priority=st.sampled_from((0, 7)), again=times)
    def replay(self, number: int, priority: int, again: int) -> None:
        message_id = self.queue.dead[number % len(self.queue.dead)]
        self.facts.replayed.add(message_id)
        self.number += 1
        self.ask(Request("replay", "operator", (message_id, priority, f"nonce{self.number}")), again)

    @rule(limit=st.integers(1, 3))
    def purge(self, limit: int) -> None:
        before = set(self.queue.places())
        self.ask(Request("purge", "operator", (limit,)))
        self.facts.ended |= before - set(self.queue.places())

    @precondition(lambda self: self.facts.published)
    @rule(number=nth, again=times)
    def delete_message(self, number: int, again: int) -> None:
        message_id = sorted(self.facts.published)[number % len(self.facts.published)]
        before = set(self.queue.places())
        self.ask(Request("delete_message", "operator", (message_id,)), again)
        self.facts.ended |= before - set(self.queue.places())

    @precondition(lambda self: self.facts.published)
    @rule(number=nth, again=times)
    def promote(self, number: int, again: int) -> None:
        message_id = sorted(self.facts.published)[number % len(self.facts.published)]
        self.ask(Request("promote", "operator", (message_id,)), again)

    @rule()
    def time_passes(self) -> None:
        later = self.queue.delayed
        if later:
            first = len(self.queue.due)
            self.redis.zadd(Keys(QUEUE).delayed, {name: first + at for at, name in enumerate(later, 1)})
            due = self.redis.zrange(Keys(QUEUE).delayed, 0, -1)
            self.queue = self.queue._replace(due=tuple(map(str, due)), delayed=())

    @rule()
    def scripts_are_forgotten(self) -> None:
        self.redis.script_flush()

    @invariant()
    def promises_hold(self) -> None:
        check_one_place(self.redis, QUEUE)
        check_nothing_stranded(self.redis, QUEUE)
        self.facts.check_balance(self.queue)
        self.facts.check_blame(self.queue)
