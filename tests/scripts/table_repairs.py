"""Rows of what looks at a queue from outside, and of what mends it."""

from __future__ import annotations

from typing import Any

from bizzmq import books, findings, repair
from bizzmq.broker import Broker
from bizzmq.findings import Kind
from bizzmq.sight import DEAD as DEAD_SIDE
from bizzmq.sight import OWN, Place, Sight
from bizzmq.survey import Survey
from bizzmq.testing.layout import Keys
from tests.scripts.containers import Containers
from tests.scripts.moves import DEAD, QUEUE, Call, Move, held

NOT, HERE, THERE, BOTH = (False, False), (True, False), (False, True), (True, True)
KEYS = Keys(QUEUE), Keys(DEAD)


def place(side: int, name: str, times: int = 1) -> Place:
    return Place(side, (KEYS[side].prefix + name).encode(), times)


def sight(name: str, *places: Place, stored: tuple[bool, bool] = HERE, counted: tuple[bool, bool] = NOT) -> Sight:
    return Sight(name.encode(), stored, counted, places)


def finding(kind: Kind, *sights: Sight, side: int = OWN) -> findings.Finding:
    return findings.about_ids(kind, side, (QUEUE, DEAD)[side], sights)


def inspecting(*ids: str) -> Call:
    return lambda broker: Survey(broker, QUEUE).inspect([name.encode() for name in ids])


def naming(broker: Broker) -> list[bytes]:
    return sorted(Survey(broker, QUEUE)._fields(KEYS[OWN].messages))


def dropping(name: str, where: str, times: int = 1, side: int = OWN) -> Call:
    hollow = finding(Kind.HOLLOW, sight(name, place(side, where, times), stored=NOT), side=side)
    return lambda broker: repair._drop(Survey(broker, QUEUE), hollow)


def forgetting(*ids: str) -> Call:
    leftover = finding(Kind.LEFTOVER, *[sight(name, stored=NOT, counted=HERE) for name in ids])
    return lambda broker: repair._forget(Survey(broker, QUEUE), leftover)


def restoring(*ids: str, side: int = OWN) -> Call:
    stray = finding(Kind.STRAY, *[sight(name) for name in ids], side=side)
    return lambda broker: repair._restore(Survey(broker, QUEUE), stray)


def unifying(*ids: str) -> Call:
    doubled = finding(Kind.DOUBLED, *[sight(name) for name in ids])
    return lambda broker: repair._unify(Survey(broker, QUEUE), doubled)


def reclaiming(broker: Broker) -> int:
    return repair.reclaim_some(broker, QUEUE, b"w9")


def writing_off(written_off: int, stored: int) -> Call:
    def call(broker: Broker) -> bool:
        seen = books.Books(QUEUE, {"published": 5}, {}, stored, {}, written_off, 0, 0, ())
        return books.write_off(Survey(broker, QUEUE), OWN, seen)

    return call


def unify(sentence: str, before: Containers, after: Containers, **others: Any) -> Move:
    return Move("unify", sentence, before, unifying("m1"), 1, after, **{"again": 0, **others})


