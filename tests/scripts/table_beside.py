"""Rows about what is beside messages: the last replies to callers, histories, error records."""

from __future__ import annotations

import hashlib
from typing import Any

from bizzmq.broker.queues import Deletion
from bizzmq.broker.workers import Requeued
from tests.scripts.beside import LATER, event
from tests.scripts.containers import NO_QUEUE, Containers, envelope
from tests.scripts.moves import DEAD, QUEUE, Call, Move, held, reading
from tests.scripts.table_leaving import (
    FULL,
    FULL_DEAD,
    NEW,
    ONCE,
    dead_lettering,
    deleting,
    deleting_message,
    deleting_queue,
    gone,
    promoting,
    purging,
    refused,
    replaying_read,
    requeueing,
    retrying,
)

HISTORY: Any = {"extras": {"history": "1"}}
RECORD = b'{"error_type":"E","error":"e","worker":"w1"}'


def noted(
    script: str, sentence: str, call: Call, before: Containers, line: str, after: Containers, **dead: Any
) -> Move:
    """A row with the event that the history of m1 has then."""
    return Move(script, f"{sentence}, in its history", before, call, True, after, again=False,
                beside_after={"history": {"m1": (line,)}}, **dead)  # fmt: skip


def replaying_any(priority: int = 0) -> Call:
    return lambda broker: broker.replay(QUEUE, "m1", priority)


def buried(sentence: str, before: str, after: str) -> Move:
    """A row of requeue on a dead-letter queue: the envelope of m1 before and after its crash."""
    letters = ({"m1": after.replace("RECORD", RECORD.decode())}, None)
    call = requeueing("crash", DEAD, running="m1", crash_limit=1, record=RECORD)
    return Move("requeue", f"on a dead-letter queue, {sentence}", Containers(), reading(call, "dlq:messages"),
                (Requeued(0, 0, "m1", 1), letters), Containers(),
                before_dead=held("m1", others={"messages": {"m1": before}}), again=(None, letters),
                after_dead=gone(parked=("m1",), stats={"dead_lettered": 1}))  # fmt: skip


