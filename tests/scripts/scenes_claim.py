"""Scenes of claims: what may not run or is paused, and what histories note of it."""

from __future__ import annotations

import json
from typing import Any, Mapping

from bizzmq.broker.broker import Broker
from bizzmq.broker.cancels import Cancelled
from bizzmq.broker.pauses import Resumed
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import KeptResult
from tests.scripts.beside import PAST as PAST_TIME
from tests.scripts.beside import event
from tests.scripts.containers import LATER, PAST, Containers
from tests.scripts.moves import DEAD, QUEUE, Call, Move, claim_ids, held, in_turn, spoilt
from tests.scripts.table_checked import EXPIRED
from tests.scripts.table_leaving import NEW
from tests.scripts.table_pause import WHY, A, claiming, resuming

K = QueueKeys(QUEUE)
DEAD_KEYS = QueueKeys(DEAD)
NOTED = {"history": "1"}
TO_DEAD_LETTERS = {"options": {"dead_letter_expired": "1"}}


def noted(**events: str) -> Mapping[str, Any]:
    """The history of each message: events, divided by ` | `."""
    return {"history": {one: tuple(line.split(" | ")) for one, line in events.items()}}


def claimed(delivery: int = 1, **more: str) -> str:
    return event("claimed", worker="w1", delivery=f"{delivery}", **more)


ADMITTED = [
    *(
        Move("claim", f"one whose entry has {what}", held(waiting=("m1",), extras={"m1": entry}), claiming(1), ["m1"],
             held("m1", extras={"m1": entry}))
        for what, entry in (
            ("an unreadable expiry", '{"expires_ms":"x"}'), ("an expiry that has not come", "{" + LATER + "}"),
        )
    ),
    Move("claim", "ends what has expired with its counts", held(waiting=("m1",), attempts={"m1": "1 2 3 0"}, **EXPIRED),
         claiming(1), [], held(stats={"expired": 1})),
    Move("claim", "ends nothing if it cannot be dead-lettered",
         held(waiting=("m1",), **TO_DEAD_LETTERS, **EXPIRED),
         spoilt(DEAD_KEYS.waiting, claiming(1)), "WrongTypeError",
         held(waiting=("m1",), **TO_DEAD_LETTERS, **EXPIRED)),
    Move("claim", "what has expired is no dead letter unless the queue says so, so their queue is not looked at",
         held(waiting=("m1",), **EXPIRED), spoilt(DEAD_KEYS.waiting, claiming(1)), [], held(stats={"expired": 1})),
    Move("claim", "a dead letter without a look at the options of its queue",
         Containers(extras={"m0": "{}"}, **TO_DEAD_LETTERS), spoilt(DEAD_KEYS.meta, claiming(1, DEAD)), ["m1"],
         Containers(**TO_DEAD_LETTERS), before_dead=held(waiting=("m1",)), after_dead=held("m1")),
    Move("claim", "a dead letter although it has expired", Containers(extras={"m1": "{" + PAST + "}"}),
         claiming(1, DEAD), ["m1"], Containers(extras={"m1": "{" + PAST + "}"}), before_dead=held(waiting=("m1",)),
         after_dead=held("m1")),
    Move("claim", "those that may run, with their deliveries in the histories",
         held("m0", waiting=("m1", "m2", "m3"), attempts={"m2": "1 2 4 0"},
              extras={**NOTED, "m1": "{" + PAST + "}"}), claiming(4), ["m0", "m2", "m3"],
         held("m0", "m2", "m3", attempts={"m2": "1 2 4 0"}, stats={"expired": 1}, extras=NOTED),
         beside_after=noted(m2=claimed(8), m3=claimed())),
    Move("claim", "promotes two, and their histories have the times", held(due=("m1", "m2"), extras=NOTED), claiming(1),
         ["m1"], held("m1", waiting=("m2",), wake=True, extras=NOTED),
         beside_after={"history": {"m1": (event("promoted", due=PAST_TIME), claimed()),
                                   "m2": (event("promoted", due=PAST_TIME),)}}),
]  # fmt: skip
KEYS = {
    "m1": '1\t{"key":"k"}\n"body of m1"', "m2": '1\t{"task":5,"key":7}\n"body of m2"', "m3": '1\t\n"body of m3"',
    "m4": '1\t{"key":"z"}\n"body of m4"', "m5": '"body of m5"',
}  # fmt: skip
TASKS = {"m1": "a", "m2": "b", "m3": "c"}
THREE = {"task:a": WHY, "task:b": WHY, "task:c": WHY}
LONG = '{"until_ms":9999999999999}'
SHORT = '{"until_ms":4000000000000}'
"""Until the year 2096, which is before the end of a century from now, as a pause lasts no longer."""


