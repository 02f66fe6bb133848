"""Rows of the maintenance scripts: locate, scan_fields, read_headers and the repairs."""

from __future__ import annotations

from typing import Any

from bizzmq.audit import accounts, findings, repair
from bizzmq.audit.findings import Kind
from bizzmq.audit.locations import DEAD as DEAD_SIDE
from bizzmq.audit.locations import OWN, Location, MessageLocations
from bizzmq.audit.scan import QueueScan
from bizzmq.broker.broker import Broker
from bizzmq.testing.layout import Keys
from tests.scripts.containers import Containers
from tests.scripts.moves import DEAD, QUEUE, Call, Move, held

NOT, HERE, THERE, BOTH = (False, False), (True, False), (False, True), (True, True)
KEYS = Keys(QUEUE), Keys(DEAD)


def place(side: int, name: str, times: int = 1) -> Location:
    return Location(side, (KEYS[side].prefix + name).encode(), times)


def locations(
    name: str, *places: Location, stored: tuple[bool, bool] = HERE, has_attempts: tuple[bool, bool] = NOT
) -> MessageLocations:
    return MessageLocations(name.encode(), stored, has_attempts, places)


def finding(kind: Kind, *messages: MessageLocations, side: int = OWN) -> findings.Finding:
    return findings.about_ids(kind, side, (QUEUE, DEAD)[side], messages)


def locating(*ids: str) -> Call:
    return lambda broker: QueueScan(broker, QUEUE).locate([name.encode() for name in ids])


def scanning_fields(broker: Broker) -> list[bytes]:
    return sorted(QueueScan(broker, QUEUE).field_names(KEYS[OWN].messages))


def dropping_missing(name: str, where: str, times: int = 1, side: int = OWN) -> Call:
    missing = finding(Kind.MISSING_BODY, locations(name, place(side, where, times), stored=NOT), side=side)
    return lambda broker: repair._drop_missing(QueueScan(broker, QUEUE), missing)


def dropping_attempts(*ids: str) -> Call:
    stale = finding(Kind.STALE_ATTEMPTS, *[locations(name, stored=NOT, has_attempts=HERE) for name in ids])
    return lambda broker: repair._drop_attempts(QueueScan(broker, QUEUE), stale)


def requeueing_unplaced(*ids: str, side: int = OWN) -> Call:
    unplaced = finding(Kind.UNPLACED, *[locations(name) for name in ids], side=side)
    return lambda broker: repair._requeue_unplaced(QueueScan(broker, QUEUE), unplaced)


def deduplicating(*ids: str) -> Call:
    duplicates = finding(Kind.DUPLICATE, *[locations(name) for name in ids])
    return lambda broker: repair._deduplicate(QueueScan(broker, QUEUE), duplicates)


def requeueing_unregistered(broker: Broker) -> int | None:
    return broker.requeue_unregistered(QUEUE, b"w9")


def writing_off(written_off: int, stored: int) -> Call:
    def call(broker: Broker) -> bool:
        read = accounts.Accounts(QUEUE, {"published": 5}, {}, stored, {}, written_off, 0, 0, ())
        return accounts.write_off(QueueScan(broker, QUEUE), OWN, read)

    return call


def row(sentence: str, before: Containers, after: Containers, **others: Any) -> Move:
    return Move("deduplicate", sentence, before, deduplicating("m1"), 1, after, **{"again": 0, **others})


