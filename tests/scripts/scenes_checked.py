"""Scenes of publish_checked: requests one after the other, keys of the wrong type, what is beside messages."""

from __future__ import annotations

from typing import Any, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import CheckedRequest, Terms, numbers_of, publish_checked_call
from bizzmq.broker.operations import Operation, Script
from bizzmq.protocol.keys import QueueKeys
from tests.scripts.beside import LATER as LATER_TIME
from tests.scripts.beside import PAST as PAST_TIME
from tests.scripts.beside import event
from tests.scripts.containers import LATER, NO_QUEUE, Containers
from tests.scripts.moves import QUEUE, Call, Move, in_turn, spoilt
from tests.scripts.table_checked import EXPIRED, HELD, ONE, SUPERSEDED, SUPERSEDED_EXPIRED, entries, queue

K = QueueKeys(QUEUE)
PUBLISHER = K.publisher(numbers_of("pub"))
REFUSED, WRONG, FULL = "BrokerReplyError", "WrongTypeError", "QueueFullError"
MINUTE = {"kept_until": "60000"}
ALL = {name: {"m0": "of m0", "m1": "of m1"} for name in ("checkpoints", "progress", "output", "profiles")}
LEFT = {name: {"m0": "of m0"} for name in ALL}


def request_of(number: int, ids: str, keys: str | None) -> CheckedRequest:
    names = ids.split()
    unique = [] if keys is None else ["" if key == "-" else key for key in keys.split()]
    return CheckedRequest(number, names, unique, [b'1\n"body of %s"' % one.encode() for one in names])


def publish(number: int, ids: str, keys: str | None = None, **terms: Any) -> Call:
    """The ids that stand for the messages. Ids and keys are divided by spaces; `-` is no key."""
    request, chosen = request_of(number, ids, keys), Terms(**{"delay_ms": 0, "priority": 0, **terms})

    def call(broker: Broker) -> str:
        return " ".join(broker.publish_checked(QUEUE, "pub", request, chosen, None).message_ids)

    return call


def reply_to(number: int, ids: str, keys: str | None = None, *, before: int = 0, **terms: Any) -> Call:
    """The script's reply. Sealed messages are sealed for their own ids."""
    is_sealed = terms.pop("is_sealed", False)
    request, chosen = request_of(number, ids, keys), Terms(**{"delay_ms": 0, "priority": 0, **terms})
    seal = sealing if is_sealed else None

    def operation(broker: Broker) -> Operation[Any]:
        reply = yield Script(
            "publish_checked", publish_checked_call(broker.keys(QUEUE), "pub", request, chosen, before, seal)
        )
        return reply

    return lambda broker: broker.perform(operation(broker))


def sealing(message_id: str, envelope: bytes) -> bytes:
    return envelope + b" for " + message_id.encode()


def sealed(number: int, ids: str, keys: str) -> Call:
    """As publish, for messages that replace others and are sealed for their ids."""
    request = request_of(number, ids, keys)

    def call(broker: Broker) -> str:
        found = broker.publish_checked(QUEUE, "pub", request, Terms(0, 0, replaces=True), sealing)
        return " ".join(found.message_ids)

    return call


def remembering(text: str) -> Call:
    """Forge what Redis remembers of the publisher."""
    return lambda broker: broker.connection.execute("SET", PUBLISHER, text).decode()


def later(broker: Broker) -> None:
    """Wait for two milliseconds of Redis's clock."""
    end_s = clock_s(broker) + 0.002
    while clock_s(broker) < end_s:
        pass


def clock_s(broker: Broker) -> float:
    seconds, micros = broker.time()
    return seconds + micros / 1e6


def scene(
    sentence: str, before: Containers, calls: Sequence[Call], returns: Any, after: Containers, **more: Any
) -> Move:
    return Move("publish_checked", sentence, before, in_turn(*calls), returns, after, **more)


def waiting(*ids: str, **more: Any) -> Containers:
    """These messages wait; one was published for each unless more is said."""
    return queue(**{"waiting": ids, "wake": True, "stats": {"published": len(ids)}, **more})


