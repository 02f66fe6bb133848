"""Rows of create, publish, register, heartbeat, unregister, and of requests to pools."""

from __future__ import annotations

from typing import Any, Dict

from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import LengthLimitedError
from bizzmq.broker.workers import Heartbeat
from bizzmq.errors import QueueNotFoundError
from bizzmq.queue import QueueOptions
from tests.scripts.containers import FRESH, NO_QUEUE, Containers
from tests.scripts.moves import DEAD, QUEUE, Call, Move, held, raising, reading


def publishing(*ids: str, delay_ms: int = 0, priority: int = 0) -> Call:
    entries: list[Any] = [part for name in ids for part in (name, b'1\n"body of %s"' % name.encode())]

    def call(broker: Broker) -> None:
        broker.publish(QUEUE, "pub", 1, delay_ms, priority, entries)

    return call


def creating(queue: str, **options: Any) -> Call:
    return lambda broker: broker.create(queue, QueueOptions(**options))


class SortedOptions(QueueOptions):
    """Written in another order: `history` is not the last."""

    def to_meta(self) -> Dict[str, str]:
        return dict(sorted(super().to_meta().items()))


def updating(queue: str = QUEUE, *, dead_letters: bool = False, **fields: str) -> Call:
    return lambda broker: broker.update(queue, fields, dead_letters=dead_letters)


def asking(broker: Broker) -> int:
    return broker.ask(QUEUE, "r1", "s1", b'{"what":"reload"}')


def taking(*requests: str) -> Call:
    """Take requests; their ids, in how many minutes they expire, and their texts."""

    def call(broker: Broker) -> Any:
        taken = broker.take_requests(QUEUE, "s1", requests)
        return [(one.id, round(one.left_ms / 60_000), one.text.decode()) for one in taken]

    return call


ASKED, REPORTED = '<later> s1 {"what":"reload"}', ("<now> {}", 1)
MANY = {f"n{number}": "<later> s2 {}" for number in range(64)}
ALMOST, ONE = {name: MANY[name] for name in list(MANY)[1:]}, {"n1": MANY["n1"]}
HERE = {"r1": "<later> s1 {a b}", "r2": "<later> s2 {}", "r3": "1000 s1 {}", "r4": "<later> s1 x", "r5": "<later> s1 y"}
LEFT = {"r2": HERE["r2"], "r5": HERE["r5"]}
REQUESTS = [
    Move("ask", sentence, held(others={"requests": before}), reading(asking, "requests"), (reply, (after, minutes)),
         held())
    for sentence, before, reply, after, minutes in (
        ("removes what has expired or is unreadable", {"old": "1000 s2 {}", "bad": "x", **ONE}, 1,
         {**ONE, "r1": ASKED}, 1),
        ("what is there already, once", {"r1": "<later> s1 {}", **ONE}, 1, {"r1": ASKED, **ONE}, 1),
        ("one more than too many not", MANY, -1, MANY, None),
        ("as many as may be there", {**ALMOST, "old": "1 s2 {}"}, 1, {**ALMOST, "r1": ASKED}, 1),
        ("what is there already, among many", {"r1": ASKED, **ALMOST}, 1, {"r1": ASKED, **ALMOST}, 1),
    )
] + [
    Move("ask", "the first one", held(), reading(asking, "requests"), (1, ({"r1": ASKED}, 1)), held()),
    Move("ask", "not what has an answer", held(others={"answer:r1": "", "requests": {"n1": "1000 s2 {}"}}),
         reading(asking, "requests"), (1, ({"n1": "1000 s2 {}"}, None)), held()),
    Move("ask", "refuses a supervisor that is not registered", Containers(), asking, 0, Containers()),
    Move("take_requests", "nothing", held(), taking("r1"), [], held()),
    Move("take_requests", "what is there for this pool, once",
         held(others={"requests": HERE}),
         reading(taking("r1", "r2", "r3", "r9", "r4"), "requests", *(f"answer:r{one}" for one in (1, 2, 3, 4, 9))),
         ([("r1", 1, "{a b}"), ("r4", 1, "x")], (LEFT, None), ("", 5), None, None, ("", 5), None), held(),
         again=([], (LEFT, None), ("", 5), None, None, ("", 5), None)),
    Move("report", "for people", held(stats={"published": 3}),
         reading(lambda broker: broker.report(QUEUE, "s1", b"{}", 60_000), "pool:s1"), (True, REPORTED),
         held(stats={"published": 3})),
    Move("report", "refuses a supervisor that is not registered", Containers(),
         lambda broker: broker.report(QUEUE, "s1", b"{}", 60_000), False, Containers()),
]  # fmt: skip


