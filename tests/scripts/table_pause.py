"""Rows of pause and resume, and of claims and other transitions that meet what is paused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bizzmq.broker.broker import Broker
from bizzmq.broker.cancels import Cancelled
from bizzmq.broker.pauses import FIRST_PAGE, Resumed
from tests.scripts.containers import Containers
from tests.scripts.moves import DEAD, QUEUE, Call, Move, claim_ids, held
from tests.scripts.table_cancel import cancelling
from tests.scripts.table_leaving import deleting, deleting_message

WHY = '{"by":"ada"}'
A = {"task:a": WHY}
LASTING = '{"until_ms":9999999999999,"by":"ada"}'
OVER = {"task:a": '{"until_ms":1,"by":"ada"}'}
TASKS = {"m1": "a", "m2": "b"}
COMING = '{"until_ms":9999999999999}'
MANY = tuple(f"m{number:03}" for number in range(150))


def pausing(name: str, duration_ms: int = 0) -> Call:
    return lambda broker: broker.pause(QUEUE, name, WHY.encode(), duration_ms)


def resuming(name: str, page: str = FIRST_PAGE) -> Call:
    return lambda broker: broker.resume(QUEUE, name, page)


def claiming(want: int, queue: str = QUEUE) -> Call:
    return lambda broker: claim_ids(broker, want, queue=queue)


def claims_until(broker: Broker) -> Any:
    found = broker.claim(QUEUE, "w1", 1, [])
    return len(found.entries), found.due_s is not None and found.due_s > 3600


def aside(**others: Any) -> Containers:
    """m1, of the paused task, is put aside; m2 waits."""
    return Containers(**{"suspended": ("m1",), "waiting": ("m2",), "tasks": TASKS, "pauses": A, **others})


ASIDE = Containers(suspended=("m1", "m2"), tasks=TASKS, pauses=A)
"""Of two messages that are aside, only the first one is paused."""
PAUSE = [
    Move("pause", f"{name}, {how}", Containers(waiting=("m1",)), pausing(name, duration_ms), None,
         Containers(waiting=("m1",), pauses={name: WHY}))
    for name in ("queue", "task:a", "key:k")
    for how, duration_ms in (("until it is resumed", 0), ("for a time", 60_000))
] + [
    Move("pause", "a pause that holds is replaced", Containers(pauses={"queue": "{}"}), pausing("queue"), None,
         Containers(pauses={"queue": WHY})),
]  # fmt: skip
RESUME = [
    Move("resume", "returns what was put aside to the head, in its old order",
         Containers(suspended=("m1", "m2"), waiting=("m3",), tasks={"m1": "a", "m2": "a"}, pauses=A),
         resuming("task:a"),
         Resumed(True, 2, ""), Containers(waiting=("m1", "m2", "m3"), tasks={"m1": "a", "m2": "a"}, wake=True),
         again=Resumed(False, 0, "")),
    Move("resume", "to its priority", Containers(suspended=("m1",), prioritized={"m3": 5}, pauses=A,
         attempts={"m1": "0 0 0 5"}), resuming("task:a"), Resumed(True, 1, ""),
         Containers(prioritized={"m1": 5, "m3": 5}, attempts={"m1": "0 0 0 5"}, wake=True),
         again=Resumed(False, 0, "")),
    Move("resume", "not what another pause holds", Containers(suspended=("m1", "m2"), tasks=TASKS,
         pauses={**A, "task:b": WHY}), resuming("task:a"), Resumed(True, 1, ""),
         Containers(waiting=("m1",), suspended=("m2",), tasks=TASKS, pauses={"task:b": WHY}, wake=True),
         again=Resumed(False, 0, "")),
    Move("resume", "a pause whose time is over", aside(pauses=OVER), resuming(""), Resumed(True, 1, ""),
         Containers(waiting=("m1", "m2"), tasks=TASKS, wake=True), again=Resumed(False, 0, "")),
    Move("resume", "what another client has begun", aside(pauses={"resuming": "{}"}), resuming(""),
         Resumed(False, 1, ""), Containers(waiting=("m1", "m2"), tasks=TASKS, wake=True), again=Resumed(False, 0, "")),
    Move("resume", "nothing that holds, and does not even look", ASIDE, resuming(""), Resumed(False, 0, ""),
         replace(ASIDE, wake=True)),
    Move("resume", "those whose time is over, and no others",
         replace(ASIDE, pauses={"task:a": WHY, "task:b": OVER["task:a"], "key:k": LASTING, "queue": OVER["task:a"]}),
         resuming(""), Resumed(True, 1, ""), replace(ASIDE, suspended=("m1",), waiting=("m2",), wake=True,
         pauses={"task:a": WHY, "key:k": WHY}), again=Resumed(False, 0, "")),
    Move("resume", "what is aside without a pause", replace(ASIDE, pauses={}), resuming(""), Resumed(False, 2, ""),
         replace(ASIDE, pauses={}, suspended=(), waiting=("m1", "m2"), wake=True), again=Resumed(False, 0, "")),
    Move("resume", "a later page, also if another client is done", ASIDE, resuming("", "1000"), Resumed(False, 1, ""),
         replace(ASIDE, suspended=("m1",), waiting=("m2",), wake=True), again=Resumed(False, 0, "")),
    Move("resume", "what has begun and taken too long: that is no pause",
         replace(ASIDE, pauses={**A, "resuming": '{"until_ms":1}'}), resuming(""), Resumed(False, 1, ""),
         replace(ASIDE, suspended=("m1",), waiting=("m2",), wake=True), again=Resumed(False, 0, "")),
    Move("resume", "an id without a message is missing", Containers(suspended=("m1",), forged=("m1",), pauses=A),
         resuming("task:a"), Resumed(True, 0, ""), Containers(stats={"missing": 1}, wake=True),
         again=Resumed(False, 0, "")),
    Move("resume", "and only what is missing counts as missing", Containers(suspended=("m1", "m2", "m3"),
         forged=("m1",), pauses=A), resuming("task:a"), Resumed(True, 2, ""),
         Containers(waiting=("m2", "m3"), stats={"missing": 1}, wake=True), again=Resumed(False, 0, "")),
    Move("resume", "a page of the newest, and holds workers off until the last one",
         Containers(suspended=MANY, waiting=("z",), tasks=dict.fromkeys(MANY, "a"), pauses=A), resuming("task:a"),
         Resumed(True, 100, "(51"),
         Containers(suspended=MANY[:50], waiting=(*MANY[50:], "z"), tasks=dict.fromkeys(MANY, "a"),
                    pauses={"resuming": "{}"}), again=Resumed(False, 50, ""),
         after_again=Containers(waiting=(*MANY, "z"), tasks=dict.fromkeys(MANY, "a"), wake=True)),
    Move("resume", "a later page", Containers(suspended=MANY[:50], waiting=(*MANY[50:], "z"),
         tasks=dict.fromkeys(MANY, "a"), pauses={"resuming": COMING}), resuming("", "(51"), Resumed(False, 50, ""),
         Containers(waiting=(*MANY, "z"), tasks=dict.fromkeys(MANY, "a"), wake=True), again=Resumed(False, 0, "")),
    Move("resume", "a queue whose task is paused, too: what is aside is not even looked at",
         replace(ASIDE, pauses={**A, "queue": WHY}), resuming("queue"), Resumed(True, 0, ""), replace(ASIDE, wake=True),
         again=Resumed(False, 0, "")),
    Move("resume", "a dead-letter queue", aside(pauses={"resuming": COMING, "dlq:queue": WHY}),
         lambda broker: broker.resume(DEAD, "dlq:queue"), Resumed(True, 0, ""), aside(pauses={"resuming": "{}"}),
         before_dead=held(), after_dead=held(wake=True), again=Resumed(False, 0, "")),
]  # fmt: skip
CLAIM = [
    Move("claim", "nothing of a paused queue, and wakes nobody", held("m1", waiting=("m2",), pauses={"queue": WHY}),
         claiming(5), ["m1"], held("m1", waiting=("m2",), pauses={"queue": WHY})),
    Move("claim", "says when a pause ends", held(waiting=("m2",), pauses={"queue": LASTING}),
         claims_until, (0, True), held(waiting=("m2",), pauses={"queue": WHY})),
    Move("claim", "of a paused queue still acks", held("m1", waiting=("m2",), pauses={"queue": WHY}),
         lambda broker: claim_ids(broker, 1, "m1"), [],
         held(waiting=("m2",), pauses={"queue": WHY}, stats={"acked": 1})),
    Move("claim", "nothing while messages are on their way back", held(waiting=("m2",), pauses={"resuming": COMING}),
         claims_until, (0, True), held(waiting=("m2",), pauses={"resuming": "{}"})),
    Move("claim", "if the rest does not come", held(waiting=("m2",), pauses={"resuming": '{"until_ms":1}'}),
         claiming(1), ["m2"], held("m2", pauses={"resuming": "{}"})),
    Move("claim", "again after a pause whose time is over", held(waiting=("m2",),
         pauses={"queue": '{"until_ms":1,"by":"ada"}'}), claiming(1), ["m2"], held("m2", pauses={"queue": WHY})),
    Move("claim", "puts aside what is paused, and takes the next one", held(waiting=("m1", "m2"), tasks=TASKS,
         pauses=A), claiming(1), ["m2"], held("m2", suspended=("m1",), tasks=TASKS, pauses=A, stats={"suspended": 1})),
    Move("claim", "puts aside in order, behind what is there",
         held(suspended=("m0",), waiting=("m1", "m2", "m3"), tasks={"m0": "a", "m1": "a", "m2": "b", "m3": "a"},
         pauses=A),
         claiming(3), ["m2"],
         held("m2", suspended=("m0", "m1", "m3"), tasks={"m0": "a", "m1": "a", "m2": "b", "m3": "a"}, pauses=A,
              stats={"suspended": 2})),
    Move("claim", "keeps what it held before the pause", held("m1", waiting=("m2",), tasks=TASKS, pauses=A),
         claiming(2), ["m1", "m2"], held("m1", "m2", tasks=TASKS, pauses=A)),
    Move("claim", "nothing of a paused dead-letter queue", Containers(pauses={"dlq:queue": WHY}), claiming(1, DEAD), [],
         Containers(pauses={"dlq:queue": WHY}), before_dead=held(waiting=("m1",)), after_dead=held(waiting=("m1",))),
    Move("claim", "of a dead-letter queue that is not paused", Containers(pauses={"queue": WHY, **A}),
         claiming(1, DEAD), ["m1"], Containers(pauses={"queue": WHY, **A}),
         before_dead=held(waiting=("m1",), tasks={"m1": "a"}), after_dead=held("m1", tasks={"m1": "a"})),
    Move("claim", "ends one whose cancel is requested", held(waiting=("m1", "m2"), cancels={"m1": WHY}, keeps=("m1",)),
         claiming(1), ["m2"], held("m2", stats={"cancelled": 1}, results={"m1": f"cancelled {WHY}"})),
]  # fmt: skip
LEAVE = [
    Move("delete_message", "one that is put aside", aside(), deleting_message(), True,
         Containers(waiting=("m2",), tasks={"m2": "b"}, pauses=A, stats={"purged": 1}), again=False),
    Move("delete", "one that is put aside", aside(), deleting("suspended", "m1"), 1,
         Containers(waiting=("m2",), tasks={"m2": "b"}, pauses=A, stats={"purged": 1}), again=0),
    Move("cancel", "ends one that is put aside", aside(), cancelling(), Cancelled(1, 0),
         Containers(waiting=("m2",), tasks={"m2": "b"}, pauses=A, stats={"cancelled": 1}), again=Cancelled(0, 0)),
]  # fmt: skip
ROWS = [*PAUSE, *RESUME, *CLAIM, *LEAVE]