def lasts_a_century(broker: Broker) -> bool:
    due_s = broker.claim(QUEUE, "w1", 1, []).due_s
    return due_s is not None and due_s > 3_000_000_000


PAUSED = [
    Move("claim", "all of a queue whose pauses have the wrong type", held(waiting=("m1",), extras={"x": "{}"}),
         spoilt(K.pauses, claiming(1)), ["m1"], held("m1")),
    Move("claim", "all of a queue whose suspended messages have the wrong type",
         held(waiting=("m1",), tasks={"m1": "a"}, pauses=A), spoilt(K.suspended, claiming(1)), ["m1"],
         held("m1", tasks={"m1": "a"}, pauses=A)),
    Move("claim", "nothing of three paused tasks", held(waiting=("m1", "m2", "m3"), tasks=TASKS, pauses=THREE),
         claiming(3), [], held(suspended=("m1", "m2", "m3"), tasks=TASKS, pauses=THREE, stats={"suspended": 3})),
    Move("claim", "all but one with a paused key", held(waiting=tuple(KEYS), pauses={"key:k": WHY}), claiming(5),
         ["m2", "m3", "m4", "m5"],
         held("m2", "m3", "m4", "m5", suspended=("m1",), pauses={"key:k": WHY}, stats={"suspended": 1}),
         beside={"envelopes": KEYS}, beside_after={"bodies": {"m5": ""}}),
    Move("claim", "puts one behind two that are aside, with an event", held(suspended=("z1", "z2"), waiting=("m1",),
         tasks={"m1": "a"}, pauses=A, extras=NOTED), claiming(1), [],
         held(suspended=("z1", "z2", "m1"), tasks={"m1": "a"}, pauses=A, extras=NOTED, stats={"suspended": 1}),
         beside_after=noted(m1=event("suspended"))),
    Move("claim", "after a resume without an end, which is none", held(waiting=("m1",), pauses={"resuming": "{}"}),
         claiming(1), ["m1"], held("m1", pauses={"resuming": "{}"})),
    *(
        Move("claim", f"of two pauses of a queue, the {which} lasts longer", held(waiting=("m1",), pauses=pauses),
             lasts_a_century, True, held(waiting=("m1",), pauses={"queue": "{}", "resuming": "{}"}))
        for which, pauses in (
            ("first", {"queue": LONG, "resuming": SHORT}), ("last", {"queue": SHORT, "resuming": LONG}),
        )
    ),
    Move("resume", "what is paused no more, without what is missing",
         Containers(suspended=("m1", "m2"), forged=("m1",), tasks={"m2": "b"}, pauses={**A, "task:b": WHY}),
         resuming("task:a"), Resumed(True, 0, ""),
         Containers(suspended=("m2",), tasks={"m2": "b"}, pauses={"task:b": WHY}, stats={"missing": 1}, wake=True)),
]  # fmt: skip


def events(first: int, last: int) -> tuple[str, ...]:
    return tuple(event(f"e{number}") for number in range(first, last + 1))


def cancelling_for(text: str) -> Call:
    return lambda broker: broker.cancel(QUEUE, json.dumps({"error": text}).encode(), ["m1"])


def finishing_first(broker: Broker) -> Any:
    return broker.finish(QUEUE, "w1", [b"m1"], {b"m1": KeptResult(b"60000", b"succeeded\t1\t1\t2\n5")})


