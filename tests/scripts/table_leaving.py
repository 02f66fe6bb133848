"""Rows of retry, dead_letter, discard, release, requeue, replay, purge, delete, promote and delete_queue."""

from __future__ import annotations

import hashlib
from typing import Any

from bizzmq.admin import dead_letters
from bizzmq.broker.broker import Broker
from bizzmq.broker.queues import Deletion
from bizzmq.broker.workers import DeadWorker, Requeued
from bizzmq.errors import BrokerReplyError, LeaseLostError, QueueNotFoundError
from tests.scripts.containers import NO_QUEUE, Containers, envelope
from tests.scripts.moves import DEAD, QUEUE, Call, Move, held, reading

NEW, ONCE = "0 0 0 0", "1 0 0 0"


def retrying(before: str = NEW, after: str = ONCE, delay_ms: int = 0, *, is_failure: bool = True) -> Call:
    return lambda broker: broker.retry(QUEUE, "w1", "m1", before, after, delay_ms, is_failure=is_failure)


def dead_lettering(queue: str = QUEUE, before: str = NEW) -> Call:
    return lambda broker: broker.dead_letter(queue, "w1", "m1", before, b'{"error":"e"}')


def discarding(before: str = NEW) -> Call:
    return lambda broker: broker.discard(QUEUE, "w1", "m1", before)


def releasing(*ids: str, started: bool = False) -> Call:
    return lambda broker: broker.release(QUEUE, "w1", 7, ids, started=started)


def releasing_prefetched(running: str, delivery: int = 1) -> Call:
    return lambda broker: broker.release_prefetched(QUEUE, "w1", running, delivery)


def requeueing(what: str, queue: str = QUEUE, **known: Any) -> Call:
    return lambda broker: broker.requeue(queue, "w1", DeadWorker(what, **known))


def replaying(broker: Broker) -> bool:
    letter = dead_letters.dead_letter(broker, QUEUE, "m1")
    return broker.replay(QUEUE, "m1", letter.priority if letter else 0)


def replaying_read(header: bytes, edited: bytes = b"", nonce: str = "") -> Call:
    """Replays m1 if it has this header; in place of it, an edited envelope."""
    return lambda broker: broker.replay(QUEUE, "m1", 0, hashlib.sha1(header).hexdigest(), edited, nonce)


def expiring(place: str, *letters: tuple[str, str], least: int = 0) -> Call:
    given = [(message_id.encode(), version) for message_id, version in letters]
    return lambda broker: broker.expire_dead_letters(QUEUE, getattr(broker.keys(DEAD), place), least, given)


def purging(queue: str, name: str, limit: int = 100, newer: int = -1, *marks: bytes, nonce: str = "") -> Call:
    return lambda broker: broker.purge(queue, getattr(broker.keys(queue), name), limit, newer, marks, nonce)


def deleting(name: str, *ids: str, nonce: str = "") -> Call:
    given = [one.encode() for one in ids]
    return lambda broker: broker.delete(QUEUE, getattr(broker.keys(QUEUE), name), given, nonce)


def deleting_message(queue: str = QUEUE, nonce: str = "") -> Call:
    return lambda broker: broker.delete_message(queue, "m1", nonce)


def promoting(queue: str = QUEUE, nonce: str = "") -> Call:
    return lambda broker: broker.promote(queue, "m1", nonce)


def deleting_queue(mode: str, *workers: str, nonce: str = "", created_ms: bytes = b"") -> Call:
    def call(broker: Broker) -> Deletion | None:
        lists = [broker.keys(queue).processing(one).encode() for queue in (QUEUE, DEAD) for one in workers]
        return broker.delete_queue(QUEUE, lists, mode, created_ms, nonce)

    return call