TEN = tuple(f"m{number}" for number in range(10))
TWO = {"w1": "s1", "w2": "s1"}
LOOK = [
    Move("read_headers", "without bodies",
         Containers(waiting=("m1", "m3"), parked=("m2",), forged=("m3",), keeps=("m2",)),
         lambda broker: broker.read_headers(QUEUE, ["m1", "m2", "m3"]),
         [b"1\n", b'1\t{"result_ttl_s":60.0}\n', None],
         Containers(waiting=("m1", "m3"), parked=("m2",), forged=("m3",), keeps=("m2",))),
    Move("scan_fields", "names without values", Containers(waiting=("m1", "m2")), scanning_fields, [b"m1", b"m2"],
         Containers(waiting=("m1", "m2"))),
    Move("locate", "where ids are, on both sides",
         held("m1", "m2", delayed=("m3",), unplaced=("m5",), attempts={"m1": "0 1 0 0", "m9": "1 0 0 0"}),
         locating("m1", "m3", "m4", "m5", "m9"),
         [
             locations("m1", place(OWN, "processing:w1"), has_attempts=HERE), locations("m3", place(OWN, "delayed")),
             locations("m4", place(DEAD_SIDE, "waiting", 2), place(DEAD_SIDE, "parked"), stored=THERE), locations("m5"),
             locations("m9", stored=NOT, has_attempts=HERE),
         ],
         held("m1", "m2", delayed=("m3",), unplaced=("m5",), attempts={"m1": "0 1 0 0", "m9": "1 0 0 0"}),
         before_dead=Containers(waiting=("m4", "m4"), parked=("m4",)),
         after_dead=Containers(waiting=("m4", "m4"), parked=("m4",))),
    Move("locate", "messages of an unregistered worker", Containers(processing={"w9": ("m1",)}), locating("m1"),
         [locations("m1", place(OWN, "processing:w9"))], Containers(processing={"w9": ("m1",)})),
]  # fmt: skip
MEND = [
    Move("drop_missing", "an id without a message",
         Containers(waiting=("m1", "f", "m2"), forged=("f",), attempts={"f": "1 0 0 0"}),
         dropping_missing("f", "waiting"), 1, Containers(waiting=("m1", "m2"), stats={"missing": 1}), again=0),
    Move("drop_missing", "as often as the id is there", Containers(waiting=("f", "m1", "f"), forged=("f",)),
         dropping_missing("f", "waiting", 2), 2, Containers(waiting=("m1",), stats={"missing": 2}), again=0),
    Move("drop_missing", "from a set", Containers(delayed=("f", "m1"), forged=("f",)),
         dropping_missing("f", "delayed"), 1,
         Containers(delayed=("m1",), stats={"missing": 1}), again=0),
    Move("drop_missing", "from a worker's list", held("m1", "f", forged=("f",)),
         dropping_missing("f", "processing:w1"), 1,
         held("m1", stats={"missing": 1}), again=0),
    Move("drop_missing", "a dead letter's id", Containers(), dropping_missing("f", "parked", side=DEAD_SIDE), 1,
         Containers(),
         before_dead=Containers(parked=("f",), forged=("f",)), after_dead=Containers(stats={"missing": 1}), again=0),
    Move("drop_missing", "with what is beside it",
         Containers(waiting=("f",), forged=("f",), extras={"f": '{"unique":"a"}'}, unique={"a": "f"}),
         dropping_missing("f", "waiting"), 1, Containers(stats={"missing": 1}), again=0),
    Move("drop_missing", "not an id with a message", Containers(waiting=("m1",)), dropping_missing("m1", "waiting"), 0,
         Containers(waiting=("m1",))),
    Move("drop_attempts", "counts without a message",
         Containers(waiting=("m1",), attempts={"m1": "1 0 0 0", "x": "1 0 0 0"}),
         dropping_attempts("m1", "x"), 1, Containers(waiting=("m1",), attempts={"m1": "1 0 0 0"}), again=0),
    Move("requeue_unplaced", "to the head, the oldest first", Containers(waiting=("m3",), unplaced=("m1", "m2")),
         requeueing_unplaced("m1", "m2"), 2, Containers(waiting=("m1", "m2", "m3"), wake=True, stats={"restored": 2}),
         again=0),
    Move("requeue_unplaced", "ten at once, whose places are read and not searched",
         Containers(waiting=("x",), unplaced=TEN), requeueing_unplaced(*TEN), 10,
         Containers(waiting=(*TEN, "x"), wake=True, stats={"restored": 10}), again=0),
    Move("requeue_unplaced", "to its priority", Containers(unplaced=("m1",), attempts={"m1": "1 0 0 7"}),
         requeueing_unplaced("m1"), 1,
         Containers(prioritized={"m1": 7}, attempts={"m1": "1 0 0 7"}, wake=True, stats={"restored": 1}), again=0),
    Move("requeue_unplaced", "before all others of its priority, the oldest first",
         Containers(prioritized={"m3": 7}, unplaced=("m1", "m2"), attempts={"m1": "1 0 0 7", "m2": "0 0 0 7"}),
         requeueing_unplaced("m1", "m2"), 2,
         Containers(prioritized={"m1": 7, "m2": 7, "m3": 7}, attempts={"m1": "1 0 0 7", "m2": "0 0 0 7"}, wake=True,
                    stats={"restored": 2}), again=0),
    Move("requeue_unplaced", "a dead letter", Containers(), requeueing_unplaced("m1", side=DEAD_SIDE), 1, Containers(),
         before_dead=Containers(waiting=("m2",), unplaced=("m1",)),
         after_dead=Containers(waiting=("m1", "m2"), wake=True, stats={"restored": 1}), again=0),
    *[
        Move("requeue_unplaced", f"not a message in {name}", there, requeueing_unplaced("m1"), 0, there)
        for name, there in {
            "waiting": Containers(waiting=("m1",)), "prioritized": Containers(prioritized={"m1": 1}),
            "delayed": Containers(delayed=("m1",)), "parked": Containers(parked=("m1",)),
            "a list": held("m1"), "an orphaned list": Containers(processing={"w9": ("m1",)}),
        }.items()
    ],
    *[
        Move("requeue_unplaced", f"not a message in the dead-letter queue: {name}", Containers(unplaced=("m1",)),
             requeueing_unplaced("m1"), 0, Containers(unplaced=("m1",)), before_dead=there, after_dead=there)
        for name, there in {
            "waiting": Containers(waiting=("m1",)), "parked": Containers(parked=("m1",)),
            "prioritized": Containers(prioritized={"m1": 1}), "delayed": Containers(delayed=("m1",)),
            "a list": held("m1"), "an id only": Containers(waiting=("m1",), forged=("m1",)),
            "nowhere": Containers(unplaced=("m1",)),
        }.items()
    ],
    Move("requeue_unplaced", "not a message in the dead-letter queue, while workers hold others",
         held("m2", unplaced=("m1",)),
         requeueing_unplaced("m1"), 0, held("m2", unplaced=("m1",)),
         before_dead=Containers(waiting=("m1",), forged=("m1",)),
         after_dead=Containers(waiting=("m1",), forged=("m1",))),
    Move("requeue_unplaced", "once, though the id is given twice", Containers(unplaced=("m1",)),
         requeueing_unplaced("m1", "m1"), 1,
         Containers(waiting=("m1",), wake=True, stats={"restored": 1}), again=0),
    Move("requeue_unplaced", "not an id that is not stored", Containers(), requeueing_unplaced("m1"), 0, Containers()),
    Move("requeue_unregistered", "to the head in their old order, without blame",
         Containers(waiting=("m4",), processing={"w9": ("m1", "m2", "m3")},
                    attempts={"m1": "1 1 0 0\t{}", "m2": "0 0 0 9"}),
         requeueing_unregistered, 3,
         Containers(waiting=("m1", "m3", "m4"), prioritized={"m2": 9}, wake=True, stats={"requeued": 3},
                    attempts={"m1": "1 1 1 0\t{}", "m2": "0 0 1 9", "m3": "0 0 1 0"}), again=0),
    Move("requeue_unregistered", "before all others of its priority, in the old order",
         Containers(prioritized={"m1": 9}, processing={"w9": ("m3", "m2")},
                    attempts={"m2": "0 0 0 9", "m3": "0 0 0 9"}),
         requeueing_unregistered, 2,
         Containers(prioritized={"m3": 9, "m2": 9, "m1": 9}, wake=True, stats={"requeued": 2},
                    attempts={"m2": "0 0 1 9", "m3": "0 0 1 9"}), again=0),
    Move("requeue_unregistered", "not messages of a registered worker", held("m1", worker="w9", workers={"w9": "s1"}),
         requeueing_unregistered,
         None, held("m1", worker="w9", workers={"w9": "s1"})),
    Move("requeue_unregistered", "nothing held", Containers(), requeueing_unregistered, 0, Containers()),
    Move("write_off", "missing messages", Containers(stats={"missing": 2, "restored": 1}), writing_off(0, 2), True,
         Containers(stats={"missing": 2, "restored": 1, "written_off": 3, "missing_settled": 2, "restored_settled": 1}),
         again=False),
    Move("write_off", "not after another write-off", Containers(stats={"written_off": 3}), writing_off(0, 2),
         False, Containers(stats={"written_off": 3})),
    Move("write_off", "messages missing since the last write-off",
         Containers(stats={"missing": 4, "restored": 3, "written_off": 2, "missing_settled": 2, "restored_settled": 1}),
         writing_off(2, 1), True,
         Containers(stats={"missing": 4, "restored": 3, "written_off": 4, "missing_settled": 4, "restored_settled": 3}),
         again=False),
    Move("write_off", "adds up", Containers(stats={"written_off": 3}), writing_off(3, 1), True,
         Containers(stats={"written_off": 4, "missing_settled": 0, "restored_settled": 0}), again=False),
]  # fmt: skip
DEDUPLICATE = [
    row("the oldest of two in one list", Containers(waiting=("m1", "m2", "m1", "m1")),
          Containers(waiting=("m1", "m2"))),
    row("held rather than waiting", held("m1", waiting=("m1", "m2")), held("m1", waiting=("m2",))),
    row("put aside rather than held by an unregistered worker", Containers(suspended=("m1",),
        processing={"w9": ("m1",)}), Containers(suspended=("m1",))),
    row("put aside rather than parked", Containers(suspended=("m1",), parked=("m2", "m1")),
          Containers(suspended=("m1",), parked=("m2",))),
    row("delayed rather than put aside", Containers(suspended=("m1",), delayed=("m1",)), Containers(delayed=("m1",))),
    row("held rather than delayed", held("m1", delayed=("m1",)), held("m1")),
    row("by a registered worker", held(processing={"w1": ("m1",), "w9": ("m1", "m2")}),
          held(processing={"w1": ("m1",), "w9": ("m2",)})),
    row("by the one that runs it first", held(workers=TWO, processing={"w1": ("m2", "m1"), "w2": ("m1", "m3")}),
          held(workers=TWO, processing={"w1": ("m2",), "w2": ("m1", "m3")})),
    row("waiting rather than held by an unregistered worker", Containers(waiting=("m1",), processing={"w9": ("m1",)}),
          Containers(waiting=("m1",))),
    row("waiting rather than delayed", Containers(waiting=("m1",), delayed=("m1",)), Containers(waiting=("m1",))),
    row("delayed rather than held by an unregistered worker", Containers(delayed=("m1",), processing={"w9": ("m1",)}),
          Containers(delayed=("m1",))),
    row("the oldest of two in the list of an unregistered worker", Containers(processing={"w9": ("m1", "m2", "m1")}),
          Containers(processing={"w9": ("m1", "m2")})),
    row("the oldest of two parked copies", Containers(), Containers(),
          before_dead=Containers(parked=("m1", "m2", "m1")), after_dead=Containers(parked=("m1", "m2"))),
    row("prioritized with a priority", Containers(waiting=("m1",), prioritized={"m1": 4}, attempts={"m1": "0 0 0 4"}),
          Containers(prioritized={"m1": 4}, attempts={"m1": "0 0 0 4"})),
    row("waiting without a priority", Containers(waiting=("m1",), prioritized={"m1": 4}),
          Containers(waiting=("m1",))),
    row("waiting rather than parked, in a dead-letter queue", Containers(), Containers(),
          before_dead=Containers(waiting=("m1",), parked=("m1", "m2")),
          after_dead=Containers(waiting=("m1",), parked=("m2",))),
    row("in the queue rather than in its dead-letter queue", held("m1"), held("m1"),
          before_dead=Containers(waiting=("m1", "m2"), attempts={"m1": "1 0 0 0"}),
          after_dead=Containers(waiting=("m2",))),
    row("on the side that has a location", Containers(unplaced=("m1",), attempts={"m1": "1 0 0 0"}), Containers(),
          before_dead=Containers(waiting=("m1",)), after_dead=Containers(waiting=("m1",))),
    row("unplaced on both sides: in the queue", Containers(unplaced=("m1",)), Containers(unplaced=("m1",)),
          before_dead=Containers(unplaced=("m1",)), after_dead=Containers()),
    Move("deduplicate", "not messages in one place", held("m1", waiting=("m2",), delayed=("m3",), unplaced=("m4",)),
         deduplicating("m1", "m2", "m3", "m4", "m5"), 0,
         held("m1", waiting=("m2",), delayed=("m3",), unplaced=("m4",))),
    Move("deduplicate", "not ids without a message", Containers(waiting=("f", "f"), forged=("f",)), deduplicating("f"),
         0,
         Containers(waiting=("f", "f"), forged=("f",))),
]  # fmt: skip
ROWS = [*LOOK, *MEND, *DEDUPLICATE]