def undone(sentence: str, key: str, call: Call, *, stats: Any = (), waits: Any = (), unique: Any = (), extras: Any = (),
           after: Any = (), **same: Any) -> Move:  # fmt: skip
    """A later request that meets a key of the wrong type leaves everything as it was."""
    return scene(
        f"nothing if {key.rpartition(':')[2]} has the wrong type, {sentence}",
        queue(waiting=waits, unique=dict(unique), extras=dict(extras), **same),
        [publish(1, "m0", "z"), spoilt(key, call)], ["m0", WRONG],
        queue(waiting=(*waits, "m0"), wake=True, stats={"published": 1, **dict(stats)},
              unique={**dict(unique), "z": "m0"}, extras={**dict(extras), **entries(m0="z")}, **same, **dict(after)),
    )  # fmt: skip


REQUESTS = [
    scene("without keys", queue(), [publish(1, "m1 m2")], ["m1 m2"], waiting("m1", "m2")),
    scene("replies no ids but those of others", queue(), [reply_to(1, "m1 m2", "a b"), reply_to(2, "m3 m4", "a c")],
          [[1, 0, []], [1, 0, [b"m1", b"m4"]]],
          waiting("m1", "m2", "m4", stats={"published": 3, "duplicates": 1}, unique={"a": "m1", "b": "m2", "c": "m4"},
                  extras=entries(m1="a", m2="b", m4="c"))),
    scene("not without a queue", NO_QUEUE, [publish(1, "m1")], ["QueueNotFoundError"], NO_QUEUE),
    scene("without an unreadable retry count", queue(retry="01"), [publish(1, "m1")], ["m1"],
          waiting("m1", retry="01")),
    scene("not after an unreadable number", queue(), [remembering("x"), reply_to(1, "m1")], ["OK", [-3]], queue()),
    scene("not after a number that is far too high", queue(), [remembering("102 a\n1 m7"), reply_to(1, "m1")],
          ["OK", [-3]], queue()),
    scene("what is remembered after a hundred others", queue(), [remembering("101 a\n1 m7"), reply_to(1, "m1")],
          ["OK", [1, 0, [b"m7"]]], queue()),
    scene("the ids of this number, and of no other", queue(), [remembering("3 m8\n2 m9 m7"), publish(2, "m1 m2")],
          ["OK", "m9 m7"], queue()),
    scene("not what is not remembered", queue(), [remembering("3 m8"), reply_to(2, "m1")], ["OK", [-3]], queue()),
    scene("not before the earlier one", queue(), [reply_to(2, "m2", before=1)], [[-2]], queue()),
    scene("an earlier one is remembered if its reply may be unread", queue(),
          [publish(1, "m1 m2", "a a"), reply_to(2, "m3", before=1), publish(1, "m1 m2", "a a")],
          ["m1 m1", [1, 0, []], "m1 m1"],
          waiting("m1", "m3", stats={"published": 2, "duplicates": 1}, **ONE)),
    scene("an earlier one is forgotten if its reply was read", queue(),
          [publish(1, "m1"), publish(2, "m2"), publish(1, "m1")], ["m1", "m2", REFUSED], waiting("m1", "m2")),
]  # fmt: skip
PLACES = [
    scene("with a priority alone, whatever counts an id has", queue(attempts={"m1": "9 9 9 9"}),
          [publish(1, "m1", priority=5)], ["m1"],
          queue(prioritized={"m1": 5}, attempts={"m1": "0 0 0 5"}, wake=True, stats={"published": 1})),
    scene("with the retry count of the queue", queue(retry="2"), [publish(1, "m1")], ["m1"],
          waiting("m1", retry="2", attempts={"m1": "2 0 0 0"})),
    scene("with a priority and a delay", queue(), [publish(1, "m1", priority=5, delay_ms=60_000)], ["m1"],
          queue(delayed=("m1",), attempts={"m1": "0 0 0 5"}, wake=True, stats={"published": 1})),
    scene("delayed for a millisecond", queue(),
          [publish(1, "m1", delay_ms=1), publish(2, "m2", delay_ms=1, priority=5), later], ["m1", "m2", None],
          queue(due=("m1", "m2"), attempts={"m2": "0 0 0 5"}, wake=True, stats={"published": 2})),
    scene("with an expiry after a millisecond", queue(), [publish(1, "m1 m2", "- a", expires_ms=1)], ["m1 m2"],
          waiting("m1", "m2", unique={"a": "m2"},
                  extras={"m1": "{" + LATER + "}", "m2": '{"unique":"a",' + LATER + "}"})),
    scene("not one more than fit", queue(waiting=("m1",), options={"max_length": "1"}), [publish(1, "m2")], [FULL],
          queue(waiting=("m1",), options={"max_length": "1"})),
    scene("what another stands for, into an overfull queue",
          queue(waiting=("m1", "m2"), options={"max_length": "1"}, **ONE), [publish(1, "m3", "a")], ["m1"],
          queue(waiting=("m1", "m2"), options={"max_length": "1"}, stats={"duplicates": 1}, **ONE)),
]  # fmt: skip
MEETING = [
    scene("one whose key another has, and one whose key is free", queue(waiting=("m1",), **ONE),
          [publish(1, "m2 m3", "a b")], ["m1 m3"],
          queue(waiting=("m1", "m3"), wake=True, stats={"published": 1, "duplicates": 1},
                unique={"a": "m1", "b": "m3"}, extras=entries(m1="a", m3="b"))),
    scene("two whose keys expired messages have",
          queue(waiting=("m1", "m2"), unique={"a": "m1", "b": "m2"},
                extras={"m1": EXPIRED["extras"]["m1"], "m2": EXPIRED["extras"]["m1"].replace('"a"', '"b"')}),
          [publish(1, "m3 m4", "a b")], ["m3 m4"],
          queue(waiting=("m1", "m2", "m3", "m4"), wake=True, stats={"published": 2}, unique={"a": "m3", "b": "m4"},
                extras={"m1": SUPERSEDED_EXPIRED, "m2": SUPERSEDED_EXPIRED.replace('"a"', '"b"'),
                        **entries(m3="a", m4="b")})),
    scene("not while the one that has the key has time", queue(waiting=("m1",), unique={"a": "m1"},
          extras={"m1": '{"unique":"a",' + LATER + "}"}), [publish(1, "m2", "a")], ["m1"],
          queue(waiting=("m1",), stats={"duplicates": 1}, unique={"a": "m1"},
                extras={"m1": '{"unique":"a",' + LATER + "}"})),
    scene("behind one that a worker holds beyond its time", queue(**HELD, **EXPIRED),
          [publish(1, "m2", "a", replaces=True)], ["m2"],
          waiting("m2", unique={"a": "m2"}, extras={"m1": SUPERSEDED_EXPIRED, **entries(m2="a")}, **HELD)),
    *(
        scene(f"and leaves the entry of the former owner as it is: {what}", before,
              [publish(1, "m2", "a", replaces=True)], ["m2"], waiting("m2", **after))
        for what, before, after in (
            ("it has no key", queue(unique={"a": "m1"}, extras={"m1": '{"x":1}'}, **HELD),
             {"unique": {"a": "m2"}, "extras": {"m1": '{"x":1}', **entries(m2="a")}, **HELD}),
            ("it says so already", queue(unique={"a": "m1"}, extras={"m1": SUPERSEDED}, **HELD),
             {"unique": {"a": "m2"}, "extras": {"m1": SUPERSEDED, **entries(m2="a")}, **HELD}),
            ("its message has gone", queue(**ONE), {"unique": {"a": "m2"}, "extras": entries(m1="a", m2="a")}),
        )
    ),
    scene("and does not replace what a worker may hold", queue(waiting=("m1",), workers={"w1": "s1"}, **ONE),
          [spoilt(K.workers, publish(1, "m2", "a", replaces=True))], ["m2"],
          queue(waiting=("m1", "m2"), wake=True, workers={"w1": "s1"}, stats={"published": 1}, unique={"a": "m2"},
                extras={"m1": SUPERSEDED, **entries(m2="a")})),
]  # fmt: skip

