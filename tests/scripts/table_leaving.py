"""Rows of retry, dead_letter, discard, release, requeue, replay and purge: how messages leave a worker."""

from __future__ import annotations

from typing import Any

from bizzmq import census
from bizzmq.broker import Broker, Death, Requeued
from tests.scripts.containers import NO_QUEUE, Containers
from tests.scripts.moves import DEAD, QUEUE, Call, Move, held

NEW, ONCE = "0 0 0 0", "1 0 0 0"


def retrying(seen: str = NEW, counted: str = ONCE, delay_ms: int = 0) -> Call:
    return lambda broker: broker.retry(QUEUE, "w1", "m1", seen, counted, delay_ms)


def burying(queue: str = QUEUE, seen: str = NEW) -> Call:
    return lambda broker: broker.dead_letter(queue, "w1", "m1", seen, b'{"error":"e"}')


def discarding(seen: str = NEW) -> Call:
    return lambda broker: broker.discard(QUEUE, "w1", "m1", seen)


def releasing(*ids: str, started: bool = False) -> Call:
    return lambda broker: broker.release(QUEUE, "w1", 7, ids, started=started)


def recalling(running: str, delivery: int = 1) -> Call:
    return lambda broker: broker.recall(QUEUE, "w1", running, delivery)


def requeueing(what: str, queue: str = QUEUE, **known: Any) -> Call:
    return lambda broker: broker.requeue(queue, "w1", Death(what, **known))


def replaying(broker: Broker) -> bool:
    letter = census.dead_letter(broker, QUEUE, "m1")
    return census.replay(broker, QUEUE, letter or census.DeadLetter("m1", "", None, b""))


def purging(queue: str, name: str, limit: int = 100, newer: int = -1, *marks: str) -> Call:
    def call(broker: Broker) -> Any:
        k = broker.keys(queue)
        return broker.run("purge", [getattr(k, name), k.messages, k.attempts, k.stats], limit, newer, *marks)

    return call


def deleting(name: str, *ids: str) -> Call:
    def call(broker: Broker) -> Any:
        k = broker.keys(QUEUE)
        return broker.run("delete", [getattr(k, name), k.messages, k.attempts, k.stats], *ids)

    return call


LEFT = Containers(supervisors={"s1": "7"})


def gone(**others: Any) -> Containers:
    """The supervisor is still there, the worker is not."""
    return Containers(**{**vars(LEFT), **others})


