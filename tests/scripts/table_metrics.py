"""The table of the scripts of the history. They change nothing that messages depend on."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from bizzmq.broker.broker import Broker
from tests.scripts.containers import NO_QUEUE, PERIOD_MS, Containers
from tests.scripts.moves import QUEUE, Call, Move, Reading, held, reading

MONTH = 31 * 24 * 60
TOTALS = {"published": 1, "replayed": 2, "acked": 3, "discarded": 4, "dead_lettered": 5, "retried": 6, "cancelled": 7,
          "expired": 8, "dropped": 9}  # fmt: skip
COUNTED, NOTHING, NO_MESSAGE = "1 2 3 4 5 6 7 8 9", "0 0 0 0 0 0 0 0 0", "0 0 0 0 0 0"
SAMPLE = f"<now> {NOTHING}\n"
OLD = "5 45678\n" + 38 * "6 45678\n" + "7 " + 75 * "8" + "\n"
"""With an age of 11 bytes, one byte more than is kept."""
AGES = {"ages": "<minute> 0\n"}
LINES = 89 * ("x" * 99 + "\n")
LONG = "x" * 68 + "\n" + LINES
"""With a sample, 9,001 bytes: one more than is kept."""
SAMPLED, FRESH = {"sampled": "<period>"}, {"sampled": "7"}
KNOWN = {**SAMPLED, "p:s1": "1 <now>"}


def adding(
    number: int = 1, measured: bytes = b"measured", start: bytes = b"{}", usage: tuple[bytes, bytes] = (b"", b"")
) -> Call:
    """Add a report; what is returned of the reply has no time."""

    def call(broker: Broker) -> Any:
        gauges = broker.add_metrics(QUEUE, "s1", number, measured, start, usage)
        return None if gauges is None else (*tuple(gauges)[1:6], gauges.suspended)

    return call


def oldest(broker: Broker) -> int:
    """When the oldest message was published, in ms since the epoch; 0 for now."""
    gauges = broker.add_metrics(QUEUE, "s1", 1, b"", b"")
    assert gauges is not None
    return gauges.oldest_ms and gauges.at_ms - gauges.oldest_ms


def rolling_up(version: bytes, chunks: Mapping[bytes, bytes], reports: Sequence[bytes]) -> Call:
    return reading(lambda broker: broker.roll_up_metrics(QUEUE, version, b"8", chunks, reports), "metrics")


def published_at(ms: float) -> str:
    return f"{int(ms * 1000):013x}abcdefg"


class Noting(Reading):
    """A report, and a look at the history. `before` and `after` are the history; the report returns gauges."""

    def __init__(self, call: Call, before: Mapping[str, str], after: Any) -> None:
        super().__init__(call, ["metrics"])
        self._before, self._after = before, after

    def alone(self, returns: Any) -> tuple[Call, Any]:  # noqa: ARG002 - what it returns is the history
        return lambda broker: self.call(broker) is not None, True

    def __call__(self, broker: Broker) -> Any:
        read = ("HMGET", broker.keys(QUEUE).metrics, "sampled", "ages")
        period, ages = broker.connection.execute(*read)
        _, history = super().__call__(broker)
        now_s = int(broker.connection.execute("TIME")[0])
        is_over = self._before.get("sampled") == "<period>" and period != b"%d" % (now_s * 1000 // PERIOD_MS)
        is_over |= "<minute>" in self._before.get("ages", "") and b"%d " % (now_s // 60) not in ages
        return self._after if is_over else history  # if the time is over meanwhile, this shows nothing


def noting(before: Mapping[str, str], call: Call, changed: Mapping[str, str], sentence: str, **queue: Any) -> Move:
    """A row of add_metrics: what the history holds before, and what has changed."""
    after, there = {**before, **changed}, Containers(**queue)
    others = {"metrics": before} if before else {}
    expected = (after, MONTH if changed else None)
    reports = Noting(call, before, expected)
    return Move(
        "add_metrics", sentence, Containers(**queue, others=others), reports, expected if after else None, there
    )


BUSY = held("m1", waiting=("m2", "m3"), delayed=("m4",), stats={"published": 4})
ASIDE = held("m1", suspended=("m2", "m3"))
REPORT = f"<now> {NOTHING} {NO_MESSAGE}\nmeasured"
FIRST = {"sampled": "<period>", "p:s1": "1 <now>", "d:s1": "<now> {}", "r:s1:1": REPORT}
LATER = {"sampled": "<period>", "p:s1": "2 <now>", "r:s1:2": REPORT}
ROWS = [
    Move("add_metrics", "tells the lengths of a queue", BUSY, adding(), (2, 1, 4, 0, 0, 0), BUSY),
    Move("add_metrics", "tells the lengths of a queue with priorities and dead letters",
         Containers(waiting=("m1",), prioritized={"m2": 1, "m3": 2}, parked=("m4",)), adding(), (3, 0, 4, 1, 2, 0),
         Containers(waiting=("m1",), prioritized={"m2": 1, "m3": 2}, parked=("m4",)),
         before_dead=Containers(waiting=("m5", "m6")), after_dead=Containers(waiting=("m5", "m6"))),
    Move("add_metrics", "tells what is put aside", ASIDE, adding(), (0, 0, 3, 0, 0, 2), ASIDE),
    Move("add_metrics", "no such queue", NO_QUEUE, adding(), None, NO_QUEUE),
    *[
        Move("add_metrics", f"tells since when the oldest waits: {what}", there, oldest, found, there)
        for what, found, there in (
            ("the next one", 1001, Containers(waiting=(published_at(1000.5), published_at(2000)))),
            ("one of the highest priority", 3000,
             Containers(prioritized={published_at(3000): 9, published_at(4000): 1}, waiting=(published_at(5000),))),
            ("one of the lowest priority", 4000,
             Containers(prioritized={published_at(5000): 9, published_at(4000): 1}, waiting=(published_at(6000),))),
            ("not one from the future", 0, Containers(waiting=("f" * 13 + "abcdefg",))),
            ("not one without a time", 0, Containers(waiting=("f" * 12 + "-abcdefg",))),
        )
    ],
    noting({}, adding(), {**FIRST, **AGES, "recent": SAMPLE}, "the first report"),
    noting(FRESH, adding(), {**FIRST, **AGES, "r:s1:1": f"<now> {COUNTED} 1 1 4 1 0 0\nmeasured",
           "recent": f"<now> {COUNTED}\n"}, "the totals and the lengths", stats=TOTALS, waiting=("m1",), due=("m2",),
           parked=("m3",), unplaced=("m4",)),
    noting(FRESH, adding(), {**FIRST, **AGES, "r:s1:1": f"<now> 7 0 9 0 0 0 0 0 0 {NO_MESSAGE}\nmeasured",
           "recent": "<now> 7 0 9 0 0 0 0 0 0\n"}, "a total goes on in its spare counter",
           stats={"published": 4, "published:spare": 3, "acked:spare": 9}),
    noting(KNOWN, adding(), {}, "not a report that is known"),
    noting({**FRESH, "p:s1": "1 <now>"}, adding(), {}, "not a report that is known, as a sample"),
    noting({**SAMPLED, "p:s1": "2 <now>"}, adding(), {}, "not a report older than the last one"),
    noting(KNOWN, adding(2, start=b""), LATER, "a later report, without a sample"),
    noting({**KNOWN, "p:s1": "x", "d:s1": "5 {}"}, adding(), FIRST, "after an unreadable number"),
    noting({**FRESH, "p:s2": "5 <now>"}, adding(), {**FIRST, **AGES, "recent": SAMPLE}, "beside another pool's report"),
    noting(KNOWN, adding(2, b"", b""), {}, "nothing, if nothing was measured and there is a sample"),
    noting(KNOWN, adding(2, b""), {**LATER, "r:s1:2": f"<now> {NOTHING} {NO_MESSAGE}\n", "d:s1": "<now> {}"},
           "a start, if nothing was measured"),
    noting(FRESH, adding(1, b"", b""), {**AGES, "sampled": "<period>", "p:s1": "1 <now>", "recent": SAMPLE,
           "r:s1:1": f"<now> {NOTHING} {NO_MESSAGE}\n"}, "a sample, if nothing was measured"),
    noting({**FRESH, "recent": LONG[1:]}, adding(), {**FIRST, **AGES, "recent": LONG[1:] + SAMPLE},
           "as many samples as are kept"),
    noting({**FRESH, "ages": "5 7\n6 8\n"}, adding(), {**FIRST, "recent": SAMPLE, "ages": "5 7\n6 8\n<minute> 0\n"},
           "the age of this minute after those of others"),
    noting({**FRESH, "ages": "5 7\n<minute> 9\n"}, adding(), {**FIRST, "recent": SAMPLE, "ages": "5 7\n<minute> 9\n"},
           "the highest age of a minute"),
    noting({**FRESH, "ages": "<minute> x\n"}, adding(), {**FIRST, "recent": SAMPLE, "ages": "<minute> x\n<minute> 0\n"},
           "an age after one that is unreadable"),
    noting({**FRESH, "ages": OLD[1:]}, adding(), {**FIRST, "recent": SAMPLE, "ages": f"{OLD[1:]}<minute> 0\n"},
           "as many ages as are kept"),
    noting({**FRESH, "ages": OLD}, adding(), {**FIRST, "recent": SAMPLE, "ages": f"{OLD[8:]}<minute> 0\n"},
           "no more ages than are kept"),
    noting(KNOWN, adding(2, b"", b"", (b"used", b"slots")), {"u:s1": "used", "w:s1": "slots"}, "what a pool uses"),
    noting(KNOWN, adding(2, start=b"", usage=(b"used", b"slots")), {**LATER, "u:s1": "used", "w:s1": "slots"},
           "what a pool uses, with its report"),
    noting({**KNOWN, "u:s1": "old", "w:s1": "old"}, adding(1, usage=(b"used", b"slots")),
           {"u:s1": "used", "w:s1": "slots"}, "what a pool uses, with a report that is known"),
    noting({**FRESH, "recent": LONG}, adding(), {**FIRST, **AGES, "recent": LINES + SAMPLE},
           "no more samples than are kept"),
    *[
        Move("roll_up_metrics", sentence, Containers(others={"metrics": before} if before else {}), rolling_up(*given),
             (done, (after, MONTH if done else None)), Containers(), again=(False, (after, MONTH if done else None)))
        for sentence, before, given, done, after in (
            ("from nothing", {}, (b"", {b"s:1": b"x"}, [b"r:s1:1"]), True, {"s:1": "x", "v": "8"}),
            ("chunks and reports", {"v": "7", "s:1": "x", "s:3": "y", "r:s1:1": "a", "r:s1:2": "b", "r:s1:3": "c"},
             (b"7", {b"s:1": b"xa", b"s:2": b"r:s1:3"}, [b"r:s1:1", b"r:s1:2"]), True,
             {"v": "8", "s:1": "xa", "s:2": "r:s1:3", "s:3": "y", "r:s1:3": "c"}),
            ("reports without chunks", {"v": "7", "r:s1:1": "a"}, (b"7", {}, [b"r:s1:1"]), True, {"v": "8"}),
            ("not with another version", {"v": "6", "r:s1:1": "a"}, (b"7", {b"s:1": b"x"}, [b"r:s1:1"]), False,
             {"v": "6", "r:s1:1": "a"}),
        )
    ],
]  # fmt: skip