REPLACING = [
    scene("the last of one key", queue(), [publish(1, "m0 m1 m2", "b a a", replaces=True)], ["m0 m1 m1"],
          waiting("m0", "m1", stats={"published": 2, "duplicates": 1}, unique={"a": "m1", "b": "m0"},
                  extras=entries(m0="b", m1="a")), beside_after={"bodies": {"m1": '"body of m2"'}}),
    scene("the first of one key without a replacement", queue(), [publish(1, "m0 m1 m2 m3", "b a a c")],
          ["m0 m1 m1 m3"],
          waiting("m0", "m1", "m3", stats={"published": 3, "duplicates": 1}, unique={"a": "m1", "b": "m0", "c": "m3"},
                  extras=entries(m0="b", m1="a", m3="c"))),
    scene("in the place of two, with what they had saved gone, and noted",
          queue(waiting=("m0", "m1"), unique={"a": "m1", "b": "m2"}, due=("m2",),
                extras={"history": "1", "m1": '{"unique":"a","until":"started"}', **entries(m2="b")}),
          [publish(1, "m3 m4", "a b", replaces=True, delay_ms=60_000)], ["m1 m2"],
          queue(waiting=("m0", "m1"), delayed=("m2",), unique={"a": "m1", "b": "m2"}, wake=True,
                stats={"duplicates": 2}, extras={"history": "1", **entries(m1="a", m2="b")}),
          beside=ALL, beside_after={
              **LEFT, "bodies": {"m1": '"body of m3"', "m2": '"body of m4"'},
              "history": {"m1": (event("replaced"),), "m2": (event("replaced", due=LATER_TIME),)}}),
    scene("with the retry count of the queue instead of its own", queue(waiting=("m1",), retry="2", **ONE),
          [publish(1, "m2", "a", replaces=True)], ["m1"],
          queue(waiting=("m1",), retry="2", attempts={"m1": "2 0 0 0"}, stats={"duplicates": 1}, **ONE),
          beside_after={"bodies": {"m1": '"body of m2"'}}),
    scene("for the first time, which no history notes", queue(extras={"history": "1"}),
          [publish(1, "m1", "a", replaces=True)], ["m1"],
          waiting("m1", unique={"a": "m1"}, extras={"history": "1", **entries(m1="a")})),
    scene("sealed for the message that is replaced", queue(waiting=("m1",), **ONE),
          [reply_to(1, "m2", "a", replaces=True, is_sealed=True), sealed(1, "m2", "a")], [[2, 0, [b"m1"]], "m1"],
          queue(waiting=("m1",), stats={"duplicates": 1}, **ONE),
          beside_after={"bodies": {"m1": '"body of m2" for m1'}}),
    scene("sealed for messages that are new", queue(), [sealed(1, "m1 m2", "a b")], ["m1 m2"],
          waiting("m1", "m2", unique={"a": "m1", "b": "m2"}, extras=entries(m1="a", m2="b")),
          beside_after={"bodies": {"m1": '"body of m1" for m1', "m2": '"body of m2" for m2'}}),
]  # fmt: skip


