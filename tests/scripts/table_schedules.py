"""Rows of the scripts that change schedules and fire them."""

from __future__ import annotations

import json
from typing import Any

from bizzmq.broker.broker import Broker
from bizzmq.broker.schedules import NEVER, DuePage, DueSchedule, Fire, Fired, ScheduleState
from bizzmq.broker.workers import Heartbeat
from tests.scripts.containers import LATER as EXPIRES
from tests.scripts.containers import NO_QUEUE, NOW, PAST, SOON, Containers, envelope
from tests.scripts.moves import QUEUE, Call, Move, held
from tests.scripts.table_checked import FULL as QUEUE_FULL

LATER = 4_000_000_000_000
DEFINITION = '{"every_ms":1000}\n1\n"body"'
PAUSE = '{"by":"ada"}'
ONE = {"schedules": {"s": DEFINITION}, "next_due": {"s": 1000}}


def one(due: Any = 1000, **others: Any) -> Containers:
    """A queue with one schedule."""
    return Containers(**{"schedules": {"s": DEFINITION}, "next_due": {"s": due}, **others})


def occurrence(
    due: int = 1000,
    following: int = LATER,
    action: str = "allow",
    name: str = "m1",
    delay_ms: int = 0,
    priority: int = 0,
    terms: str = "",
) -> Fire:
    due_at = str(due).encode()
    return Fire(b"s", due_at, str(following), action, name, envelope(name), delay_ms, priority, terms.encode())


def firing(*fires: Fire) -> Call:
    return lambda broker: broker.fire(QUEUE, fires)


def putting(before: str, after: str = DEFINITION, *, replaces_due: bool = False) -> Call:
    return lambda broker: broker.put_schedule(
        QUEUE, "s", before.encode(), after.encode(), str(LATER), replaces_due=replaces_due
    )


def pausing(until: str = NEVER) -> Call:
    return lambda broker: broker.pause_schedule(QUEUE, "s", PAUSE.encode(), until)


def resuming(record: str = "") -> Call:
    return lambda broker: broker.resume_schedule(QUEUE, "s", record.encode(), str(LATER))


def removing(before: str = DEFINITION) -> Call:
    return lambda broker: broker.remove_schedule(QUEUE, b"s", before.encode())


def looking(broker: Broker, leave_out: int = 0) -> DuePage:
    return broker.due_schedules(QUEUE, leave_out)._replace(now_ms=0)


FIRED = f"1000 {NOW} m1 1 0"
OTHER = '{"every_ms":2000}\n1\n"other"'
PAUSED = f"0 0 - 0 0\t{PAUSE}"