TWO = {"w1": "s1", "w2": "s1"}
LOOK = [
    Move("fields", "names without values", Containers(waiting=("m1", "m2")), naming, [b"m1", b"m2"],
         Containers(waiting=("m1", "m2"))),
    Move("inspect", "where ids are, on both sides",
         held("m1", "m2", delayed=("m3",), stray=("m5",), attempts={"m1": "0 1 0 0", "m9": "1 0 0 0"}),
         inspecting("m1", "m3", "m4", "m5", "m9"),
         [
             sight("m1", place(OWN, "processing:w1"), counted=HERE), sight("m3", place(OWN, "delayed")),
             sight("m4", place(DEAD_SIDE, "waiting", 2), place(DEAD_SIDE, "parked"), stored=THERE), sight("m5"),
             sight("m9", stored=NOT, counted=HERE),
         ],
         held("m1", "m2", delayed=("m3",), stray=("m5",), attempts={"m1": "0 1 0 0", "m9": "1 0 0 0"}),
         before_dead=Containers(waiting=("m4", "m4"), parked=("m4",)),
         after_dead=Containers(waiting=("m4", "m4"), parked=("m4",))),
    Move("inspect", "what an unregistered worker holds", Containers(processing={"w9": ("m1",)}), inspecting("m1"),
         [sight("m1", place(OWN, "processing:w9"))], Containers(processing={"w9": ("m1",)})),
]  # fmt: skip
MEND = [
    Move("drop", "an id without a message",
         Containers(waiting=("m1", "f", "m2"), forged=("f",), attempts={"f": "1 0 0 0"}),
         dropping("f", "waiting"), 1, Containers(waiting=("m1", "m2"), stats={"missing": 1}), again=0),
    Move("drop", "as often as it stands there", Containers(waiting=("f", "m1", "f"), forged=("f",)),
         dropping("f", "waiting", 2), 2, Containers(waiting=("m1",), stats={"missing": 2}), again=0),
    Move("drop", "from a set", Containers(delayed=("f", "m1"), forged=("f",)), dropping("f", "delayed"), 1,
         Containers(delayed=("m1",), stats={"missing": 1}), again=0),
    Move("drop", "from a worker's list", held("m1", "f", forged=("f",)), dropping("f", "processing:w1"), 1,
         held("m1", stats={"missing": 1}), again=0),
    Move("drop", "a dead letter's id", Containers(), dropping("f", "parked", side=DEAD_SIDE), 1, Containers(),
         before_dead=Containers(parked=("f",), forged=("f",)), after_dead=Containers(stats={"missing": 1}), again=0),
    Move("drop", "not what has a message", Containers(waiting=("m1",)), dropping("m1", "waiting"), 0,
         Containers(waiting=("m1",))),
    Move("forget", "counts without a message", Containers(waiting=("m1",), attempts={"m1": "1 0 0 0", "x": "1 0 0 0"}),
         forgetting("m1", "x"), 1, Containers(waiting=("m1",), attempts={"m1": "1 0 0 0"}), again=0),
    Move("restore", "to the head, the oldest first", Containers(waiting=("m3",), stray=("m1", "m2")),
         restoring("m1", "m2"), 2, Containers(waiting=("m1", "m2", "m3"), wake=True, stats={"restored": 2}), again=0),
    Move("restore", "to its priority", Containers(stray=("m1",), attempts={"m1": "1 0 0 7"}), restoring("m1"), 1,
         Containers(prioritized={"m1": 7}, attempts={"m1": "1 0 0 7"}, wake=True, stats={"restored": 1}), again=0),
    Move("restore", "before all others of its priority, the oldest first",
         Containers(prioritized={"m3": 7}, stray=("m1", "m2"), attempts={"m1": "1 0 0 7", "m2": "0 0 0 7"}),
         restoring("m1", "m2"), 2,
         Containers(prioritized={"m1": 7, "m2": 7, "m3": 7}, attempts={"m1": "1 0 0 7", "m2": "0 0 0 7"}, wake=True,
                    stats={"restored": 2}), again=0),
    Move("restore", "a dead letter", Containers(), restoring("m1", side=DEAD_SIDE), 1, Containers(),
         before_dead=Containers(waiting=("m2",), stray=("m1",)),
         after_dead=Containers(waiting=("m1", "m2"), wake=True, stats={"restored": 1}), again=0),
    *[
        Move("restore", f"not what stands in {name}", there, restoring("m1"), 0, there)
        for name, there in {
            "waiting": Containers(waiting=("m1",)), "prioritized": Containers(prioritized={"m1": 1}),
            "delayed": Containers(delayed=("m1",)), "parked": Containers(parked=("m1",)),
            "a list": held("m1"), "an orphaned list": Containers(processing={"w9": ("m1",)}),
        }.items()
    ],
    *[
        Move("restore", f"not what stands in the dead-letter queue: {name}", Containers(stray=("m1",)),
             restoring("m1"), 0, Containers(stray=("m1",)), before_dead=there, after_dead=there)
        for name, there in {
            "waiting": Containers(waiting=("m1",)), "parked": Containers(parked=("m1",)),
            "prioritized": Containers(prioritized={"m1": 1}), "delayed": Containers(delayed=("m1",)),
            "a list": held("m1"), "an id only": Containers(waiting=("m1",), forged=("m1",)),
            "nowhere": Containers(stray=("m1",)),
        }.items()
    ],
    Move("restore", "not what stands in the dead-letter queue, while workers hold something", held("m2", stray=("m1",)),
         restoring("m1"), 0, held("m2", stray=("m1",)), before_dead=Containers(waiting=("m1",), forged=("m1",)),
         after_dead=Containers(waiting=("m1",), forged=("m1",))),
    Move("restore", "once, though it was named twice", Containers(stray=("m1",)), restoring("m1", "m1"), 1,
         Containers(waiting=("m1",), wake=True, stats={"restored": 1}), again=0),
    Move("restore", "not what is not stored", Containers(), restoring("m1"), 0, Containers()),
    Move("reclaim", "to the head in the old order, nobody blamed",
         Containers(waiting=("m4",), processing={"w9": ("m1", "m2", "m3")},
                    attempts={"m1": "1 1 0 0\t{}", "m2": "0 0 0 9"}),
         reclaiming, 3,
         Containers(waiting=("m1", "m3", "m4"), prioritized={"m2": 9}, wake=True, stats={"requeued": 3},
                    attempts={"m1": "1 1 1 0\t{}", "m2": "0 0 1 9", "m3": "0 0 1 0"}), again=0),
    Move("reclaim", "before all others of its priority, in the old order",
         Containers(prioritized={"m1": 9}, processing={"w9": ("m3", "m2")},
                    attempts={"m2": "0 0 0 9", "m3": "0 0 0 9"}),
         reclaiming, 2,
         Containers(prioritized={"m3": 9, "m2": 9, "m1": 9}, wake=True, stats={"requeued": 2},
                    attempts={"m2": "0 0 1 9", "m3": "0 0 1 9"}), again=0),
    Move("reclaim", "not what a registered worker holds", held("m1", worker="w9", workers={"w9": "s1"}), reclaiming,
         -1, held("m1", worker="w9", workers={"w9": "s1"})),
    Move("reclaim", "nothing held", Containers(), reclaiming, 0, Containers()),
    Move("write_off", "what is missing", Containers(stats={"missing": 2, "restored": 1}), writing_off(0, 2), True,
         Containers(stats={"missing": 2, "restored": 1, "written_off": 3, "missing_settled": 2, "restored_settled": 1}),
         again=False),
    Move("write_off", "not what was written off meanwhile", Containers(stats={"written_off": 3}), writing_off(0, 2),
         False, Containers(stats={"written_off": 3})),
    Move("write_off", "what is missing since the last time",
         Containers(stats={"missing": 4, "restored": 3, "written_off": 2, "missing_settled": 2, "restored_settled": 1}),
         writing_off(2, 1), True,
         Containers(stats={"missing": 4, "restored": 3, "written_off": 4, "missing_settled": 4, "restored_settled": 3}),
         again=False),
    Move("write_off", "adds up", Containers(stats={"written_off": 3}), writing_off(3, 1), True,
         Containers(stats={"written_off": 4, "missing_settled": 0, "restored_settled": 0}), again=False),
]  # fmt: skip
UNIFY = [
    unify("the oldest of two in one list", Containers(waiting=("m1", "m2", "m1", "m1")),
          Containers(waiting=("m1", "m2"))),
    unify("held rather than waiting", held("m1", waiting=("m1", "m2")), held("m1", waiting=("m2",))),
    unify("held rather than delayed", held("m1", delayed=("m1",)), held("m1")),
    unify("by a registered worker", held(processing={"w1": ("m1",), "w9": ("m1", "m2")}),
          held(processing={"w1": ("m1",), "w9": ("m2",)})),
    unify("by the one that runs it first", held(workers=TWO, processing={"w1": ("m2", "m1"), "w2": ("m1", "m3")}),
          held(workers=TWO, processing={"w1": ("m2",), "w2": ("m1", "m3")})),
    unify("waiting rather than held by nobody", Containers(waiting=("m1",), processing={"w9": ("m1",)}),
          Containers(waiting=("m1",))),
    unify("waiting rather than delayed", Containers(waiting=("m1",), delayed=("m1",)), Containers(waiting=("m1",))),
    unify("delayed rather than held by nobody", Containers(delayed=("m1",), processing={"w9": ("m1",)}),
          Containers(delayed=("m1",))),
    unify("the oldest of two in the list of nobody", Containers(processing={"w9": ("m1", "m2", "m1")}),
          Containers(processing={"w9": ("m1", "m2")})),
    unify("the oldest of two that were set aside", Containers(), Containers(),
          before_dead=Containers(parked=("m1", "m2", "m1")), after_dead=Containers(parked=("m1", "m2"))),
    unify("prioritized with a priority", Containers(waiting=("m1",), prioritized={"m1": 4}, attempts={"m1": "0 0 0 4"}),
          Containers(prioritized={"m1": 4}, attempts={"m1": "0 0 0 4"})),
    unify("waiting without a priority", Containers(waiting=("m1",), prioritized={"m1": 4}),
          Containers(waiting=("m1",))),
    unify("waiting rather than parked, in a dead-letter queue", Containers(), Containers(),
          before_dead=Containers(waiting=("m1",), parked=("m1", "m2")),
          after_dead=Containers(waiting=("m1",), parked=("m2",))),
    unify("in the queue rather than in its dead-letter queue", held("m1"), held("m1"),
          before_dead=Containers(waiting=("m1", "m2"), attempts={"m1": "1 0 0 0"}),
          after_dead=Containers(waiting=("m2",))),
    unify("where it has a place", Containers(stray=("m1",), attempts={"m1": "1 0 0 0"}), Containers(),
          before_dead=Containers(waiting=("m1",)), after_dead=Containers(waiting=("m1",))),
    unify("in no place twice: in the queue", Containers(stray=("m1",)), Containers(stray=("m1",)),
          before_dead=Containers(stray=("m1",)), after_dead=Containers()),
    Move("unify", "not what is in one place", held("m1", waiting=("m2",), delayed=("m3",), stray=("m4",)),
         unifying("m1", "m2", "m3", "m4", "m5"), 0,
         held("m1", waiting=("m2",), delayed=("m3",), stray=("m4",))),
    Move("unify", "not what has no message", Containers(waiting=("f", "f"), forged=("f",)), unifying("f"), 0,
         Containers(waiting=("f", "f"), forged=("f",))),
]  # fmt: skip
ROWS = [*LOOK, *MEND, *UNIFY]