def refused(call: Call) -> Call:
    """As a call that is refused; the name of its error, or its result."""

    def name(broker: Broker) -> Any:
        try:
            return call(broker)
        except (LeaseLostError, BrokerReplyError, QueueNotFoundError) as error:
            return type(error).__name__

    return name


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
    Move("retry", "without blame, if the worker does not know its task", held("m1"),
         retrying(after="0 0 1 0", delay_ms=60_000, is_failure=False), True,
         held(delayed=("m1",), attempts={"m1": "0 0 1 0"}, wake=True, stats={"requeued": 1}), again=False),
    Move("retry", "not an earlier delivery of it", held("m1", attempts={"m1": ONCE}), retrying(), False,
         held("m1", attempts={"m1": ONCE})),
    Move("retry", "not without a lease", Containers(processing={"w1": ("m1",)}), refused(retrying()), "LeaseLostError",
         Containers(processing={"w1": ("m1",)})),
    Move("retry", "not a message that it does not hold", held("m2", waiting=("m1",)), retrying(), False,
         held("m2", waiting=("m1",))),
]  # fmt: skip
DEAD_LETTER = [
    Move("dead_letter", "to the end of the dead-letter queue", held("m1", "m2", attempts={"m1": ONCE}),
         dead_lettering(before=ONCE), True, held("m2", stats={"dead_lettered": 1}),
         before_dead=Containers(waiting=("m0",)), after_dead=Containers(waiting=("m0", "m1"), wake=True),
         again=False),
    Move("dead_letter", "to one that did not exist", held("m1"), dead_lettering(), True,
         held(stats={"dead_lettered": 1}), after_dead=Containers(waiting=("m1",), wake=True), again=False),
    Move("dead_letter", "a dead letter is parked", Containers(), dead_lettering(DEAD), True, Containers(),
         before_dead=held("m1", parked=("m0",)),
         after_dead=held(parked=("m0", "m1"), stats={"dead_lettered": 1}), again=False),
    Move("dead_letter", "an id without an envelope is missing", held("m1", "m2", forged=("m1",), attempts={"m1": ONCE}),
         dead_lettering(before=ONCE), True, held("m2", stats={"missing": 1}), again=False),
    Move("dead_letter", "to one that exists keeps its options", held("m1"), dead_lettering(), True,
         held(stats={"dead_lettered": 1}), before_dead=Containers(retry="2"),
         after_dead=Containers(retry="2", waiting=("m1",), wake=True), again=False),
    Move("dead_letter", "not an earlier delivery of it", held("m1", attempts={"m1": ONCE}), dead_lettering(), False,
         held("m1", attempts={"m1": ONCE})),
    Move("dead_letter", "not without a lease", Containers(processing={"w1": ("m1",)}), refused(dead_lettering()),
         "LeaseLostError", Containers(processing={"w1": ("m1",)})),
    Move("dead_letter", "not a message that it does not hold", held(waiting=("m1",)), dead_lettering(), False,
         held(waiting=("m1",))),
]  # fmt: skip
DISCARD = [
    Move("discard", "deletes it", held("m1", "m2", attempts={"m1": ONCE}), discarding(ONCE), True,
         held("m2", stats={"discarded": 1}), again=False),
    Move("discard", "not a message that it does not hold", held(delayed=("m1",)), discarding(), False,
         held(delayed=("m1",))),
]  # fmt: skip
RELEASE = [
    Move("release", "to the head in the old order, without a trace",
         held("m0", "m1", "m2", waiting=("m3",), attempts={"m1": ONCE}), releasing("m2", "m1"), 2,
         held("m0", waiting=("m1", "m2", "m3"), attempts={"m1": ONCE}, releases={"w1": "7"}, wake=True), again=0),
    Move("release", "a started message counts one more delivery and keeps its last crash",
         held("m1", "m2", attempts={"m1": "1 1 0 0\t{}"}, releases={"w1": "6"}), releasing("m1", started=True), 1,
         held("m2", waiting=("m1",), attempts={"m1": "1 1 1 0\t{}"}, releases={"w1": "7"}, wake=True), again=0),
    Move("release", "to its priority", held("m1", attempts={"m1": "0 0 0 4"}), releasing("m1"), 1,
         held(prioritized={"m1": 4}, attempts={"m1": "0 0 0 4"}, releases={"w1": "7"}, wake=True), again=0),
    Move("release", "before all others of its priority, in the old order",
         held("m5", "m4", prioritized={"m1": 4, "m2": -4}, attempts={"m4": "0 0 0 4", "m5": "0 0 0 4"}),
         releasing("m4", "m5"), 2,
         held(prioritized={"m5": 4, "m4": 4, "m1": 4, "m2": -4}, attempts={"m4": "0 0 0 4", "m5": "0 0 0 4"},
              releases={"w1": "7"}, wake=True), again=0),
    Move("release", "before one with the lowest score of its priority",
         held("m1", prioritized={"m2": 2**30}, attempts={"m1": f"0 0 0 {2**30}"}), releasing("m1"), 1,
         held(prioritized={"m1": 2**30, "m2": 2**30}, attempts={"m1": f"0 0 0 {2**30}"}, releases={"w1": "7"},
              wake=True), again=0),
    Move("release", "not a message that it does not hold", held("m0"), releasing("m9"), 0,
         held("m0", releases={"w1": "7"})),
    Move("release", "not with a number that was executed before", held("m0", releases={"w1": "7"}),
         releasing("m0"), 0, held("m0", releases={"w1": "7"})),
]  # fmt: skip
REQUEUE = [
    Move("release_prefetched", "messages newer than the running one, to the head in their old order",
         held("m1", "m2", "m3", waiting=("m4",)), releasing_prefetched("m1"), 2,
         held("m1", waiting=("m2", "m3", "m4"), wake=True), again=0),
    Move("release_prefetched", "to its priority", held("m1", "m2", attempts={"m2": "0 0 0 4"}),
         releasing_prefetched("m1"), 1,
         held("m1", prioritized={"m2": 4}, attempts={"m2": "0 0 0 4"}, wake=True), again=0),
    Move("release_prefetched", "before all others of its priority, in the old order",
         held("m1", "m5", "m4", prioritized={"m3": 4}, attempts={"m4": "0 0 0 4", "m5": "0 0 0 4"}),
         releasing_prefetched("m1"),
         2, held("m1", prioritized={"m5": 4, "m4": 4, "m3": 4}, attempts={"m4": "0 0 0 4", "m5": "0 0 0 4"},
                 wake=True), again=0),
    Move("release_prefetched", "nothing, for a worker that runs nothing", held("", "m2"), releasing_prefetched(""),
         0, held("", "m2")),
    Move("release_prefetched", "not messages older than the running one", held("m1", "m2"), releasing_prefetched("m2"),
         0, held("m1", "m2")),
    Move("release_prefetched", "nothing, when the running one has gone", held("m2", "m3"), releasing_prefetched("m1"),
         0, held("m2", "m3")),
    Move("release_prefetched", "nothing, when the running one has come again",
         held("m1", "m2", attempts={"m1": ONCE}), releasing_prefetched("m1"), 0, held("m1", "m2",
         attempts={"m1": ONCE})),
    Move("release_prefetched", "retries, crashes and requeues make the delivery number",
         held("m1", "m2", attempts={"m1": "1 2 3 0"}), releasing_prefetched("m1", 7), 1,
         held("m1", waiting=("m2",), attempts={"m1": "1 2 3 0"}, wake=True), again=0),
    Move("release_prefetched", "by deliveries modulo 65536", held("m1", "m2", attempts={"m1": "65536 0 0 0"}),
         releasing_prefetched("m1"), 1,
         held("m1", waiting=("m2",), attempts={"m1": "65536 0 0 0"}, wake=True), again=0),
    Move("release_prefetched", "not from a worker without a lease", Containers(processing={"w1": ("m1", "m2")}),
         releasing_prefetched("m1"), 0, Containers(processing={"w1": ("m1", "m2")})),
    Move("requeue", "nothing held: only the registration ends", held(releases={"w1": "3", "w2": "4"}),
         requeueing("stopped"), Requeued(0, 0, "", 0), gone(releases={"w2": "4"}), again=None),
    Move("requeue", "all to the head in their old order, without blame", held("m1", "m2", waiting=("m3",)),
         requeueing("stopped"), Requeued(2, 0, "", 0),
         gone(waiting=("m1", "m2", "m3"), wake=True, stats={"requeued": 2}), again=None),
    Move("requeue", "before all others of its priority, in the old order",
         held("m5", "m4", prioritized={"m1": -4, "m2": -5}, attempts={"m4": "0 0 0 -4", "m5": "0 0 0 -4"}),
         requeueing("stopped"), Requeued(2, 0, "", 0),
         gone(prioritized={"m5": -4, "m4": -4, "m1": -4, "m2": -5}, attempts={"m4": "0 0 0 -4", "m5": "0 0 0 -4"},
              wake=True, stats={"requeued": 2}), again=None),
    Move("requeue", "a passed limit goes behind others of its priority",
         held("m1", prioritized={"m2": 5}, attempts={"m1": "0 0 0 5"}),
         requeueing("failed", running="m1", outcome="retry", attempts_after="1 0 0 5"), Requeued(0, 0, "", 0),
         gone(prioritized={"m2": 5, "m1": 5}, attempts={"m1": "1 0 0 5"}, wake=True, stats={"retried": 1}),
         again=None),
    Move("requeue", "an empty id is not the finished or running message", held("m1", "", "m2"),
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
    Move("requeue", "acks finished messages", held("m1", "m2", "m3", "m4", attempts={"m1": ONCE}),
         requeueing("crash", last_finished="m2", running="m3"), Requeued(2, 2, "", 1),
         gone(waiting=("m3", "m4"), attempts={"m3": "0 1 0 0\t{}"}, wake=True, stats={"acked": 2, "requeued": 2}),
         again=None),
    Move("requeue", "an old finished id acks nothing", held("m1"), requeueing("crash", last_finished="m0"),
         Requeued(1, 0, "", 0), gone(waiting=("m1",), wake=True, stats={"requeued": 1}), again=None),
    Move("requeue", "the last permitted crash quarantines", held("m1", "m2", attempts={"m1": "0 2 0 0"}),
         requeueing("crash", running="m1"), Requeued(1, 0, "m1", 3),
         gone(waiting=("m2",), wake=True, stats={"requeued": 1, "dead_lettered": 1}),
         after_dead=Containers(waiting=("m1",), wake=True), again=None),
    *[
        Move("requeue", f"an id without an envelope is missing after {what}",
             held("m1", "m2", forged=("m1",), attempts={"m1": "0 2 0 0"}), requeueing(running="m1", **given),
             Requeued(1, 0, "", crashes), gone(waiting=("m2",), wake=True, stats={"requeued": 1, "missing": 1}),
             again=None)
        for what, given, crashes in (
            ("its last crash", {"what": "crash"}, 3),
            ("its last passed limit", {"what": "failed", "outcome": "dead-letter", "record": b"{}"}, 0),
        )
    ],
    Move("requeue", "a crash leaves its record, in place of an older one", held("m1", attempts={"m1": "0 1 0 0\t{}"}),
         requeueing("crash", running="m1", record=b'{"error":"e"}'), Requeued(1, 0, "", 2),
         gone(waiting=("m1",), attempts={"m1": '0 2 0 0\t{"error":"e"}'}, wake=True, stats={"requeued": 1}),
         again=None),
    Move("requeue", "a stop keeps the record of an older crash", held("m1", attempts={"m1": "0 1 0 0\t{}"}),
         requeueing("stopped", running="m1"), Requeued(1, 0, "", 0),
         gone(waiting=("m1",), attempts={"m1": "0 1 1 0\t{}"}, wake=True, stats={"requeued": 1}), again=None),
    Move("requeue", "a passed limit is retried at once", held("m1", "m2", waiting=("m3",)),
         requeueing("failed", running="m1", outcome="retry", attempts_after=ONCE), Requeued(1, 0, "", 0),
         gone(waiting=("m2", "m3", "m1"), attempts={"m1": ONCE}, wake=True, stats={"requeued": 1, "retried": 1}),
         again=None),
    Move("requeue", "a passed limit is retried later", held("m1"),
         requeueing("failed", running="m1", outcome="retry", attempts_after=ONCE, delay_ms=60_000),
         Requeued(0, 0, "", 0),
         gone(delayed=("m1",), attempts={"m1": ONCE}, wake=True, stats={"retried": 1}), again=None),
    Move("requeue", "a message of an unknown task goes back without blame", held("m1", attempts={"m1": ONCE}),
         requeueing("failed", running="m1", outcome="retry", attempts_after="1 0 1 0", delay_ms=60_000),
         Requeued(0, 0, "", 0),
         gone(delayed=("m1",), attempts={"m1": "1 0 1 0"}, wake=True, stats={"requeued": 1}), again=None),
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
    Move("requeue", "a message that was finished in an earlier claim, and is stored again, acks nothing",
         held("m1", "m2", "m3"),
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
    Move("requeue", "not an orphan whose supervisor has returned", held("m1"),
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
        Move("replay", f"an id that is twice among {place} messages", Containers(), replaying, True,
             Containers(waiting=("m1",), wake=True, stats={"replayed": 1}),
             before_dead=Containers(**{place: ("m1", "m1")}),
             after_dead=Containers(**{place: ("m1",)}, forged=("m1",)), again=False)
        for place in ("waiting", "parked")
    ],
    Move("replay", "one that is as it was read", Containers(), replaying_read(b"1\n"), True,
         Containers(waiting=("m1",), wake=True, stats={"replayed": 1}), before_dead=Containers(parked=("m1",)),
         after_dead=Containers(), again=False),
    Move("replay", "a repetition of a caller's last one has the same result", Containers(),
         replaying_read(b"1\n", nonce="n1"), True,
         Containers(waiting=("m1",), wake=True, stats={"replayed": 1}), before_dead=Containers(parked=("m1",)),
         after_dead=Containers()),
    Move("replay", "not one that has failed again since it was read", Containers(), replaying_read(b"1\t{}\n"), False,
         Containers(), before_dead=Containers(parked=("m1",)), after_dead=Containers(parked=("m1",))),
    Move("replay", "as edited, once", Containers(), replaying_read(b"1\n", envelope("m1", keeps_result=True)), True,
         Containers(waiting=("m1",), keeps=("m1",), wake=True, stats={"replayed": 1}),
         before_dead=Containers(waiting=("m1",)), after_dead=Containers()),
    Move("replay", "an edit not over a message that is waiting unedited", Containers(waiting=("m1",)),
         replaying_read(b"1\n", envelope("m1", keeps_result=True)), False, Containers(waiting=("m1",)),
         before_dead=Containers(), after_dead=Containers()),
    Move("replay", "not a message that a worker holds", Containers(), replaying, False, Containers(),
         before_dead=held("m1"), after_dead=held("m1")),
    Move("replay", "not a missing message", Containers(), replaying, False, Containers(),
         before_dead=Containers(), after_dead=Containers()),
]  # fmt: skip
PLAIN = hashlib.sha1(b"1\n").hexdigest()
EXPIRE = [
    Move("expire_dead_letters", f"those that were read, from {place}", Containers(),
         expiring(place, ("m1", PLAIN), ("m2", PLAIN)), 2, Containers(),
         before_dead=Containers(**{place: ("m1", "m2", "m3")}, attempts={"m1": ONCE, "m3": ONCE}),
         after_dead=Containers(**{place: ("m3",)}, attempts={"m3": ONCE}, stats={"expired": 2}), again=0)
    for place in ("waiting", "parked")
] + [
    Move("expire_dead_letters", "what was beside them", Containers(extras={"m1": '{"unique":"a"}'}),
         expiring("waiting", ("m1", PLAIN)), 1, Containers(),
         before_dead=Containers(waiting=("m1",)), after_dead=Containers(stats={"expired": 1}), again=0),
    Move("expire_dead_letters", "not more than are too many", Containers(),
         expiring("waiting", ("m1", PLAIN), ("m2", PLAIN), least=3), 1, Containers(),
         before_dead=Containers(waiting=("m1", "m2", "m3"), parked=("m4",)),
         after_dead=Containers(waiting=("m2", "m3"), parked=("m4",), stats={"expired": 1}), again=0),
    Move("expire_dead_letters", "not one that has failed again, is held, elsewhere or gone", Containers(),
         expiring("waiting", ("m1", "x"), ("m2", PLAIN), ("m3", PLAIN), ("m4", PLAIN)), 0, Containers(),
         before_dead=held("m2", waiting=("m1",), parked=("m3",)),
         after_dead=held("m2", waiting=("m1",), parked=("m3",))),
]  # fmt: skip
PURGE = [
    Move("purge", "waiting messages, not held ones", held("m1", waiting=("m2", "m3"), attempts={"m3": ONCE}),
         purging(QUEUE, "waiting"), (2, -1, []), held("m1", stats={"purged": 2}), again=(0, -1, [])),
    Move("purge", "the oldest first, up to a limit", Containers(waiting=("m1", "m2", "m3")),
         purging(QUEUE, "waiting", 2), (2, 0, [b"m3", b"m2", b"m1"]),
         Containers(waiting=("m3",), stats={"purged": 2}), again=(1, -1, []),
         after_again=Containers(stats={"purged": 3})),
    Move("purge", "parked messages", NO_QUEUE, purging(DEAD, "parked"), (1, -1, []), NO_QUEUE,
         before_dead=Containers(waiting=("m1",), parked=("m2",)),
         after_dead=Containers(waiting=("m1",), stats={"purged": 1}), again=(0, -1, [])),
    Move("purge", "an id without a message is missing", Containers(waiting=("f", "m1"), forged=("f",)),
         purging(QUEUE, "waiting"), (1, -1, []), Containers(stats={"purged": 1, "missing": 1}),
         again=(0, -1, [])),
    Move("purge", "nothing at first, but the newest are the marks", Containers(waiting=("m1", "m2")),
         purging(QUEUE, "waiting", 0), (0, 0, [b"m2", b"m1"]), Containers(waiting=("m1", "m2"))),
    Move("purge", "not messages newer than the marks", Containers(waiting=("m1", "m2", "m3", "m4")),
         purging(QUEUE, "waiting", 100, 0, b"m2", b"m1"), (2, -1, []),
         Containers(waiting=("m3", "m4"), stats={"purged": 2}), again=(0, -1, [])),
    Move("purge", "some, and returns how many are newer", Containers(waiting=("m1", "m2", "m3", "m4")),
         purging(QUEUE, "waiting", 1, 1, b"m3"), (1, 1, [b"m3"]),
         Containers(waiting=("m2", "m3", "m4"), stats={"purged": 1}),
         again=(1, 1, [b"m3"]), after_again=Containers(waiting=("m3", "m4"), stats={"purged": 2})),
    Move("purge", "messages older than the second mark, if the first was replayed",
         Containers(waiting=("m1", "m2", "m4")), purging(QUEUE, "waiting", 100, 0, b"m3", b"m2"), (2, -1, []),
         Containers(waiting=("m4",), stats={"purged": 2}), again=(0, -1, [])),
    Move("purge", "nothing, when all marks have been claimed", Containers(waiting=("m3", "m4")),
         purging(QUEUE, "waiting", 100, 0, b"m2", b"m1"), (0, -1, []), Containers(waiting=("m3", "m4"))),
]  # fmt: skip
DELETE = [
    Move("delete", f"{place} messages by id", Containers(**there), deleting(place, "m1", "m9"), 1,
         Containers(**left, stats={"purged": 1}), again=0)
    for place, there, left in (
        ("prioritized", {"prioritized": {"m1": 1, "m2": 1}, "attempts": {"m1": "0 0 0 1"}}, {"prioritized": {"m2": 1}}),
        ("delayed", {"due": ("m1",), "delayed": ("m2",)}, {"delayed": ("m2",)}),
    )
] + [
    Move("delete", "an id without a message is missing", Containers(due=("f",), forged=("f",)),
         deleting("delayed", "f"), 0, Containers(stats={"missing": 1})),
    Move("delete", "not messages that have left the place", held("m1", waiting=("m2",)),
         deleting("delayed", "m1", "m2"), 0,
         held("m1", waiting=("m2",))),
]  # fmt: skip
DELETE_MESSAGE = [
    Move("delete_message", f"from {place}", Containers(**there), deleting_message(), True,
         Containers(**left, stats={"purged": 1}), again=False)
    for place, there, left in (
        ("waiting", {"waiting": ("m0", "m1", "m2"), "attempts": {"m1": ONCE}}, {"waiting": ("m0", "m2")}),
        ("prioritized", {"prioritized": {"m1": 1, "m2": 1}, "attempts": {"m1": "0 0 0 1"}}, {"prioritized": {"m2": 1}}),
        ("delayed", {"due": ("m1",), "delayed": ("m2",)}, {"delayed": ("m2",)}),
        ("suspended", {"suspended": ("m1", "m2")}, {"suspended": ("m2",)}),
        ("a list and suspended", {"waiting": ("m1", "m2"), "suspended": ("m1",)}, {"waiting": ("m2",)}),
        ("two sets", {"prioritized": {"m1": 1, "m2": 1}, "delayed": ("m1",)}, {"prioritized": {"m2": 1}}),
        ("several places", {"waiting": ("m1", "m2", "m1"), "due": ("m1",), "prioritized": {"m1": 3}},
         {"waiting": ("m2",)}),
    )
] + [
    *[
        Move("delete_message", f"one that is parked{what}", NO_QUEUE, deleting_message(DEAD), True, NO_QUEUE,
             before_dead=Containers(**there), after_dead=Containers(parked=("m2",), stats={"purged": 1}), again=False)
        for what, there in (
            ("", {"parked": ("m1", "m2")}), (" twice", {"parked": ("m1", "m2", "m1")}),
            (" and waits", {"parked": ("m1", "m2"), "waiting": ("m1",)}),
            (" and is prioritized", {"parked": ("m1", "m2"), "prioritized": {"m1": 3}}),
            (" and is delayed", {"parked": ("m1", "m2"), "delayed": ("m1",)}),
        )
    ],
    Move("delete_message", "not one that a worker holds", held("m1", waiting=("m2",), attempts={"m1": ONCE}),
         deleting_message(), None, held("m1", waiting=("m2",), attempts={"m1": ONCE})),
    Move("delete_message", "not an id without a message", Containers(waiting=("m1",), forged=("m1",)),
         deleting_message(), False, Containers(waiting=("m1",), forged=("m1",))),
]  # fmt: skip
PROMOTE = [
    Move("promote", "a delayed message, to the tail", Containers(waiting=("m0",), delayed=("m1", "m2")), promoting(),
         True, Containers(waiting=("m0", "m1"), delayed=("m2",), wake=True), again=False),
    Move("promote", "one with a priority, which keeps its counts",
         Containers(prioritized={"m0": 3}, delayed=("m1",), attempts={"m1": "1 0 0 3", "m0": "0 0 0 3"}), promoting(),
         True,
         Containers(prioritized={"m0": 3, "m1": 3}, attempts={"m1": "1 0 0 3", "m0": "0 0 0 3"}, wake=True),
         again=False),
    Move("promote", "one that is due", Containers(due=("m1",)), promoting(), True,
         Containers(waiting=("m1",), wake=True), again=False),
    Move("promote", "not one that waits", Containers(waiting=("m1",)), promoting(), False, Containers(waiting=("m1",))),
    Move("promote", "not one that a worker holds", held("m1"), promoting(), False, held("m1")),
    Move("promote", "one of the dead-letter queue", NO_QUEUE, promoting(DEAD), True, NO_QUEUE,
         before_dead=Containers(delayed=("m1",)), after_dead=Containers(waiting=("m1",), wake=True), again=False),
]  # fmt: skip
FULL = held("m1", waiting=("m2",), prioritized={"m3": 1}, delayed=("m4",), attempts={"m1": ONCE}, releases={"w1": "3"},
            stats={"acked": 5}, wake=True)  # fmt: skip
FULL_DEAD = held("d1", worker="w2", workers={"w2": "s1"}, waiting=("d2",), parked=("d3",), due=("d4",), wake=True)
AROUND = {"extras": {"m1": "{}"}, "alerts": {"a": "1"}, "requests": {"r1": ""}, "dlq:requests": {"r1": ""},
          "history": {"m1": ""}}  # fmt: skip
DELETE_QUEUE = [
    Move("delete_queue", "an empty one with its dead-letter queue", Containers(stats={"acked": 5}, wake=True),
         deleting_queue("empty"), Deletion(True, 0, 0, 0), NO_QUEUE, before_dead=Containers(), after_dead=NO_QUEUE,
         again=None),
    Move("delete_queue", "a dead-letter queue without its queue", NO_QUEUE, deleting_queue("empty"),
         Deletion(True, 0, 0, 0), NO_QUEUE, before_dead=Containers(), after_dead=NO_QUEUE, again=None),
    Move("delete_queue", "all of it on request", FULL, deleting_queue("all", "w1", "w2"), Deletion(True, 4, 4, 2),
         NO_QUEUE, before_dead=FULL_DEAD, after_dead=NO_QUEUE, again=None),
    Move("delete_queue", "nothing, when it is only counted", FULL, deleting_queue("count", "w1", "w2"),
         Deletion(False, 4, 4, 2), FULL, before_dead=FULL_DEAD, after_dead=FULL_DEAD),
    Move("delete_queue", "nothing of an empty one that is only counted", Containers(), deleting_queue("count"),
         Deletion(False, 0, 0, 0), Containers()),
    *[
        Move("delete_queue", f"not one with {what}", own, deleting_queue("empty", "w1"), Deletion(False, *found), own,
             before_dead=dead, after_dead=dead)
        for what, own, dead, found in (
            ("a message", Containers(waiting=("m1",)), NO_QUEUE, (1, 0, 0)),
            ("a dead letter", Containers(), Containers(parked=("d1",)), (0, 1, 0)),
            ("a message and a dead letter", Containers(waiting=("m1",)), Containers(parked=("d1",)), (1, 1, 0)),
            ("a message of a worker", held("m1"), NO_QUEUE, (1, 0, 1)),
            ("a worker", Containers(workers={"w1": "s1"}), NO_QUEUE, (0, 0, 1)),
            ("a worker of its dead-letter queue", Containers(), held(), (0, 0, 1)),
            ("a supervisor without workers", Containers(supervisors={"s1": "7"}), NO_QUEUE, (0, 0, 1)),
            ("supervisors of both", Containers(supervisors={"s1": "7"}), Containers(supervisors={"s1": "7", "s2": "1"}),
             (0, 0, 3)),
        )
    ],
    Move("delete_queue", "what is beside its messages, and requests", Containers(others=AROUND),
         reading(deleting_queue("all"), *AROUND), (Deletion(True, 0, 0, 0), *[None] * len(AROUND)), NO_QUEUE,
         again=(None, *[None] * len(AROUND))),
    Move("delete_queue", "the one that was created then", Containers(others={"meta": {"created_ms": "5"}}),
         deleting_queue("all", created_ms=b"5"), Deletion(True, 0, 0, 0), NO_QUEUE, again=None),
    Move("delete_queue", "not one that was created later", Containers(others={"meta": {"created_ms": "5"}}),
         deleting_queue("all"), None, Containers()),
    Move("delete_queue", "not without the list of a worker", held("m1"), refused(deleting_queue("all")),
         "BrokerReplyError", held("m1")),
    Move("delete_queue", "not another one of its name", Containers(),
         lambda broker: broker.delete_queue(QUEUE, [], "all", b"1700000000000"), None, Containers()),
]  # fmt: skip
ROWS = [
    *RETRY,
    *DEAD_LETTER,
    *DISCARD,
    *RELEASE,
    *REQUEUE,
    *REPLAY,
    *EXPIRE,
    *PURGE,
    *DELETE,
    *DELETE_MESSAGE,
    *PROMOTE,
    *DELETE_QUEUE,
]