ROWS = [
    Move("update", "the given options", Containers(waiting=("m1",)), updating(retry="2", timeout_s="5.0"), ["0", None],
         Containers(retry="2", waiting=("m1",)), again=["2", "5.0"]),
    Move("update", "with a new dead-letter queue", Containers(), updating(dead_letters=True, dead_letter="1"), [None],
         Containers(), after_dead=Containers(), again=["1"]),
    Move("update", "not the options of a dead-letter queue that exists", Containers(), updating(dead_letters=True), [],
         Containers(), before_dead=Containers(retry="3"), after_dead=Containers(retry="3")),
    Move("update", "a dead-letter queue itself", NO_QUEUE, updating(DEAD, retry="2"), ["0"], NO_QUEUE,
         before_dead=Containers(), after_dead=Containers(retry="2"), again=["2"]),
    Move("create", "a new queue", NO_QUEUE, creating(QUEUE), True, Containers(), again=False),
    Move("create", "one that exists keeps its options", Containers(retry="3"), creating(QUEUE), False,
         Containers(retry="3")),
    Move("create", "with its dead-letter queue", NO_QUEUE, creating(QUEUE, config_dead_letter_queue=True), True,
         Containers(), after_dead=Containers(), again=False),
    Move("create", "a dead-letter queue explicitly", NO_QUEUE, creating(DEAD, retry=2), True, NO_QUEUE,
         after_dead=Containers(retry="2"), again=False),
    Move("create", "the initial retry count", NO_QUEUE, creating(QUEUE, retry=2), True, Containers(retry="2"),
         again=False),
    Move("create", "with histories", NO_QUEUE, lambda broker: broker.create(QUEUE, SortedOptions(history=True)), True,
         Containers(extras={"history": "1"}), again=False),
    Move("publish", "not to a queue that does not exist", NO_QUEUE, raising(QueueNotFoundError, publishing("m1")),
         QueueNotFoundError, NO_QUEUE),
    Move("publish", "not to a queue of limited length", Containers(options={"max_length": "3"}),
         raising(LengthLimitedError, publishing("m1")), LengthLimitedError, Containers(options={"max_length": "3"})),
    Move("publish", "to a queue whose length is not limited any more", Containers(options={"max_length": ""}),
         publishing("m1"), None, Containers(waiting=("m1",), wake=True, stats={"published": 1})),
    Move("publish", "many wait in publish order", Containers(waiting=("m0",)), publishing("m1", "m2"), None,
         Containers(waiting=("m0", "m1", "m2"), wake=True, stats={"published": 2})),
    Move("publish", "a high priority", Containers(), publishing("m1", priority=2**53), None,
         Containers(prioritized={"m1": 2**53}, attempts={"m1": f"0 0 0 {2**53}"}, wake=True,
                    stats={"published": 1})),
    Move("publish", "a low priority", Containers(), publishing("m1", priority=-(2**53)), None,
         Containers(prioritized={"m1": -(2**53)}, attempts={"m1": f"0 0 0 {-(2**53)}"}, wake=True,
                    stats={"published": 1})),
    Move("publish", "behind others of its priority, in publish order", Containers(prioritized={"m9": 3, "m4": -3}),
         publishing("m5", "m1", priority=3), None,
         Containers(prioritized={"m9": 3, "m5": 3, "m1": 3, "m4": -3}, attempts={"m1": "0 0 0 3", "m5": "0 0 0 3"},
                    wake=True, stats={"published": 2})),
    Move("publish", "held back", Containers(), publishing("m1", "m2", delay_ms=60_000), None,
         Containers(delayed=("m1", "m2"), wake=True, stats={"published": 2})),
    Move("publish", "held back with a priority", Containers(), publishing("m1", delay_ms=60_000, priority=-1), None,
         Containers(delayed=("m1",), attempts={"m1": "0 0 0 -1"}, wake=True, stats={"published": 1})),
    Move("publish", "starts with the retry count of its queue", Containers(retry="2"), publishing("m1"), None,
         Containers(retry="2", waiting=("m1",), attempts={"m1": "2 0 0 0"}, wake=True, stats={"published": 1})),
    Move("register", "a supervisor", Containers(), lambda broker: broker.register(QUEUE, "s1"), None,
         Containers(supervisors={"s1": FRESH})),
    Move("register", "a worker of a new supervisor", Containers(),
         lambda broker: broker.register(QUEUE, "s1", "w1"), None, held(supervisors={"s1": FRESH})),
    Move("register", "one that beats keeps its counter", held(supervisors={"s1": "8"}),
         lambda broker: broker.register(QUEUE, "s1", "w2"), None,
         held(supervisors={"s1": "8"}, workers={"w1": "s1", "w2": "s1"})),
    Move("heartbeat", "counts on", held(), lambda broker: broker.heartbeat(QUEUE, "s1"),
         Heartbeat(8, False), held(supervisors={"s1": "8"}),
         again=Heartbeat(9, False), after_again=held(supervisors={"s1": "9"})),
    Move("heartbeat", "counts from nothing", held(supervisors={"s1": "0"}),
         lambda broker: broker.heartbeat(QUEUE, "s1"), Heartbeat(1, False),
         held(supervisors={"s1": "1"}), again=Heartbeat(2, False), after_again=held(supervisors={"s1": "2"})),
    Move("heartbeat", "sees schedules", held(next_due={"nightly": 7}), lambda broker: broker.heartbeat(QUEUE, "s1"),
         Heartbeat(8, True), held(supervisors={"s1": "8"}, next_due={"nightly": 7}),
         again=Heartbeat(9, True), after_again=held(supervisors={"s1": "9"}, next_due={"nightly": 7})),
    Move("heartbeat", "refuses a supervisor that is not registered", Containers(next_due={"nightly": 7}),
         lambda broker: broker.heartbeat(QUEUE, "s1"), Heartbeat(0, False), Containers(next_due={"nightly": 7})),
    *REQUESTS,
    Move("unregister", "unconditionally", Containers(supervisors={"s1": "7", "s2": "1"}),
         lambda broker: broker.unregister(QUEUE, "s1"), True, Containers(supervisors={"s2": "1"}), again=False),
    Move("unregister", "with an unchanged counter", Containers(supervisors={"s1": "7"}),
         lambda broker: broker.unregister(QUEUE, "s1", "7"), True, Containers(), again=False),
    Move("unregister", "not with a changed counter", Containers(supervisors={"s1": "8"}),
         lambda broker: broker.unregister(QUEUE, "s1", "7"), False, Containers(supervisors={"s1": "8"})),
]  # fmt: skip
