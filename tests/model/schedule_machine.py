"""The state machine of schedules, and of throttled keys: each occurrence is published once, by any janitor."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, Dict, List, Set

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.schedules import NEVER, Fired
from bizzmq.schedules.planning import due_text, plan
from bizzmq.schedules.schedule import MISSED, MessageTerms, Schedule, ScheduleOptions, decode
from bizzmq.schedules.when import Interval
from bizzmq.testing.layout import Keys
from tests.model.beside import THROTTLE_MS, Terms
from tests.model.beside_machine import NAMES, BesideMachine
from tests.model.machine import nth, times
from tests.model.queue import Planned, Request
from tests.model.timed_machine import HOUR_MS, TimedMachine
from tests.scripts.containers import LATER_MS
from tests.scripts.moves import QUEUE

OVERLAPS = {"s1": "allow", "s2": "skip", "s3": "queue-one"}
JANITORS = ("j1", "j2")
schedules = st.sampled_from(sorted(OVERLAPS))
janitors = st.sampled_from(JANITORS)
MESSAGE_TERMS = st.sampled_from((
    MessageTerms(), MessageTerms(), MessageTerms("a"), MessageTerms("b", "started"),
    MessageTerms("a", str(THROTTLE_MS)), MessageTerms(expires_ms=LATER_MS), MessageTerms("b", expires_ms=LATER_MS),
))  # fmt: skip
TERMS = st.builds(
    Terms, later=st.booleans(), until_started=st.booleans(), replaces=st.booleans(), expires=st.booleans(),
    priority=st.sampled_from((0, 0, 5)), limit=st.just(0), drops_oldest=st.just(False), throttles=st.booleans(),
).map(lambda terms: terms._replace(replaces=False, until_started=False) if terms.throttles else terms)  # fmt: skip


class ScheduleMachine(TimedMachine):
    """Janitors look and fire in separate steps, between which they may die and others may act."""

    purge = cancel = publish_and_run = fail_for_good = save = None  # type: ignore[assignment] # others have them
    delete_message = give_back = None  # type: ignore[assignment] # as above

    def __init__(self, redis: Redis, broker: Broker) -> None:
        super().__init__(redis, broker)
        self.plans: Dict[str, List[Request]] = {janitor: [] for janitor in JANITORS}
        self.occurrences: Set[str] = set()
        self.own: Dict[str, Set[str]] = defaultdict(set)
        self.series: Dict[str, float] = {}

    def ask(self, request: Request, again: int = 1) -> Any:
        before, due = set(self.queue.places()), {name: one.due for name, one in self.queue.schedules}
        reply = super().ask(request, again)
        if request.script == "fire":
            fresh = set(self.queue.places()) - before
            assert not fresh & self.occurrences, "an occurrence is published twice"
            assert again > 1 or len(fresh) == reply.count(Fired.FIRED)
            self.occurrences |= fresh
            self.facts.published |= fresh
            for fire in request.args[0]:
                self.own[fire.name.decode()] |= fresh & {fire.message_id}
        elif request.script in ("put_schedule", "resume_schedule"):
            self.series.update({name: one.due for name, one in self.queue.schedules if one.due != due.get(name)})
        return reply

    @rule(names=NAMES, terms=TERMS, again=times)
    def publish_checked(self, names: list[str], terms: Terms, again: int) -> None:
        BesideMachine.publish_checked(self, names, terms, again)

    @initialize(missed=st.sampled_from(MISSED))
    def some_schedules(self, missed: str) -> None:
        for name in OVERLAPS:
            self.put(name, 1, missed, MessageTerms(), 0, False, 1)

    @rule(name=schedules, hours=st.sampled_from((1, 2)), missed=st.sampled_from(MISSED), terms=MESSAGE_TERMS,
          delay_ms=st.sampled_from((0, 0, LATER_MS)), is_stale=st.booleans(), again=times)  # fmt: skip
    def put(
        self, name: str, hours: int, missed: str, terms: MessageTerms, delay_ms: int, is_stale: bool, again: int
    ) -> None:
        known = dict(self.queue.schedules).get(name)
        when = Interval(hours * HOUR_MS)
        options = ScheduleOptions(when, missed, OVERLAPS[name])
        after = Schedule(name, QUEUE, options, b"1\n1", delay_ms=delay_ms, terms=terms).encode()
        before = b"" if known is None or is_stale else known.definition
        replaces_due = known is None or _schedule(name, known).options.when != when
        next_due = due_text(when.first(self.queue.now_ms))
        self.ask(Request("put_schedule", "operator", (name, before, after, next_due, replaces_due)), again)

    @rule(name=schedules, hours=st.sampled_from((0, 1)), again=times)
    def pause_schedule(self, name: str, hours: int, again: int) -> None:
        self.number += 1
        until = due_text(self.queue.now_ms + hours * HOUR_MS) if hours else NEVER
        self.ask(Request("pause_schedule", "operator", (name, json.dumps({"number": self.number}), until)), again)

    @precondition(lambda self: self.queue.schedules)
    @rule(name=schedules, changes=st.booleans())
    def pause_is_renewed(self, name: str, changes: bool) -> None:
        """A janitor has read that the first pause is over, and does not end the second one."""
        self.pause_schedule(name, 1, 1)
        if changes:
            self.put(name, 2, MISSED[0], MessageTerms(), 0, False, 1)
        self.clock_moves(61)
        self.janitor_looks(JANITORS[0])
        self.pause_schedule(name, 0, 1)
        self.janitor_acts(JANITORS[0], 1)

    @rule(name=schedules, again=times)
    def resume_schedule(self, name: str, again: int) -> None:
        known = dict(self.queue.schedules).get(name)
        if known is not None:
            self.ask(self.resuming("operator", name, known, ""), again)

    def resuming(self, client: str, name: str, known: Planned, record: str) -> Request:
        next_due = due_text(_schedule(name, known).options.when.first(self.queue.now_ms))
        return Request("resume_schedule", client, (name, record, next_due))

    @rule(name=schedules)
    def run_now(self, name: str) -> None:
        """Publish its message besides its times."""
        known = dict(self.queue.schedules).get(name)
        if known is not None:
            terms = _schedule(name, known).terms
            self.publish_checked(
                [terms.unique_key],
                Terms(
                    until_started=terms.kept_until == "started",
                    expires=terms.expires_ms > 0,
                    throttles=terms.kept_until.isdigit(),
                ),
                1,
            )

    @rule(name=schedules, is_stale=st.booleans(), again=times)
    def remove(self, name: str, is_stale: bool, again: int) -> None:
        known = dict(self.queue.schedules).get(name)
        before = b"" if known is None or is_stale else known.definition
        self.ask(Request("remove_schedule", "operator", (name, before)), again)
        if name not in dict(self.queue.schedules):
            self.own.pop(name, None)  # what it has published stays, and does not count for a new one

    @rule(janitor=janitors)
    def janitor_looks(self, janitor: str) -> None:
        page = self.ask(Request("due_schedules", janitor))
        fires, self.plans[janitor] = [], []
        for due in page.due:
            name = due.name.decode()
            if due.state.pause:
                known = dict(self.queue.schedules)[name]
                self.plans[janitor].append(self.resuming(janitor, name, known, due.state.pause.decode()))
            else:
                fires += plan(due, decode(name, QUEUE, due.definition), page.now_ms)
        if fires:
            self.plans[janitor].append(Request("fire", janitor, (tuple(fires),)))

    @precondition(lambda self: any(self.plans.values()))
    @rule(janitor=janitors, again=times)
    def janitor_acts(self, janitor: str, again: int) -> None:
        if self.plans[janitor]:
            self.ask(self.plans[janitor].pop(0), again)

    @rule(janitor=janitors, again=times)
    def janitor_looks_and_acts(self, janitor: str, again: int) -> None:
        self.janitor_looks(janitor)
        while self.plans[janitor]:
            self.janitor_acts(janitor, again)

    @rule(order=st.permutations(JANITORS), number=nth)
    def an_hour_passes(self, order: list[str], number: int) -> None:
        """All janitors look before any acts."""
        self.clock_moves(61)
        for janitor in JANITORS:
            self.janitor_looks(janitor)
        for janitor in order:
            while self.plans[janitor]:
                self.janitor_acts(janitor, 1)
        if self.processes:
            self.claim(number, 4, 1)
        if any(process.hand for process in self.processes.values()):
            self.finish(number)

    @precondition(lambda self: any(self.plans.values()))
    @rule(janitor=janitors)
    def janitor_dies(self, janitor: str) -> None:
        self.plans[janitor].clear()

    @invariant()
    def at_most_one_message_where_no_overlap_is_allowed(self) -> None:
        for name, ids in self.own.items():
            if OVERLAPS[name] != "allow":
                there = [one for one in ids - self.facts.replayed if self.queue.is_own(one)]
                assert len(there) <= 1, f"{name} has {there}"

    @invariant()
    def intervals_do_not_drift(self) -> None:
        for name, one in self.queue.schedules:
            if not one.pause and one.due.is_integer():
                every_ms = _schedule(name, one).options.when.every_ms  # type: ignore[union-attr]
                assert (one.due - self.series[name]) % every_ms == 0

    @invariant()
    def schedules_have_a_due_time(self) -> None:
        keys = Keys(QUEUE)
        stored = set(self.redis.hkeys(keys.schedules))
        assert set(self.redis.zrange(keys.due, 0, -1)) == stored
        assert set(self.redis.hkeys(keys.fires)) <= stored


def _schedule(name: str, known: Planned) -> Schedule:
    return decode(name, QUEUE, known.definition)