PARKED = ({"m1": '1\t{}\t{"error":"e"}\n"body of m1"'}, None)
NOTED = [
    noted("promote", "promoted", promoting(), Containers(delayed=("m1",), **HISTORY), event("promoted", due=LATER),
          Containers(waiting=("m1",), wake=True, **HISTORY)),
    noted("retry", "at once", retrying(after=ONCE + "\t!why"), held("m1", **HISTORY),
          event("retried", worker="w1", why="why"),
          held(waiting=("m1",), attempts={"m1": ONCE + "\t!why"}, wake=True, stats={"retried": 1}, **HISTORY)),
    noted("retry", "later", retrying(delay_ms=60_000), held("m1", **HISTORY), event("retried", worker="w1", due=LATER),
          held(delayed=("m1",), attempts={"m1": ONCE}, wake=True, stats={"retried": 1}, **HISTORY)),
    noted("dead_letter", "a dead letter", lambda broker: broker.dead_letter(QUEUE, "w1", "m1", NEW, RECORD),
          held("m1", **HISTORY), event("dead_lettered", worker="w1", why="E: e"),
          held(stats={"dead_lettered": 1}, **HISTORY), after_dead=Containers(waiting=("m1",), wake=True)),
    noted("dead_letter", "a parked one", lambda broker: broker.dead_letter(DEAD, "w1", "m1", NEW, RECORD),
          Containers(**HISTORY), event("parked", side="dlq", worker="w1", why="E: e"), Containers(**HISTORY),
          before_dead=held("m1"), after_dead=held(parked=("m1",), stats={"dead_lettered": 1})),
]  # fmt: skip
ENVELOPES = [
    Move("dead_letter", f"with its error: {sentence}", held("m1", others={"messages": {"m1": before}}),
         reading(dead_lettering(), "dlq:messages"), (True, letters), held(stats={"dead_lettered": 1}),
         after_dead=Containers(waiting=("m1",), wake=True), again=(False, letters))
    for sentence, before, letters in (
        ("no options", '1\n"b"', ({"m1": '1\t{}\t{"error":"e"}\n"b"'}, None)),
        ("options", '1\t{"a":1}\n"b"', ({"m1": '1\t{"a":1}\t{"error":"e"}\n"b"'}, None)),
        ("an earlier error", '1\t{"a":1}\t{"x":1}\n"b"', ({"m1": '1\t{"a":1}\t{"error":"e"}\n"b"'}, None)),
        ("no header", '\nx\n"b"', ({"m1": '\t{}\t{"error":"e"}\nx\n"b"'}, None)),
        ("no body", "1", ({"m1": "1"}, None)),
    )
] + [
    Move("dead_letter", "a parked one with its error", Containers(), reading(dead_lettering(DEAD), "dlq:messages"),
         (True, PARKED), Containers(), before_dead=held("m1"),
         after_dead=held(parked=("m1",), stats={"dead_lettered": 1}), again=(False, PARKED)),
    buried("with its first error", '1\t{}\t{"error":"x"}\n"b"', '1\t{}\t{"error":"x","handler_error":RECORD}\n"b"'),
    buried("without a first error", '1\n"b"', '1\t{}\tRECORD\n"b"'),
    buried("with an empty first error", '1\t{}\t{}\n"b"', '1\t{}\tRECORD\n"b"'),
    Move("requeue", "on a dead-letter queue, an id without a message", Containers(),
         requeueing("crash", DEAD, running="m1", crash_limit=1), Requeued(0, 0, "", 1), Containers(),
         before_dead=held("m1", forged=("m1",)), after_dead=gone(stats={"missing": 1}), again=None),
]  # fmt: skip
BESIDE: Any = {"extras": {"m1": '{"unique":"a"}'}, "unique": {"a": "m1"}}
REPEATED = [
    Move("purge", "a step that its caller repeats deletes no more", Containers(waiting=("m1", "m2", "m3", "m4")),
         purging(QUEUE, "waiting", 1, 1, b"m3", nonce="n1"), (1, 1, [b"m3"]),
         Containers(waiting=("m2", "m3", "m4"), stats={"purged": 1})),
    Move("purge", "a step that its caller repeats, with ids of no message", Containers(waiting=("f", "m1"),
         forged=("f",)), purging(QUEUE, "waiting", 1, 0, b"m1", nonce="n1"), (0, 0, [b"m1"]),
         Containers(waiting=("m1",), stats={"missing": 1})),
    Move("delete", "a call that its caller repeats", Containers(due=("m1", "m2"), delayed=("m3",)),
         deleting("delayed", "m1", "m2", nonce="n1"), 2, Containers(delayed=("m3",), stats={"purged": 2})),
    Move("delete", "another call of a caller", Containers(waiting=("m1",), others={"reply:n1": f"{'0' * 40} 9"}),
         deleting("delayed", "m1", nonce="n1"), 0, Containers(waiting=("m1",))),
    Move("delete_message", "a call that its caller repeats", Containers(waiting=("m1", "m2")),
         deleting_message(nonce="n1"), True, Containers(waiting=("m2",), stats={"purged": 1})),
    Move("delete_message", "not a call of no caller",
         Containers(others={"reply:": f"{hashlib.sha1(b'm1').hexdigest()} 1"}), deleting_message(), False,
         Containers()),
    Move("delete_message", "a call of no caller is not kept", Containers(waiting=("m1",)),
         reading(deleting_message(), "reply:"), (True, None), Containers(stats={"purged": 1}), again=(False, None)),
    Move("delete_message", "what was beside it", Containers(waiting=("m1",), **BESIDE), deleting_message(), True,
         Containers(stats={"purged": 1}), again=False),
    Move("delete", "what was beside it", Containers(due=("m1",), **BESIDE), deleting("delayed", "m1"), 1,
         Containers(stats={"purged": 1}), again=0),
    Move("purge", "what was beside it", Containers(waiting=("m1",), **BESIDE), purging(QUEUE, "waiting"), (1, -1, []),
         Containers(stats={"purged": 1}), again=(0, -1, [])),
    Move("promote", "a call that its caller repeats", Containers(delayed=("m1",)), promoting(nonce="n1"), True,
         Containers(waiting=("m1",), wake=True)),
    Move("delete_queue", "a call that its caller repeats", FULL, deleting_queue("all", "w1", "w2", nonce="n1"),
         Deletion(True, 4, 4, 2), NO_QUEUE, before_dead=FULL_DEAD, after_dead=NO_QUEUE),
]  # fmt: skip
UNIQUE = {"m1": '{"unique":"a"}'}
BURIED = Containers(waiting=("m1",))
BACK: Any = {"waiting": ("m1",), "wake": True, "stats": {"replayed": 1}}
REPLAYED = [
    Move("replay", f"without its error: {sentence}", Containers(), reading(replaying_any(), "messages", "extras"),
         (True, ({"m1": after}, None), None), Containers(**BACK),
         before_dead=Containers(waiting=("m1",), others={"messages": {"m1": before}}), after_dead=Containers(),
         again=(False, ({"m1": after}, None), None))
    for sentence, before, after in (
        ("options", '1\t{"a":1}\t{"error":"e"}\n"body of m1"', '1\t{"a":1}\n"body of m1"'),
        ("no options", '1\t{}\t{"error":"e"}\n"body of m1"', '1\n"body of m1"'),
        ("no error", '1\n"body of m1"', '1\n"body of m1"'),
    )
] + [
    Move("replay", "without a body", Containers(), reading(replaying_any(), "messages"), (True, ({"m1": "1"}, None)),
         Containers(**BACK), before_dead=Containers(waiting=("m1",), others={"messages": {"m1": "1"}}),
         after_dead=Containers(), again=(False, ({"m1": "1"}, None)), beside_after={"bodies": {"m1": ""}}),
    Move("replay", "to its priority", Containers(), replaying_any(5), True,
         Containers(prioritized={"m1": 5}, attempts={"m1": "0 0 0 5"}, wake=True, stats={"replayed": 1}),
         before_dead=BURIED, after_dead=Containers(), again=False),
    Move("replay", "to a queue with an unreadable retry count", Containers(retry="x"), replaying_any(), True,
         Containers(**BACK, retry="x"), before_dead=BURIED, after_dead=Containers(), again=False),
    Move("replay", "not without its queue", NO_QUEUE, refused(replaying_any()), "QueueNotFoundError", NO_QUEUE,
         before_dead=BURIED, after_dead=BURIED),
    Move("replay", "one whose unique key is no text", Containers(extras={"m1": '{"unique":5}'}), replaying_any(), True,
         Containers(**BACK, extras={"m1": '{"unique":5}'}), before_dead=BURIED, after_dead=Containers(), again=False),
    Move("replay", "one that is stored in both queues", Containers(waiting=("m1",), extras=UNIQUE, unique={"a": "m1"}),
         replaying_any(), True,
         Containers(waiting=("m1", "m1"), extras=UNIQUE, unique={"a": "m1"}, wake=True, stats={"replayed": 1}),
         before_dead=BURIED, after_dead=Containers(), again=False),
    Move("replay", "what was kept with its failure",
         Containers(others={"result:m1": "x", "result:m1:history": "y", "result:m1:output": "z"}),
         reading(replaying_any(), "result:m1", "result:m1:history", "result:m1:output"), (True, None, None, None),
         Containers(**BACK), before_dead=BURIED, after_dead=Containers(), again=(False, None, None, None)),
    noted("replay", "replayed", replaying_any(), Containers(**HISTORY), event("replayed"),
          Containers(**BACK, **HISTORY), before_dead=BURIED, after_dead=Containers()),
    Move("replay", "edited, in its history", Containers(**HISTORY), replaying_read(b"1\n", envelope("m1")), True,
         Containers(**BACK, **HISTORY), before_dead=BURIED, after_dead=Containers(),
         beside_after={"history": {"m1": (event("replayed", why="edited"),)}}),
]  # fmt: skip
ROWS = [*REPLAYED, *NOTED, *ENVELOPES, *REPEATED]