RETRY = [
    Move("retry", "at once, to the tail", held("m1", "m2", waiting=("m0",)), retrying(), True,
         held("m2", waiting=("m0", "m1"), attempts={"m1": ONCE}, wake=True, stats={"retried": 1}), again=False),
    Move("retry", "later", held("m1"), retrying(delay_ms=60_000), True,
         held(delayed=("m1",), attempts={"m1": ONCE}, wake=True, stats={"retried": 1}), again=False),
    Move("retry", "keeps its priority", held("m1", attempts={"m1": "2 1 0 -5"}), retrying("2 1 0 -5", "3 1 0 -5"),
         True, held(prioritized={"m1": -5}, attempts={"m1": "3 1 0 -5"}, wake=True, stats={"retried": 1}),
         again=False),
    Move("retry", "behind all others of its priority",
         held("m1", prioritized={"m2": 5, "m3": 5, "m4": 4}, attempts={"m1": "0 0 0 5"}),
         retrying("0 0 0 5", "1 0 0 5"), True,
         held(prioritized={"m2": 5, "m3": 5, "m1": 5, "m4": 4}, attempts={"m1": "1 0 0 5"}, wake=True,
              stats={"retried": 1}), again=False),
    Move("retry", "not what it does not hold", held("m2", waiting=("m1",)), retrying(), False,
         held("m2", waiting=("m1",))),
]  # fmt: skip
DEAD_LETTER = [
    Move("dead_letter", "to the end of the dead-letter queue", held("m1", "m2", attempts={"m1": ONCE}),
         burying(seen=ONCE), True, held("m2", stats={"dead_lettered": 1}),
         before_dead=Containers(waiting=("m0",)), after_dead=Containers(waiting=("m0", "m1"), wake=True),
         again=False),
    Move("dead_letter", "to one that did not exist", held("m1"), burying(), True,
         held(stats={"dead_lettered": 1}), after_dead=Containers(waiting=("m1",), wake=True), again=False),
    Move("dead_letter", "a dead letter is parked", Containers(), burying(DEAD), True, Containers(),
         before_dead=held("m1", parked=("m0",)),
         after_dead=held(parked=("m0", "m1"), stats={"dead_lettered": 1}), again=False),
    Move("dead_letter", "not what it does not hold", held(waiting=("m1",)), burying(), False,
         held(waiting=("m1",))),
]  # fmt: skip
DISCARD = [
    Move("discard", "forgets it", held("m1", "m2", attempts={"m1": ONCE}), discarding(ONCE), True,
         held("m2", stats={"discarded": 1}), again=False),
    Move("discard", "not what it does not hold", held(delayed=("m1",)), discarding(), False,
         held(delayed=("m1",))),
]  # fmt: skip
RELEASE = [
    Move("release", "to the head in the old order, without a trace",
         held("m0", "m1", "m2", waiting=("m3",), attempts={"m1": ONCE}), releasing("m2", "m1"), 2,
         held("m0", waiting=("m1", "m2", "m3"), attempts={"m1": ONCE}, releases={"w1": "7"}, wake=True), again=0),
    Move("release", "what has been started counts as one more delivery, and keeps its last crash",
         held("m1", "m2", attempts={"m1": "1 1 0 0\t{}"}, releases={"w1": "6"}), releasing("m1", started=True), 1,
         held("m2", waiting=("m1",), attempts={"m1": "1 1 1 0\t{}"}, releases={"w1": "7"}, wake=True), again=0),
    Move("release", "to its priority", held("m1", attempts={"m1": "0 0 0 4"}), releasing("m1"), 1,
         held(prioritized={"m1": 4}, attempts={"m1": "0 0 0 4"}, releases={"w1": "7"}, wake=True), again=0),
    Move("release", "before all others of its priority, in the old order",
         held("m5", "m4", prioritized={"m1": 4, "m2": -4}, attempts={"m4": "0 0 0 4", "m5": "0 0 0 4"}),
         releasing("m4", "m5"), 2,
         held(prioritized={"m5": 4, "m4": 4, "m1": 4, "m2": -4}, attempts={"m4": "0 0 0 4", "m5": "0 0 0 4"},
              releases={"w1": "7"}, wake=True), again=0),
    Move("release", "not what it does not hold", held("m0"), releasing("m9"), 0, held("m0", releases={"w1": "7"})),
    Move("release", "not what a release of this number may have given back before", held("m0", releases={"w1": "7"}),
         releasing("m0"), 0, held("m0", releases={"w1": "7"})),
]  # fmt: skip
REQUEUE = [
    Move("recall", "what is newer than the running one, to the head in the old order",
         held("m1", "m2", "m3", waiting=("m4",)), recalling("m1"), 2,
         held("m1", waiting=("m2", "m3", "m4"), wake=True), again=0),
    Move("recall", "to its priority", held("m1", "m2", attempts={"m2": "0 0 0 4"}), recalling("m1"), 1,
         held("m1", prioritized={"m2": 4}, attempts={"m2": "0 0 0 4"}, wake=True), again=0),
    Move("recall", "before all others of its priority, in the old order",
         held("m1", "m5", "m4", prioritized={"m3": 4}, attempts={"m4": "0 0 0 4", "m5": "0 0 0 4"}), recalling("m1"),
         2, held("m1", prioritized={"m5": 4, "m4": 4, "m3": 4}, attempts={"m4": "0 0 0 4", "m5": "0 0 0 4"},
                 wake=True), again=0),
    Move("recall", "nothing, for a worker that runs nothing", held("", "m2"), recalling(""), 0, held("", "m2")),
    Move("recall", "not what is older than the running one", held("m1", "m2"), recalling("m2"), 0, held("m1", "m2")),
    Move("recall", "nothing, when the running one has gone", held("m2", "m3"), recalling("m1"), 0, held("m2", "m3")),
    Move("recall", "nothing, when the running one has come again",
         held("m1", "m2", attempts={"m1": ONCE}), recalling("m1"), 0, held("m1", "m2", attempts={"m1": ONCE})),
    Move("recall", "whatever has made the delivery a later one",
         held("m1", "m2", attempts={"m1": "1 2 3 0"}), recalling("m1", 7), 1,
         held("m1", waiting=("m2",), attempts={"m1": "1 2 3 0"}, wake=True), again=0),
    Move("recall", "by deliveries modulo 65536", held("m1", "m2", attempts={"m1": "65536 0 0 0"}), recalling("m1"), 1,
         held("m1", waiting=("m2",), attempts={"m1": "65536 0 0 0"}, wake=True), again=0),
    Move("recall", "not from a worker without a lease", Containers(processing={"w1": ("m1", "m2")}),
         recalling("m1"), 0, Containers(processing={"w1": ("m1", "m2")})),
    Move("requeue", "nothing held: only the registration ends", held(releases={"w1": "3", "w2": "4"}),
         requeueing("stopped"), Requeued(0, 0, "", 0), gone(releases={"w2": "4"}), again=None),
    Move("requeue", "all to the head in the old order, nobody blamed", held("m1", "m2", waiting=("m3",)),
         requeueing("stopped"), Requeued(2, 0, "", 0),
         gone(waiting=("m1", "m2", "m3"), wake=True, stats={"requeued": 2}), again=None),
    Move("requeue", "before all others of its priority, in the old order",
         held("m5", "m4", prioritized={"m1": -4, "m2": -5}, attempts={"m4": "0 0 0 -4", "m5": "0 0 0 -4"}),
         requeueing("stopped"), Requeued(2, 0, "", 0),
         gone(prioritized={"m5": -4, "m4": -4, "m1": -4, "m2": -5}, attempts={"m4": "0 0 0 -4", "m5": "0 0 0 -4"},
              wake=True, stats={"requeued": 2}), again=None),
    Move("requeue", "a passed limit goes behind others of its priority",
         held("m1", prioritized={"m2": 5}, attempts={"m1": "0 0 0 5"}),
         requeueing("failed", running="m1", outcome="retry", counted="1 0 0 5"), Requeued(0, 0, "", 0),
         gone(prioritized={"m2": 5, "m1": 5}, attempts={"m1": "1 0 0 5"}, wake=True, stats={"retried": 1}),
         again=None),
    Move("requeue", "an id without a letter is not what the worker has finished or was running", held("m1", "", "m2"),
         requeueing("crash"), Requeued(3, 0, "", 0),
         gone(waiting=("m1", "", "m2"), wake=True, stats={"requeued": 3}), again=None),
    Move("requeue", "a crash blames the running one", held("m1", "m2", attempts={"m1": "1 1 1 0"}),
         requeueing("crash", running="m1"), Requeued(2, 0, "", 2),
         gone(waiting=("m1", "m2"), attempts={"m1": "1 2 1 0\t{}"}, wake=True, stats={"requeued": 2}), again=None),
    Move("requeue", "a stop only counts that the running one has started", held("m1", "m2"),
         requeueing("stopped", running="m1"), Requeued(2, 0, "", 0),
         gone(waiting=("m1", "m2"), attempts={"m1": "0 0 1 0"}, wake=True, stats={"requeued": 2}), again=None),
    Move("requeue", "of a silent one anything may have started", held("m1", "m2", attempts={"m2": "1 0 0 9"}),
         requeueing("silent", supervisor="s1", counter="7"), Requeued(2, 0, "", 0),
         gone(waiting=("m1",), prioritized={"m2": 9}, attempts={"m1": "0 0 1 0", "m2": "1 0 1 9"}, wake=True,
              stats={"requeued": 2}), again=None),
    Move("requeue", "acks what was finished", held("m1", "m2", "m3", "m4", attempts={"m1": ONCE}),
         requeueing("crash", last_finished="m2", running="m3"), Requeued(2, 2, "", 1),
         gone(waiting=("m3", "m4"), attempts={"m3": "0 1 0 0\t{}"}, wake=True, stats={"acked": 2, "requeued": 2}),
         again=None),
    Move("requeue", "an old finished id acks nothing", held("m1"), requeueing("crash", last_finished="m0"),
         Requeued(1, 0, "", 0), gone(waiting=("m1",), wake=True, stats={"requeued": 1}), again=None),
    Move("requeue", "the last permitted crash quarantines", held("m1", "m2", attempts={"m1": "0 2 0 0"}),
         requeueing("crash", running="m1"), Requeued(1, 0, "m1", 3),
         gone(waiting=("m2",), wake=True, stats={"requeued": 1, "dead_lettered": 1}),
         after_dead=Containers(waiting=("m1",), wake=True), again=None),
    Move("requeue", "a crash leaves its record, in place of an older one", held("m1", attempts={"m1": "0 1 0 0\t{}"}),
         requeueing("crash", running="m1", record=b'{"error":"e"}'), Requeued(1, 0, "", 2),
         gone(waiting=("m1",), attempts={"m1": '0 2 0 0\t{"error":"e"}'}, wake=True, stats={"requeued": 1}),
         again=None),
    Move("requeue", "a stop keeps the record of an older crash", held("m1", attempts={"m1": "0 1 0 0\t{}"}),
         requeueing("stopped", running="m1"), Requeued(1, 0, "", 0),
         gone(waiting=("m1",), attempts={"m1": "0 1 1 0\t{}"}, wake=True, stats={"requeued": 1}), again=None),
    Move("requeue", "a passed limit is retried at once", held("m1", "m2", waiting=("m3",)),
         requeueing("failed", running="m1", outcome="retry", counted=ONCE), Requeued(1, 0, "", 0),
         gone(waiting=("m2", "m3", "m1"), attempts={"m1": ONCE}, wake=True, stats={"requeued": 1, "retried": 1}),
         again=None),
    Move("requeue", "a passed limit is retried later", held("m1"),
         requeueing("failed", running="m1", outcome="retry", counted=ONCE, delay_ms=60_000), Requeued(0, 0, "", 0),
         gone(delayed=("m1",), attempts={"m1": ONCE}, wake=True, stats={"retried": 1}), again=None),
    Move("requeue", "a passed limit may be the last failure", held("m1", "m2", attempts={"m1": ONCE}),
         requeueing("failed", running="m1", outcome="dead-letter", record=b'{"error":"e"}'), Requeued(1, 0, "", 0),
         gone(waiting=("m2",), wake=True, stats={"requeued": 1, "dead_lettered": 1}),
         after_dead=Containers(waiting=("m1",), wake=True), again=None),
    Move("requeue", "without a dead-letter queue a passed limit discards at last", held("m1", attempts={"m1": ONCE}),
         requeueing("failed", running="m1", outcome="discard"), Requeued(0, 0, "", 0),
         gone(stats={"discarded": 1}), again=None),
    Move("requeue", "a passed limit on a dead-letter queue parks", Containers(),
         requeueing("failed", DEAD, running="m1", outcome="dead-letter", record=b"{}"), Requeued(0, 0, "", 0),
         Containers(), before_dead=held("m1"), after_dead=gone(parked=("m1",), stats={"dead_lettered": 1}),
         again=None),
    Move("requeue", "on a dead-letter queue it parks", Containers(), requeueing("crash", DEAD, running="m1",
         crash_limit=1), Requeued(0, 0, "m1", 1), Containers(), before_dead=held("m1"),
         after_dead=gone(parked=("m1",), stats={"dead_lettered": 1}), again=None),
    Move("requeue", "what was finished in an earlier claim, and stored anew, acks nothing", held("m1", "m2", "m3"),
         requeueing("stopped", running="m1", last_finished="m3"), Requeued(3, 0, "", 0),
         gone(waiting=("m1", "m2", "m3"), attempts={"m1": "0 0 1 0"}, wake=True, stats={"requeued": 3}), again=None),
    Move("requeue", "nor if it runs now", held("m1", "m2"),
         requeueing("stopped", running="m1", last_finished="m1"), Requeued(2, 0, "", 0),
         gone(waiting=("m1", "m2"), attempts={"m1": "0 0 1 0"}, wake=True, stats={"requeued": 2}), again=None),
    Move("requeue", "not while its supervisor beats", held("m1", supervisors={"s1": "8"}),
         requeueing("silent", supervisor="s1", counter="7"), None, held("m1", supervisors={"s1": "8"})),
    Move("requeue", "an orphan whose supervisor is not registered", held("m1", supervisors={}),
         requeueing("silent", supervisor="s1", counter=""), Requeued(1, 0, "", 0),
         gone(supervisors={}, waiting=("m1",), attempts={"m1": "0 0 1 0"}, wake=True, stats={"requeued": 1}),
         again=None),
    Move("requeue", "not an orphan whose supervisor came back", held("m1"),
         requeueing("silent", supervisor="s1", counter=""), None, held("m1")),
]  # fmt: skip
REPLAY = [
    Move("replay", f"from {place}, with fresh counts", Containers(waiting=("m0",)), replaying, True,
         Containers(waiting=("m0", "m1"), wake=True, stats={"replayed": 1}),
         before_dead=Containers(attempts={"m1": "2 0 0 0"}, **there), after_dead=Containers(), again=False)
    for place, there in {
        "waiting": {"waiting": ("m1",)}, "parked": {"parked": ("m1",)}, "delayed": {"delayed": ("m1",)},
        "prioritized": {"prioritized": {"m1": 3}},
    }.items()
] + [
    Move("replay", "starts with the retry count of its queue", Containers(retry="2"), replaying, True,
         Containers(retry="2", waiting=("m1",), attempts={"m1": "2 0 0 0"}, wake=True, stats={"replayed": 1}),
         before_dead=Containers(waiting=("m1",)), after_dead=Containers(), again=False),
    *[
        Move("replay", f"what stands twice among what is {place}", Containers(), replaying, True,
             Containers(waiting=("m1",), wake=True, stats={"replayed": 1}),
             before_dead=Containers(**{place: ("m1", "m1")}),
             after_dead=Containers(**{place: ("m1",)}, forged=("m1",)), again=False)
        for place in ("waiting", "parked")
    ],
    Move("replay", "not what is being handled", Containers(), replaying, False, Containers(),
         before_dead=held("m1"), after_dead=held("m1")),
    Move("replay", "not what is not there", Containers(), replaying, False, Containers(),
         before_dead=Containers(), after_dead=Containers()),
]  # fmt: skip
PURGE = [
    Move("purge", "all that waits, not what is being handled", held("m1", waiting=("m2", "m3"), attempts={"m3": ONCE}),
         purging(QUEUE, "waiting"), [2, -1, []], held("m1", stats={"purged": 2}), again=[0, -1, []]),
    Move("purge", "the oldest first, up to a limit", Containers(waiting=("m1", "m2", "m3")),
         purging(QUEUE, "waiting", 2), [2, 0, [b"m3", b"m2", b"m1"]],
         Containers(waiting=("m3",), stats={"purged": 2}), again=[1, -1, []],
         after_again=Containers(stats={"purged": 3})),
    Move("purge", "what is parked", NO_QUEUE, purging(DEAD, "parked"), [1, -1, []], NO_QUEUE,
         before_dead=Containers(waiting=("m1",), parked=("m2",)),
         after_dead=Containers(waiting=("m1",), stats={"purged": 1}), again=[0, -1, []]),
    Move("purge", "an id without a message is missing", Containers(waiting=("f", "m1"), forged=("f",)),
         purging(QUEUE, "waiting"), [1, -1, []], Containers(stats={"purged": 1, "missing": 1}),
         again=[0, -1, []]),
    Move("purge", "nothing at first, but the newest are the marks", Containers(waiting=("m1", "m2")),
         purging(QUEUE, "waiting", 0), [0, 0, [b"m2", b"m1"]], Containers(waiting=("m1", "m2"))),
    Move("purge", "not what came after the marks", Containers(waiting=("m1", "m2", "m3", "m4")),
         purging(QUEUE, "waiting", 100, 0, "m2", "m1"), [2, -1, []],
         Containers(waiting=("m3", "m4"), stats={"purged": 2}), again=[0, -1, []]),
    Move("purge", "a part, and says how many have come since", Containers(waiting=("m1", "m2", "m3", "m4")),
         purging(QUEUE, "waiting", 1, 1, "m3"), [1, 1, [b"m3"]],
         Containers(waiting=("m2", "m3", "m4"), stats={"purged": 1}),
         again=[1, 1, [b"m3"]], after_again=Containers(waiting=("m3", "m4"), stats={"purged": 2})),
    Move("purge", "what is older than the second mark, when the first has been replayed",
         Containers(waiting=("m1", "m2", "m4")), purging(QUEUE, "waiting", 100, 0, "m3", "m2"), [2, -1, []],
         Containers(waiting=("m4",), stats={"purged": 2}), again=[0, -1, []]),
    Move("purge", "nothing, when all marks have been claimed", Containers(waiting=("m3", "m4")),
         purging(QUEUE, "waiting", 100, 0, "m2", "m1"), [0, -1, []], Containers(waiting=("m3", "m4"))),
]  # fmt: skip
DELETE = [
    Move("delete", f"what is {place}, by its id", Containers(**there), deleting(place, "m1", "m9"), 1,
         Containers(**left, stats={"purged": 1}), again=0)
    for place, there, left in (
        ("prioritized", {"prioritized": {"m1": 1, "m2": 1}, "attempts": {"m1": "0 0 0 1"}}, {"prioritized": {"m2": 1}}),
        ("delayed", {"due": ("m1",), "delayed": ("m2",)}, {"delayed": ("m2",)}),
    )
] + [
    Move("delete", "an id without a message is missing", Containers(due=("f",), forged=("f",)),
         deleting("delayed", "f"), 0, Containers(stats={"missing": 1})),
    Move("delete", "not what has another place by now", held("m1", waiting=("m2",)), deleting("delayed", "m1", "m2"), 0,
         held("m1", waiting=("m2",))),
]  # fmt: skip
ROWS = [*RETRY, *DEAD_LETTER, *DISCARD, *RELEASE, *REQUEUE, *REPLAY, *PURGE, *DELETE]