FIRING = [
    Move("fire", "publishes and sets the next due time", one(), firing(occurrence()), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": FIRED}), again=[Fired.ELSEWHERE]),
    Move("fire", "behind others", one(waiting=("m0",)), firing(occurrence()), [Fired.FIRED],
         one(LATER, waiting=("m0", "m1"), wake=True, stats={"published": 1}, fires={"s": FIRED}),
         again=[Fired.ELSEWHERE]),
    Move("fire", "with a priority", one(prioritized={"m0": 5}), firing(occurrence(priority=5)), [Fired.FIRED],
         one(LATER, prioritized={"m0": 5, "m1": 5}, attempts={"m1": "0 0 0 5"}, wake=True, stats={"published": 1},
             fires={"s": FIRED}), again=[Fired.ELSEWHERE]),
    Move("fire", "with a delay", one(), firing(occurrence(delay_ms=60_000)), [Fired.FIRED],
         one(LATER, delayed=("m1",), wake=True, stats={"published": 1}, fires={"s": FIRED}), again=[Fired.ELSEWHERE]),
    Move("fire", "with the retry count of its queue", one(retry="2"), firing(occurrence()), [Fired.FIRED],
         one(LATER, retry="2", waiting=("m1",), attempts={"m1": "2 0 0 0"}, wake=True, stats={"published": 1},
             fires={"s": FIRED}), again=[Fired.ELSEWHERE]),
    Move("fire", "not what another janitor has fired", one(2000), firing(occurrence()), [Fired.ELSEWHERE], one(2000)),
    Move("fire", "not a schedule that was removed", Containers(), firing(occurrence()), [Fired.ELSEWHERE],
         Containers()),
    Move("fire", "several times in order", one(), firing(occurrence(1000, 2000), occurrence(2000, 3000, name="m2")),
         [Fired.FIRED] * 2,
         one(3000, waiting=("m1", "m2"), wake=True, stats={"published": 2}, fires={"s": f"2000 {NOW} m2 2 0"}),
         again=[Fired.ELSEWHERE] * 2),
    Move("fire", "never again", one(), firing(occurrence()._replace(next_due=NEVER)), [Fired.FIRED],
         one(float("inf"), waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": FIRED}),
         again=[Fired.ELSEWHERE]),
    Move("fire", "only counts what was missed", one(fires={"s": "500 500 m0 7 1"}), firing(occurrence(action="missed")),
         [Fired.SKIPPED], one(LATER, fires={"s": "500 500 m0 7 2"}), again=[Fired.ELSEWHERE]),
    Move("fire", "a missed one although its last message waits", one(waiting=("m0",), fires={"s": "500 500 m0 7 1"}),
         firing(occurrence(action="missed")), [Fired.SKIPPED],
         one(LATER, waiting=("m0",), fires={"s": "500 500 m0 7 2"}), again=[Fired.ELSEWHERE]),
    Move("fire", "beside its last message", one(waiting=("m0",), fires={"s": "500 500 m0 7 1"}), firing(occurrence()),
         [Fired.FIRED],
         one(LATER, waiting=("m0", "m1"), wake=True, stats={"published": 1}, fires={"s": f"1000 {NOW} m1 8 1"}),
         again=[Fired.ELSEWHERE]),
    Move("fire", "skips while its last message is there", one(waiting=("m0",), fires={"s": "500 500 m0 7 1"}),
         firing(occurrence(action="skip")), [Fired.SKIPPED],
         one(LATER, waiting=("m0",), fires={"s": "500 500 m0 7 2"}), again=[Fired.ELSEWHERE]),
    Move("fire", "skips nothing when its last message is finished", one(fires={"s": "500 500 m0 7 1"}),
         firing(occurrence(action="skip")), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": f"1000 {NOW} m1 8 1"}),
         again=[Fired.ELSEWHERE]),
    *[
        Move("fire", f"waits while its last message is there, due at {due}",
             one(due, waiting=("m0",), fires={"s": "500 500 m0 7 1"}),
             firing(occurrence(due, action="queue-one")), [Fired.WAITS],
             one(SOON, waiting=("m0",), fires={"s": f"{kept} 500 m0 7 1"}), again=[Fired.ELSEWHERE])
        for due, kept in ((1000, 1000), (1001, 1001), (-5, 0))
    ],
    Move("fire", "keeps the time of its series while it waits on",
         one(2000.5, waiting=("m0",), fires={"s": "1000 500 m0 7 1"}),
         firing(occurrence(action="queue-one")._replace(score=b"2000.5")), [Fired.WAITS],
         one(SOON, waiting=("m0",), fires={"s": "1000 500 m0 7 1"}), again=[Fired.ELSEWHERE]),
    Move("fire", "waits no longer than its last message", one(fires={"s": "500 500 m0 7 1"}),
         firing(occurrence(action="queue-one")), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": f"1000 {NOW} m1 8 1"}),
         again=[Fired.ELSEWHERE]),
    Move("fire", "no message that exists", one(waiting=("m1",)), firing(occurrence()), [Fired.FIRED],
         one(LATER, waiting=("m1",), fires={"s": FIRED}), again=[Fired.ELSEWHERE]),
    Move("fire", "no message that exists, as it is stored", one(waiting=("m1",), keeps=("m1",)), firing(occurrence()),
         [Fired.FIRED], one(LATER, waiting=("m1",), keeps=("m1",), fires={"s": FIRED}), again=[Fired.ELSEWHERE]),
    Move("fire", "with a due time before the epoch, which counts as the epoch", one(-1000), firing(occurrence(-1000)),
         [Fired.FIRED], one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": f"0 {NOW} m1 1 0"}),
         again=[Fired.ELSEWHERE]),
    Move("fire", "without an unreadable retry count", one(retry="01"), firing(occurrence()), [Fired.FIRED],
         one(LATER, retry="01", waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": FIRED}),
         again=[Fired.ELSEWHERE]),
    Move("fire", "one after one that was missed", one(),
         firing(occurrence(1000, 2000, action="missed"), occurrence(2000, name="m2")), [Fired.SKIPPED, Fired.FIRED],
         one(LATER, waiting=("m2",), wake=True, stats={"published": 1}, fires={"s": f"2000 {NOW} m2 1 1"}),
         again=[Fired.ELSEWHERE] * 2),
    *(
        Move("fire", f"as if never before, if the state is unreadable: {state}", one(fires={"s": state}),
             firing(occurrence()), [Fired.FIRED],
             one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": FIRED}),
             again=[Fired.ELSEWHERE])
        for state in ("05 500 m0 7 1", "500 05 m0 7 1", "500 500 m0 07 1", "500 500 m0 7 01")
    ),
    Move("fire", "keeps a pause", one(fires={"s": PAUSED}), firing(occurrence()), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": f"{FIRED}\t{PAUSE}"}),
         again=[Fired.ELSEWHERE]),
]  # fmt: skip
KEYED = {"extras": {"m1": '{"unique":"a"}'}, "unique": {"a": "m1"}}
SKIPPED = "0 0 - 0 1"
DROPS = {"max_length": "1", "when_full": "drop-oldest"}


def firing_terms(**terms: Any) -> Call:
    return firing(occurrence(terms=json.dumps(terms)))


TERMS = [
    Move("fire", "with a unique key", one(), firing_terms(unique="a", until="finished"), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": FIRED}, **KEYED),
         again=[Fired.ELSEWHERE]),
    Move("fire", "with a key until it is started", one(), firing_terms(unique="a", until="started"), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": FIRED}, unique={"a": "m1"},
             extras={"m1": '{"unique":"a","until":"started"}'}), again=[Fired.ELSEWHERE]),
    Move("fire", "nothing while another message has the key",
         one(waiting=("m0",), extras={"m0": '{"unique":"a"}'}, unique={"a": "m0"}),
         firing_terms(unique="a", until="finished"), [Fired.DUPLICATE],
         one(LATER, waiting=("m0",), extras={"m0": '{"unique":"a"}'}, unique={"a": "m0"}, stats={"duplicates": 1},
             fires={"s": SKIPPED}), again=[Fired.ELSEWHERE]),
    Move("fire", "over a key whose message is gone", one(unique={"a": "m0"}),
         firing_terms(unique="a", until="finished"), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": FIRED}, **KEYED),
         again=[Fired.ELSEWHERE]),
    Move("fire", "with an expiry", one(), firing_terms(expires_ms=60_000), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, stats={"published": 1}, fires={"s": FIRED},
             extras={"m1": "{" + EXPIRES + "}"}), again=[Fired.ELSEWHERE]),
    Move("fire", "nothing into a full queue", one(waiting=("m0",), options={"max_length": "1"}),
         firing(occurrence()), [Fired.FULL],
         one(LATER, waiting=("m0",), options={"max_length": "1"}, fires={"s": SKIPPED}), again=[Fired.ELSEWHERE]),
    Move("fire", "over a key whose message can only expire",
         one(waiting=("m0",), extras={"m0": '{"unique":"a",' + PAST + "}"}, unique={"a": "m0"}, workers={"w1": "s1"},
             processing={"w1": ("m9",)}),
         firing_terms(unique="a", until="finished"), [Fired.FIRED],
         one(LATER, waiting=("m0", "m1"), wake=True, stats={"published": 1}, fires={"s": FIRED}, unique={"a": "m1"},
             extras={"m0": '{"unique":"a",' + PAST + ',"superseded":true}', "m1": '{"unique":"a"}'},
             workers={"w1": "s1"}, processing={"w1": ("m9",)}), again=[Fired.ELSEWHERE]),
    Move("fire", "for the oldest of a full queue, low priorities first",
         one(waiting=("m0",), prioritized={"m4": -5}, keeps=("m4",), attempts={"m4": "0 0 0 -5"}, options=DROPS),
         firing(occurrence()), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, options=DROPS, stats={"published": 1, "dropped": 2},
             results={"m4": f"discarded {QUEUE_FULL}"}, fires={"s": FIRED}), again=[Fired.ELSEWHERE]),
    Move("fire", "for a delayed one if nothing else waits", one(delayed=("m0",), options=DROPS),
         firing(occurrence(delay_ms=90_000)), [Fired.FIRED],
         one(LATER, delayed=("m1",), wake=True, options=DROPS, stats={"published": 1, "dropped": 1},
             fires={"s": FIRED}), again=[Fired.ELSEWHERE]),
    Move("fire", "for a unique one, with its key",
         one(waiting=("m0",), extras={"m0": '{"unique":"b"}'}, unique={"b": "m0"}, options=DROPS),
         firing(occurrence()), [Fired.FIRED],
         one(LATER, waiting=("m1",), wake=True, options=DROPS, stats={"published": 1, "dropped": 1},
             fires={"s": FIRED}), again=[Fired.ELSEWHERE]),
]  # fmt: skip
CHANGING = [
    Move("put_schedule", "a new one", Containers(), putting(""), True, one(LATER)),
    Move("put_schedule", "another definition at the same times", one(), putting(DEFINITION, OTHER), True,
         one(1000, schedules={"s": OTHER})),
    Move("put_schedule", "another definition at other times", one(), putting(DEFINITION, OTHER, replaces_due=True),
         True, one(LATER, schedules={"s": OTHER})),
    Move("put_schedule", "a paused one stays paused", one(float("inf"), fires={"s": PAUSED}),
         putting(DEFINITION, OTHER, replaces_due=True), True,
         one(float("inf"), schedules={"s": OTHER}, fires={"s": PAUSED})),
    Move("put_schedule", "one that is paused until a time stays so", one(2000, fires={"s": PAUSED}),
         putting(DEFINITION, OTHER, replaces_due=True), True,
         one(2000, schedules={"s": OTHER}, fires={"s": PAUSED})),
    Move("put_schedule", "the same one changes nothing", one(), putting("", replaces_due=True), True, one(1000)),
    Move("put_schedule", "the same one gets a missing due time", one(next_due={}), putting(DEFINITION), True,
         one(LATER)),
    Move("put_schedule", "a paused one gets a missing due time", one(next_due={}, fires={"s": PAUSED}),
         putting(DEFINITION), True, one(float("inf"), fires={"s": PAUSED})),
    Move("put_schedule", "not what another client has changed", one(schedules={"s": OTHER}), putting("x"), False,
         one(schedules={"s": OTHER})),
    Move("put_schedule", "not again what another client has removed", Containers(), putting("x"), False, Containers()),
    Move("pause_schedule", "for good", one(), pausing(), True, one(float("inf"), fires={"s": PAUSED})),
    Move("pause_schedule", "until a time", one(fires={"s": "500 500 m0 7 1"}), pausing(str(LATER)), True,
         one(LATER, fires={"s": f"500 500 m0 7 1\t{PAUSE}"})),
    Move("pause_schedule", "another time", one(float("inf"), fires={"s": "0 0 - 0 0\t{}"}), pausing(str(LATER)), True,
         one(LATER, fires={"s": PAUSED})),
    Move("pause_schedule", "not one that is not there", Containers(), pausing(), False, Containers()),
    Move("resume_schedule", "any pause", one(float("inf"), fires={"s": PAUSED}), resuming(), True,
         one(LATER, fires={"s": "0 0 - 0 0"}), again=False),
    Move("resume_schedule", "the pause whose time is over", one(1000, fires={"s": PAUSED}), resuming(PAUSE), True,
         one(LATER, fires={"s": "0 0 - 0 0"}), again=False),
    Move("resume_schedule", "not another pause", one(1000, fires={"s": PAUSED}), resuming("{}"), False,
         one(1000, fires={"s": PAUSED})),
    Move("resume_schedule", "not one that is not paused", one(fires={"s": "500 500 m0 7 1"}), resuming(), False,
         one(fires={"s": "500 500 m0 7 1"})),
    Move("resume_schedule", "not one that is not there", Containers(), resuming(), None, Containers()),
    Move("remove_schedule", "with its state", one(waiting=("m0",), fires={"s": "500 500 m0 7 1"}), removing(), True,
         Containers(waiting=("m0",)), again=False),
    Move("remove_schedule", "the rests of one", Containers(next_due={"s": 1000}, fires={"s": "1 1 m 0 0"}),
         removing(""), True, Containers(), again=False),
    *(
        Move("remove_schedule", f"of which nothing is left but {what}", Containers(**left),
             removing(DEFINITION if "schedules" in left else ""), True, Containers(), again=False)
        for what, left in (
            ("its definition", {"schedules": {"s": DEFINITION}}), ("a due time", {"next_due": {"s": 1000}}),
            ("a state", {"fires": {"s": "1 1 m 0 0"}}),
        )
    ),
    Move("remove_schedule", "not one that is not there", Containers(), removing(""), False, Containers()),
    Move("remove_schedule", "not one that has changed", one(), removing("x"), None, one()),
]  # fmt: skip
LOOKING = [
    Move("due_schedules", "those that are due, and when the next is",
         one(schedules={"s": DEFINITION, "t": OTHER}, next_due={"s": 1000, "t": LATER}, fires={"s": "500 500 m0 7 1"}),
         looking,
         DuePage(0, LATER, [DueSchedule(b"s", b"1000", DEFINITION.encode(), ScheduleState(500, 500, "m0", 7, 1))]),
         one(schedules={"s": DEFINITION, "t": OTHER}, next_due={"s": 1000, "t": LATER}, fires={"s": "500 500 m0 7 1"})),
    Move("due_schedules", "not those to leave out", one(), lambda broker: looking(broker, 1), DuePage(0, None, []),
         one()),
    Move("due_schedules", "also one without a definition", Containers(next_due={"s": 1000}), looking,
         DuePage(0, None, [DueSchedule(b"s", b"1000", b"", ScheduleState())]), Containers(next_due={"s": 1000})),
    Move("heartbeat", "tells of schedules", held(**ONE), lambda broker: broker.heartbeat(QUEUE, "s1"),
         Heartbeat(8, True), held(supervisors={"s1": "8"}, **ONE), again=Heartbeat(9, True),
         after_again=held(supervisors={"s1": "9"}, **ONE)),
    Move("delete_queue", "with its schedules", one(fires={"s": "500 500 m0 7 1"}),
         lambda broker: bool(broker.delete_queue(QUEUE, [], "empty", b"")), True, NO_QUEUE, again=False),
]  # fmt: skip
ROWS = [*FIRING, *TERMS, *CHANGING, *LOOKING]
