"""Rows of results: what is stored of a message that has ended, and what is not."""

from __future__ import annotations

from typing import Any

from bizzmq.broker.workers import Requeued
from bizzmq.protocol.results import KeptResult, success_text
from tests.scripts.containers import Containers
from tests.scripts.moves import DEAD, QUEUE, Call, Move, held
from tests.scripts.table_leaving import NEW, ONCE, dead_lettering, gone, replaying, requeueing, retrying

ERROR = '{"error":"e"}'


def kept(*ids: str) -> dict[str, KeptResult]:
    return {one: KeptResult(b"60000", success_text(b'"%s"' % one.encode(), 3, 1000, 2000)) for one in ids}


def done(message_id: str) -> str:
    """What is stored of a message that has succeeded."""
    return f'succeeded "{message_id}" 3 1000 2000'


def finishing(*ids: str, results: tuple[str, ...] = (), queue: str = QUEUE) -> Call:
    stored = {one.encode(): value for one, value in kept(*results).items()}
    return lambda broker: broker.finish(queue, "w1", [one.encode() for one in ids], stored)


def requeueing_with(*results: str, what: str = "crash", **known: Any) -> Call:
    return requeueing(what, results=kept(*results), **known)


FINISH = [
    Move("finish", "acks in order, and stores the results of those that keep one",
         held("m1", "m2", "m3", keeps=("m1",), attempts={"m1": ONCE}), finishing("m1", "m2", results=("m1",)), 2,
         held("m3", stats={"acked": 2}, results={"m1": done("m1")}), again=0),
    Move("finish", "acks out of order, the older ones stay", held("m1", "m2", "m3", keeps=("m2",)),
         finishing("m2", results=("m2",)), 1,
         held("m1", "m3", stats={"acked": 1}, results={"m2": done("m2")}), again=0),
    Move("finish", "acks out of order, with the oldest one where it would be in order", held("m1", "m2", "m3"),
         finishing("m1", "m3"), 2, held("m2", stats={"acked": 2}), again=0),
    Move("finish", "acks out of order, with the last one where it would be in order", held("m1", "m2", "m3"),
         finishing("m3", "m2"), 2, held("m1", stats={"acked": 2}), again=0),
    Move("finish", "acks all that is held", held("m1", "m2", keeps=("m1", "m2")),
         finishing("m1", "m2", results=("m1", "m2")), 2,
         held(stats={"acked": 2}, results={"m1": done("m1"), "m2": done("m2")}), again=0),
    Move("finish", "claims nothing", held("m1", waiting=("m2",), due=("m3",), prioritized={"m4": 1}),
         finishing("m1"), 1, held(waiting=("m2",), due=("m3",), prioritized={"m4": 1}, stats={"acked": 1}), again=0),
    Move("finish", "stores no result of a message that another worker holds",
         held(workers={"w1": "s1", "w2": "s1"}, processing={"w2": ("m1",)}, keeps=("m1",)),
         finishing("m1", results=("m1",)), 0,
         held(workers={"w1": "s1", "w2": "s1"}, processing={"w2": ("m1",)}, keeps=("m1",))),
    Move("finish", "stores no result of a message that waits again", held("m2", waiting=("m1",), keeps=("m1",)),
         finishing("m1", results=("m1",)), 0, held("m2", waiting=("m1",), keeps=("m1",))),
    Move("finish", "acks once a message that it reports twice", held("m1", "m2"), finishing("m1", "m1"), 1,
         held("m2", stats={"acked": 1}), again=0),
    Move("finish", "replaces an earlier result", held("m1", keeps=("m1",), results={"m1": "succeeded 0"}),
         finishing("m1", results=("m1",)), 1, held(stats={"acked": 1}, results={"m1": done("m1")}), again=0),
    Move("finish", "an id without an envelope is acked", held("m1", forged=("m1",)), finishing("m1"), 1,
         held(stats={"acked": 1}), again=0),
]  # fmt: skip
FAILING = [
    Move("dead_letter", "the failure is the result", held("m1", keeps=("m1",)), dead_lettering(), True,
         held(stats={"dead_lettered": 1}, results={"m1": f"dead_lettered {ERROR}"}),
         after_dead=Containers(waiting=("m1",), wake=True, keeps=("m1",)), again=False),
    Move("dead_letter", "a dead letter that is parked has had its result", Containers(), dead_lettering(DEAD), True,
         Containers(), before_dead=held("m1", keeps=("m1",)),
         after_dead=held(parked=("m1",), keeps=("m1",), stats={"dead_lettered": 1}), again=False),
    Move("discard", "the failure is the result", held("m1", keeps=("m1",)),
         lambda broker: broker.discard(QUEUE, "w1", "m1", NEW, ERROR.encode()), True,
         held(stats={"discarded": 1}, results={"m1": f"discarded {ERROR}"}), again=False),
    Move("retry", "has no result yet", held("m1", keeps=("m1",)), retrying(), True,
         held(waiting=("m1",), keeps=("m1",), attempts={"m1": ONCE}, wake=True, stats={"retried": 1}), again=False),
    Move("replay", "the failure is no result any more", Containers(results={"m1": "succeeded 0"}), replaying, True,
         Containers(waiting=("m1",), keeps=("m1",), wake=True, stats={"replayed": 1}),
         before_dead=Containers(waiting=("m1",), keeps=("m1",)), after_dead=Containers(), again=False),
]  # fmt: skip
REQUEUE = [
    Move("requeue", "acks finished messages with their results", held("m1", "m2", "m3", keeps=("m1", "m3")),
         requeueing_with("m1", last_finished="m2", running="m3"), Requeued(1, 2, "", 1),
         gone(waiting=("m3",), keeps=("m3",), attempts={"m3": "0 1 0 0\t{}"}, wake=True,
              results={"m1": done("m1")}, stats={"acked": 2, "requeued": 1}), again=None),
    Move("requeue", "several finished messages with their results", held("m1", "m2", "m3", keeps=("m1", "m2", "m3")),
         requeueing_with("m1", "m2", "m3", last_finished="m3"), Requeued(0, 3, "", 0),
         gone(results={one: done(one) for one in ("m1", "m2", "m3")}, stats={"acked": 3}), again=None),
    Move("requeue", "a finished message whose result is lost runs again, without blame",
         held("m1", "m2", "m3", "m4", keeps=("m1", "m2")),
         requeueing_with("m2", last_finished="m3", running="m4", what="stopped"), Requeued(2, 2, "", 0),
         gone(waiting=("m1", "m4"), keeps=("m1",), attempts={"m1": "0 0 1 0", "m4": "0 0 1 0"}, wake=True,
              results={"m2": done("m2")}, stats={"acked": 2, "requeued": 2}), again=None),
    Move("requeue", "nor is the result stored of a message that is not finished", held("m1", "m2", keeps=("m1", "m2")),
         requeueing_with("m1", "m2", last_finished="m1", running="m2"), Requeued(1, 1, "", 1),
         gone(waiting=("m2",), keeps=("m2",), attempts={"m2": "0 1 0 0\t{}"}, wake=True,
              results={"m1": done("m1")}, stats={"acked": 1, "requeued": 1}), again=None),
    Move("requeue", "a silent worker leaves no result", held("m1", keeps=("m1",)),
         requeueing_with("m1", what="silent"), Requeued(1, 0, "", 0),
         gone(waiting=("m1",), keeps=("m1",), attempts={"m1": "0 0 1 0"}, wake=True, stats={"requeued": 1}),
         again=None),
    Move("requeue", "a quarantined message has failed", held("m1", keeps=("m1",)),
         requeueing("crash", running="m1", crash_limit=1, record=ERROR.encode()), Requeued(0, 0, "m1", 1),
         gone(stats={"dead_lettered": 1}, results={"m1": f"dead_lettered {ERROR}"}),
         after_dead=Containers(waiting=("m1",), keeps=("m1",), wake=True), again=None),
    Move("requeue", "a message that has passed a limit for the last time has failed", held("m1", keeps=("m1",)),
         requeueing("failed", running="m1", outcome="dead-letter", record=ERROR.encode()), Requeued(0, 0, "", 0),
         gone(stats={"dead_lettered": 1}, results={"m1": f"dead_lettered {ERROR}"}),
         after_dead=Containers(waiting=("m1",), keeps=("m1",), wake=True), again=None),
    Move("requeue", "and one that is discarded has failed, too", held("m1", keeps=("m1",)),
         requeueing("failed", running="m1", outcome="discard", record=ERROR.encode()), Requeued(0, 0, "", 0),
         gone(stats={"discarded": 1}, results={"m1": f"discarded {ERROR}"}), again=None),
    Move("requeue", "one that is retried has not", held("m1", keeps=("m1",)),
         requeueing("failed", running="m1", outcome="retry", attempts_after=ONCE), Requeued(0, 0, "", 0),
         gone(waiting=("m1",), keeps=("m1",), attempts={"m1": ONCE}, wake=True, stats={"retried": 1}), again=None),
    Move("requeue", "a finished message of a dead-letter queue needs no result", Containers(),
         requeueing("crash", DEAD, last_finished="m1"), Requeued(0, 1, "", 0), Containers(),
         before_dead=held("m1", keeps=("m1",)), after_dead=gone(stats={"acked": 1}), again=None),
]  # fmt: skip
ROWS = [*FINISH, *FAILING, *REQUEUE]
