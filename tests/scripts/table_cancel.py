"""Rows of cancel, and of the transitions that end a message whose cancel is requested."""

from __future__ import annotations

from typing import Any

from bizzmq.broker.broker import Broker
from bizzmq.broker.cancels import Cancelled
from bizzmq.broker.workers import Requeued
from tests.scripts.containers import NO_QUEUE, Containers
from tests.scripts.moves import DEAD, QUEUE, Call, Move, held
from tests.scripts.table_leaving import (
    NEW,
    ONCE,
    dead_lettering,
    discarding,
    gone,
    releasing,
    releasing_prefetched,
    requeueing,
    retrying,
)

WHY = '{"by":"ada"}'
ASKED = {"m1": WHY}
LAST = {"stats": {"cancelled": 1}, "results": {"m1": f"cancelled {WHY}"}}


def cancelling(*ids: str, queue: str = QUEUE, are_held: bool = False, nonce: str = "") -> Call:
    return lambda broker: broker.cancel(queue, WHY.encode(), ids or ("m1",), are_held=are_held, nonce=nonce)


def cancelling_held(broker: Broker) -> Any:
    return broker.discard(QUEUE, "w1", "m1", NEW, WHY.encode(), "cancelled")


def asked(*ids: str, **others: Any) -> Containers:
    """The worker holds these messages; the cancel of m1, which keeps its result, is requested."""
    return held(*ids, **{"keeps": ("m1",), "cancels": ASKED, **others})