SUCCEEDED = {"stats": {"acked": 1}, "results": {"m1": "succeeded 5 1 1 2"}}
HISTORY = [
    *(
        Move("claim", f"a message {what}", held(waiting=("m1",), extras={**NOTED, "m1": '{"x":1}'}), claiming(1),
             ["m1"], held("m1", extras={**NOTED, "m1": '{"x":1}'}), beside={"history": {"m1": before}},
             beside_after={"history": {"m1": after}})
        for what, before, after in (
            ("with thirty events", events(1, 30), (*events(1, 30), claimed())),
            ("with thirty-one events", events(1, 31), ("1 left out", *events(1, 1), *events(3, 31), claimed())),
            ("of which some events are left out", ("4 left out", *events(1, 31)),
             ("5 left out", *events(1, 1), *events(3, 31), claimed())),
        )
    ),
    Move("claim", "a dead letter", Containers(extras=NOTED), claiming(1, DEAD), ["m1"], Containers(extras=NOTED),
         before_dead=held(waiting=("m1",)), after_dead=held("m1"), beside_after=noted(m1=claimed(side="dlq"))),
    Move("claim", "although the histories have the wrong type", held(waiting=("m1",), extras=NOTED),
         spoilt(K.history, claiming(1)), ["m1"], held("m1", extras=NOTED)),
    Move("claim", "and the history ends with the message", held(waiting=("m1",), extras=NOTED),
         in_turn(claiming(1), lambda broker: claim_ids(broker, 0, "m1")), [["m1"], []],
         held(stats={"acked": 1}, extras=NOTED)),
    Move("cancel", "notes three hundred characters of the reason",
         held("m1", extras=NOTED), cancelling_for("a\nb" + "x" * 297 + "yz"), Cancelled(0, 1),
         held("m1", extras=NOTED, cancels={"m1": json.dumps({"error": "a\nb" + "x" * 297 + "yz"})}),
         beside_after=noted(m1=event("cancel_requested", why="a b" + "x" * 297))),
    *(
        Move("dead_letter", f"notes an error {what}", held("m1", extras=NOTED),
             lambda broker, record=record: broker.dead_letter(QUEUE, "w1", "m1", NEW, record), True,
             held(stats={"dead_lettered": 1}, extras=NOTED), after_dead=Containers(waiting=("m1",), wake=True),
             beside_after=noted(m1=event("dead_lettered", why=why)))
        for what, record, why in (
            ("with its type", b'{"error_type":"E","error":"no"}', "E: no"),
            ("without a type", b'{"error":"no"}', "Error: no"), ("without a text", b'{"error_type":"E"}', "E: "),
        )
    ),
    Move("finish", "keeps the history as long as the result", held("m1", keeps=("m1",), extras={**NOTED, "m1": "{}"}),
         finishing_first, 1, held(extras=NOTED, **SUCCEEDED), beside=noted(m1=claimed()),
         beside_after={"ended": {"m1": (claimed(), event("succeeded", worker="w1"))}}),
    Move("finish", "although the histories have the wrong type", held("m1", keeps=("m1",), extras=NOTED),
         spoilt(K.history, finishing_first), 1, held(extras=NOTED, **SUCCEEDED)),
    Move("finish", "keeps no history if the queue has none", held("m1", keeps=("m1",), extras={"m1": "{}"}),
         finishing_first, 1, held(**SUCCEEDED)),
]  # fmt: skip
QUOTED = {"m1": '{"x":1}', "m2": '{"unique":"a\\"b"}'}
BESIDE = [
    Move("claim", "acks one without a key and one whose key has a quote", held("m1", "m2", extras=QUOTED,
         unique={'a"b': "m2"}), lambda broker: claim_ids(broker, 0, "m1", "m2"), [], held(stats={"acked": 2})),
    Move("claim", "nothing of a task whose pause says nothing", held(waiting=("m1",), tasks={"m1": "a"},
         pauses={"task:a": "17"}), claiming(1), [],
         held(suspended=("m1",), tasks={"m1": "a"}, pauses={"task:a": "17"}, stats={"suspended": 1})),
]  # fmt: skip
ROWS = [*BESIDE, *ADMITTED, *PAUSED, *HISTORY]