def throttled(sentence: str, call: Call, returns: str, after: Containers, before: Any = (), **ids: str) -> Move:
    """`before` and `ids`: key -> id; `x` before an id means that its time is over."""

    def beside(owners: Any) -> Any:
        times = {key: PAST_TIME if name[0] == "x" else LATER_TIME for key, name in owners.items()}
        return {"throttled": owners, "throttles": times} if owners else {}

    return scene(sentence, queue(), [call], [returns], after, beside=beside(dict(before)), beside_after=beside(ids))


OVER = {f"k{number:02}": f"x{number:02}" for number in range(13)}
THROTTLED = [
    throttled("for a minute", publish(1, "m1 m2", "a b", **MINUTE), "m1 m2", waiting("m1", "m2"), a="m1", b="m2"),
    throttled("nothing within the minute", publish(1, "m1", "a", **MINUTE), "m9", queue(stats={"duplicates": 1}),
              {"a": "m9"}, a="m9"),
    throttled("after the minute", publish(1, "m1", "a", **MINUTE), "m1", waiting("m1"), {"a": "x9"}, a="m1"),
    throttled("no message without a key", publish(1, "m1", "-", **MINUTE), "m1", waiting("m1")),
    throttled("with another key, and forgets one whose time is over", publish(1, "m1", "a", **MINUTE), "m1",
              waiting("m1"), {"b": "x9"}, a="m1"),
    throttled("with another key, and forgets twelve whose time is over", publish(1, "m1", "a", **MINUTE), "m1",
              waiting("m1"), OVER, a="m1", k12="x12"),
    throttled("for less than what is there", publish(1, "m1", "a", **MINUTE), "m1", waiting("m1"),
              {"b": "m9"}, a="m1", b="m9"),
    scene("for a minute although only the time of the key is known", queue(), [publish(1, "m1", "a", **MINUTE)],
          ["m1"], waiting("m1"), beside={"throttles": {"a": LATER_TIME}},
          beside_after={"throttles": {"a": LATER_TIME}, "throttled": {"a": "m1"}}),
    scene("nothing for a minute if the times have the wrong type", queue(),
          [spoilt(K.throttles, publish(1, "m1", "a", **MINUTE))], [WRONG], queue()),
    scene("without a look at times that it does not need", queue(), [spoilt(K.throttles, publish(1, "m1", "a"))],
          ["m1"], waiting("m1", **ONE)),
]  # fmt: skip
UNDONE = [
    undone("with a priority", K.attempts, publish(2, "m1", priority=5)),
    undone("also with a priority", K.prioritized, publish(2, "m1", priority=5)),
    undone("with a retry count", K.attempts, publish(2, "m1"), retry="2", after={"attempts": {"m0": "2 0 0 0"}}),
    undone("delayed", K.delayed, publish(2, "m1", delay_ms=1)),
    undone("replaced", K.attempts, publish(2, "m2", "a", replaces=True), waits=("m1",), attempts={"m1": "1 0 0 0"},
           **ONE),
    undone("for a minute", K.waiting, publish(2, "m1", "a", **MINUTE)),
    undone("dropping others", K.attempts, publish(2, "m1"), options={"max_length": "1", "when_full": "drop-oldest"}),
    undone("nobody can be woken", K.wake, publish(2, "m1", "a")),
    undone("no key can be noted", K.extras, publish(2, "m1", "a")),
    undone("nor for one of two", K.extras, publish(2, "m1 m2", "a a"), stats={"duplicates": 0}),
    undone("with keys", K.messages, publish(2, "m1 m2", "a b")),
    undone("one of three has no key of its own", K.messages, publish(2, "m1 m2 m3", "a a b"), stats={"duplicates": 0}),
    scene("nothing at first if waiting has the wrong type", queue(), [spoilt(K.waiting, publish(1, "m1"))], [WRONG],
          queue()),
    scene("later as due at once if waiting has the wrong type", queue(),
          [publish(1, "m1"), spoilt(K.waiting, publish(2, "m2 m3"))], ["m1", "m2 m3"],
          queue(waiting=("m1",), due=("m2", "m3"), wake=True, stats={"published": 3})),
    *(
        scene(f"later without a look at {key.rpartition(':')[2]}", queue(),
              [publish(1, "m1"), spoilt(key, publish(2, "m2"))], ["m1", "m2"], waiting("m1", "m2"))
        for key in (K.attempts, K.prioritized, K.delayed)
    ),
]  # fmt: skip
ROWS = [*REQUESTS, *PLACES, *MEETING, *REPLACING, *THROTTLED, *UNDONE]