AT_ONCE = [
    Move("cancel", f"ends one that is {place}", Containers(**there, keeps=("m1",)), cancelling(), Cancelled(1, 0),
         Containers(**left, **LAST), again=Cancelled(0, 0))
    for place, there, left in (
        ("waiting", {"waiting": ("m0", "m1", "m2"), "attempts": {"m1": ONCE}}, {"waiting": ("m0", "m2")}),
        ("prioritized", {"prioritized": {"m1": 1, "m2": 1}, "attempts": {"m1": "0 0 0 1"}}, {"prioritized": {"m2": 1}}),
        ("delayed", {"due": ("m1",), "delayed": ("m2",)}, {"delayed": ("m2",)}),
    )
] + [
    Move("cancel", "ends several", Containers(waiting=("m1", "m2"), delayed=("m3",)), cancelling("m1", "m3", "m4"),
         Cancelled(2, 0), Containers(waiting=("m2",), stats={"cancelled": 2}), again=Cancelled(0, 0)),
    Move("cancel", "an id that is given twice, once", held("m2", waiting=("m1",), stats={"cancelled": 6}),
         cancelling("m1", "m2", "m1", "m2"), Cancelled(1, 1), held("m2", cancels={"m2": WHY}, stats={"cancelled": 7}),
         again=Cancelled(0, 1)),
    Move("cancel", "what its caller repeats", held("m3", waiting=("m2",), delayed=("m1",)),
         cancelling("m1", "m2", "m3", nonce="n1"), Cancelled(2, 1),
         held("m3", cancels={"m3": WHY}, stats={"cancelled": 2})),
    Move("cancel", "nothing without ids", Containers(waiting=("m1",)),
         lambda broker: broker.cancel(QUEUE, WHY.encode(), ()), Cancelled(0, 0), Containers(waiting=("m1",))),
    Move("cancel", "ends a dead letter without another result", NO_QUEUE, cancelling(queue=DEAD), Cancelled(1, 0),
         NO_QUEUE, before_dead=Containers(parked=("m1",), keeps=("m1",)),
         after_dead=Containers(stats={"cancelled": 1}), again=Cancelled(0, 0)),
    Move("cancel", "not a dead letter, of its queue", NO_QUEUE, cancelling(), Cancelled(0, 0), NO_QUEUE,
         before_dead=Containers(waiting=("m1",)), after_dead=Containers(waiting=("m1",))),
]  # fmt: skip
REQUESTS = [
    Move("cancel", "requests that of one that a worker holds", held("m1", "m2", keeps=("m1",)), cancelling(),
         Cancelled(0, 1), asked("m1", "m2")),
    Move("cancel", "leaves one that a worker holds its unique key",
         held("m1", extras={"m1": '{"unique":"a"}'}, unique={"a": "m1"}), cancelling(), Cancelled(0, 1),
         held("m1", extras={"m1": '{"unique":"a"}'}, unique={"a": "m1"}, cancels=ASKED)),
    Move("cancel", "ends some, and requests that of others", held("m3", waiting=("m2",), delayed=("m1",)),
         cancelling("m1", "m2", "m3"), Cancelled(2, 1), held("m3", cancels={"m3": WHY}, stats={"cancelled": 2}),
         again=Cancelled(0, 1)),
    Move("cancel", "the first request stays", held("m1", cancels={"m1": "{}"}), cancelling(), Cancelled(0, 1),
         held("m1", cancels={"m1": "{}"})),
    Move("cancel", "an earlier request says why one that is back has ended", Containers(waiting=("m1",), keeps=("m1",),
         cancels={"m1": "{}"}), cancelling(), Cancelled(1, 0), Containers(stats={"cancelled": 1},
         results={"m1": "cancelled {}"}), again=Cancelled(0, 0)),
    Move("cancel", "searches no list for one that was seen in a worker's", Containers(waiting=("m1",)),
         cancelling(are_held=True), Cancelled(0, 1), Containers(waiting=("m1",), cancels=ASKED)),
]  # fmt: skip
INSTEAD = [
    Move("retry", "one whose cancel is requested ends", asked("m1", "m2"), retrying(), True, held("m2", **LAST),
         again=False),
    Move("retry", "one that is not the cancelled one is retried", asked("m1", "m2"),
         lambda broker: broker.retry(QUEUE, "w1", "m2", NEW, ONCE, 0), True,
         asked("m1", waiting=("m2",), attempts={"m2": ONCE}, wake=True, stats={"retried": 1}), again=False),
    Move("dead_letter", "one whose cancel is requested ends", asked("m1"), dead_lettering(), True, held(**LAST),
         again=False),
    Move("discard", "one whose cancel is requested is not discarded", asked("m1"), discarding(), True, held(**LAST),
         again=False),
    Move("discard", "a cancelled one ends as cancelled", held("m1", "m2", keeps=("m1",)), cancelling_held, True,
         held("m2", **LAST), again=False),
    Move("release", "one whose cancel is requested ends, the others go back", asked("m1", "m2"),
         releasing("m2", "m1"), 2, held(waiting=("m2",), releases={"w1": "7"}, wake=True, **LAST), again=0),
    Move("release_prefetched", "the newest ends, too, if its cancel is requested", asked("m0", "m2", "m1"),
         releasing_prefetched("m0"), 2, held("m0", waiting=("m2",), wake=True, **LAST), again=0),
    Move("release_prefetched", "one whose cancel is requested ends", asked("m0", "m1", "m2"),
         releasing_prefetched("m0"), 2, held("m0", waiting=("m2",), wake=True, **LAST), again=0),
] + [
    Move("requeue", f"one whose cancel is requested ends: {what}", asked("m1", "m2", attempts={"m1": "0 2 0 0"}),
         requeueing(what, running="m1", **known), Requeued(1, 0, "", crashes),
         gone(waiting=("m2",), wake=True, stats={"cancelled": 1, "requeued": 1}, results={"m1": f"cancelled {WHY}"},
              **more), again=None)
    for what, crashes, known, more in (
        ("crash", 3, {}, {}), ("stopped", 0, {}, {}), ("silent", 0, {}, {"attempts": {"m2": "0 0 1 0"}}),
        ("failed", 0, {"outcome": "retry", "attempts_after": ONCE}, {}),
        ("failed", 0, {"outcome": "dead-letter", "record": b"{}"}, {}),
        ("failed", 0, {"outcome": "cancel", "record": b"{}"}, {}),
    )
] + [
    Move("requeue", "one that was killed for its cancel ends, also if the request is lost", held("m1", keeps=("m1",)),
         requeueing("failed", running="m1", outcome="cancel", record=WHY.encode()), Requeued(0, 0, "", 0),
         gone(**LAST), again=None),
    Move("requeue", "one that had finished is acked", held("m1", "m2", cancels=ASKED),
         requeueing("stopped", last_finished="m1"), Requeued(1, 1, "", 0),
         gone(waiting=("m2",), wake=True, stats={"acked": 1, "requeued": 1}), again=None),
]  # fmt: skip
ROWS = [*AT_ONCE, *REQUESTS, *INSTEAD]
