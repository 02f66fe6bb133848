"""Rows of publish_checked, and what claim, dead_letter and replay do with unique and expiring messages."""

from __future__ import annotations

import json
from typing import Any, Mapping, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.broker.checked_publish import CheckedRequest, Terms
from bizzmq.broker.workers import Requeued
from bizzmq.errors import UniqueKeyInUseError
from tests.scripts.beside import LATER as LATER_TIME
from tests.scripts.containers import LATER, PAST, Containers
from tests.scripts.moves import QUEUE, Call, Move, claim_ids, held
from tests.scripts.table_leaving import dead_lettering, gone, replaying, requeueing

KEEP_NONE = '{"error_type":"MessageExpired","error":"the message was not started in time","traceback":""}'
FULL = '{"error_type":"QueueFullError","error":"the queue was full, and newer messages came","traceback":""}'


def checking(*ids: str, keys: Sequence[str] = (), **terms: Any) -> Call:
    """Publish messages, all with the key `a` unless others are given."""
    names = keys or ["a"] * len(ids)
    envelopes = [b'1\n"body of %s"' % name.encode() for name in ids]
    chosen = Terms(**{"delay_ms": 0, "priority": 0, **terms})

    def call(broker: Broker) -> tuple[Sequence[str], int]:
        request = CheckedRequest(1, ids, names, envelopes)
        found = broker.publish_checked(QUEUE, "pub", request, chosen, None)
        return list(found.message_ids), found.dropped

    return call


def refused_replay(broker: Broker) -> str:
    try:
        replaying(broker)
    except UniqueKeyInUseError:
        return "refused"
    return "replayed"


def entries(**keys: str) -> Mapping[str, str]:
    """Entries of messages with these unique keys."""
    return {name: json.dumps({"unique": key}, separators=(",", ":")) for name, key in keys.items()}


def queue(**given: Any) -> Containers:
    return Containers(**given)


def row(sentence: str, before: Containers, call: Call, returns: Any, after: Containers, **more: Any) -> Move:
    return Move("publish_checked", sentence, before, call, returns, after, **more)


OF_M2 = {"bodies": {"m1": '"body of m2"'}}
ONE = {"extras": entries(m1="a"), "unique": {"a": "m1"}}
EXPIRED = {"extras": {"m1": '{"unique":"a",' + PAST + "}"}, "unique": {"a": "m1"}}
SUPERSEDED = '{"unique":"a","superseded":true}'
SUPERSEDED_EXPIRED = '{"unique":"a",' + PAST + ',"superseded":true}'
ONLY_ONE = {"max_length": "1", "when_full": "drop-oldest"}
THREE = {"max_length": "3", "when_full": "drop-oldest"}
HELD = {"workers": {"w1": "s1"}, "processing": {"w1": ("m1",)}, "supervisors": {"s1": "7"}}

ROWS = [
    row(
        "with their keys",
        queue(),
        checking("m1", "m2", keys=("a", "b")),
        (["m1", "m2"], 0),
        queue(
            waiting=("m1", "m2"),
            wake=True,
            stats={"published": 2},
            extras=entries(m1="a", m2="b"),
            unique={"a": "m1", "b": "m2"},
        ),
    ),
    row(
        "only the first of one key",
        queue(),
        checking("m1", "m2", "m3"),
        (["m1", "m1", "m1"], 0),
        queue(waiting=("m1",), wake=True, stats={"published": 1, "duplicates": 2}, **ONE),
    ),
    row(
        "not if another message has the key",
        queue(delayed=("m1",), **ONE),
        checking("m2"),
        (["m1"], 0),
        queue(delayed=("m1",), stats={"duplicates": 1}, **ONE),
    ),
    row(
        "not while a worker holds it",
        queue(**HELD, **ONE),
        checking("m2"),
        (["m1"], 0),
        queue(stats={"duplicates": 1}, **HELD, **ONE),
    ),
    row(
        "a key whose message has gone is free",
        queue(unique={"a": "m0"}),
        checking("m1"),
        (["m1"], 0),
        queue(waiting=("m1",), wake=True, stats={"published": 1}, **ONE),
    ),
    row(
        "a key whose message can only expire is free",
        queue(waiting=("m1",), **EXPIRED),
        checking("m2"),
        (["m2"], 0),
        queue(
            waiting=("m1", "m2"),
            wake=True,
            stats={"published": 1},
            unique={"a": "m2"},
            extras={"m1": SUPERSEDED_EXPIRED, **entries(m2="a")},
        ),
    ),
    row(
        "one that was started in time keeps its key",
        queue(**HELD, **EXPIRED),
        checking("m2"),
        (["m1"], 0),
        queue(stats={"duplicates": 1}, **HELD, **EXPIRED),
    ),
    row(
        "until they are started",
        queue(),
        checking("m1", kept_until="started"),
        (["m1"], 0),
        queue(
            waiting=("m1",),
            wake=True,
            stats={"published": 1},
            unique={"a": "m1"},
            extras={"m1": '{"unique":"a","until":"started"}'},
        ),
    ),
    row(
        "for a time",
        queue(),
        checking("m1", "m2", kept_until="60000"),
        (["m1", "m1"], 0),
        queue(waiting=("m1",), wake=True, stats={"published": 1, "duplicates": 1}),
        beside_after={"throttled": {"a": "m1"}, "throttles": {"a": LATER_TIME}},
    ),
    row(
        "with a time of expiry",
        queue(),
        checking("m1", keys=("",), expires_ms=60_000, delay_ms=50_000),
        (["m1"], 0),
        queue(delayed=("m1",), wake=True, stats={"published": 1}, extras={"m1": "{" + LATER + "}"}),
    ),
    row(
        "with a priority and the initial retry count",
        queue(retry="2"),
        checking("m1", priority=5),
        (["m1"], 0),
        queue(prioritized={"m1": 5}, attempts={"m1": "2 0 0 5"}, wake=True, stats={"published": 1}, retry="2", **ONE),
    ),
    row(
        "the last of one key",
        queue(),
        checking("m1", "m2", replaces=True),
        (["m1", "m1"], 0),
        queue(waiting=("m1",), wake=True, stats={"published": 1, "duplicates": 1}, **ONE),
        beside_after=OF_M2,
    ),
    row(
        "in the place of the one that waits, with new counts",
        queue(waiting=("m0", "m1", "m3"), attempts={"m1": "3 0 1 0"}, **ONE),
        checking("m2", replaces=True),
        (["m1"], 0),
        queue(waiting=("m0", "m1", "m3"), stats={"duplicates": 1}, **ONE),
        beside_after=OF_M2,
    ),
    row(
        "in the place of the one with a priority",
        queue(prioritized={"m1": 5}, attempts={"m1": "3 0 1 5"}, **ONE),
        checking("m2", replaces=True),
        (["m1"], 0),
        queue(prioritized={"m1": 5}, attempts={"m1": "0 0 0 5"}, stats={"duplicates": 1}, **ONE),
        beside_after=OF_M2,
    ),
    row(
        "later than the delayed one",
        queue(due=("m1",), **ONE),
        checking("m2", replaces=True, delay_ms=60_000),
        (["m1"], 0),
        queue(delayed=("m1",), wake=True, stats={"duplicates": 1}, **ONE),
        beside_after=OF_M2,
    ),
    row(
        "behind the one that a worker holds",
        queue(**HELD, **ONE),
        checking("m2", replaces=True),
        (["m2"], 0),
        queue(
            waiting=("m2",),
            wake=True,
            stats={"published": 1},
            extras={**entries(m2="a"), "m1": SUPERSEDED},
            unique={"a": "m2"},
            **HELD,
        ),
    ),
    row(
        "as many as fit",
        queue(waiting=("m0",), delayed=("m9",), options={"max_length": "4"}),
        checking("m1", "m2", keys=("", "")),
        (["m1", "m2"], 0),
        queue(
            waiting=("m0", "m1", "m2"), delayed=("m9",), wake=True, stats={"published": 2}, options={"max_length": "4"}
        ),
    ),
    row(
        "and drops the oldest, low priorities first",
        queue(
            waiting=("m1", "m2"),
            prioritized={"m3": 5, "m4": -5},
            delayed=("m5",),
            keeps=("m4",),
            attempts={"m4": "0 0 0 -5"},
            options={"max_length": "4", "when_full": "drop-oldest"},
        ),
        checking("m6", keys=("",)),
        (["m6"], 2),
        queue(
            waiting=("m2", "m6"),
            prioritized={"m3": 5},
            delayed=("m5",),
            wake=True,
            stats={"published": 1, "dropped": 2},
            results={"m4": f"discarded {FULL}"},
            options={"max_length": "4", "when_full": "drop-oldest"},
        ),
        again=(["m6"], 0),
    ),
    row(
        "and drops delayed ones if nothing else waits",
        queue(delayed=("m1", "m2"), options={"max_length": "2", "when_full": "drop-oldest"}),
        checking("m3", keys=("",), delay_ms=90_000),
        (["m3"], 1),
        queue(
            delayed=("m2", "m3"),
            wake=True,
            stats={"published": 1, "dropped": 1},
            options={"max_length": "2", "when_full": "drop-oldest"},
        ),
        again=(["m3"], 0),
    ),
    *(
        row(
            f"and drops {sentence}",
            queue(**before, options=ONLY_ONE),
            checking("m6", keys=("",), **terms),
            (["m6"], dropped),
            queue(**after, wake=True, stats={"published": 1, **counted}, options=ONLY_ONE),
            again=(["m6"], 0),
        )
        for sentence, before, terms, dropped, after, counted in (
            (
                "one of an absurd priority",
                {"prioritized": {"m2": -(2**60)}},
                {},
                1,
                {"waiting": ("m6",)},
                {"dropped": 1},
            ),
            (
                "one of a high priority before a delayed one",
                {"prioritized": {"m2": 5}},
                {"delay_ms": 90_000},
                1,
                {"delayed": ("m6",)},
                {"dropped": 1},
            ),
            (
                "an id without a message, which is missing",
                {"waiting": ("f",), "forged": ("f",)},
                {},
                1,
                {"waiting": ("m6",)},
                {"missing": 1},
            ),
            (
                "a message and an id without one",
                {"waiting": ("f", "m1"), "forged": ("f",)},
                {},
                2,
                {"waiting": ("m6",)},
                {"missing": 1, "dropped": 1},
            ),
        )
    ),
    row(
        "and drops one of priority -1 before those that wait",
        queue(waiting=("m1", "m2"), prioritized={"m3": -1}, options=THREE),
        checking("m6", keys=("",)),
        (["m6"], 1),
        queue(waiting=("m1", "m2", "m6"), wake=True, stats={"published": 1, "dropped": 1}, options=THREE),
        again=(["m6"], 0),
    ),
    row(
        "and drops the older ones of the lowest priority",
        queue(prioritized={"m1": -4, "m2": -5, "m3": -5, "m4": -5}, options=THREE),
        checking("m6", keys=("",)),
        (["m6"], 2),
        queue(
            waiting=("m6",),
            prioritized={"m1": -4, "m4": -5},
            wake=True,
            stats={"published": 1, "dropped": 2},
            options=THREE,
        ),
        again=(["m6"], 0),
    ),
    row(
        "and drops a unique one with its key",
        queue(waiting=("m1",), options={"max_length": "1", "when_full": "drop-oldest"}, **ONE),
        checking("m2", keys=("b",)),
        (["m2"], 1),
        queue(
            waiting=("m2",),
            wake=True,
            stats={"published": 1, "dropped": 1},
            extras=entries(m2="b"),
            unique={"b": "m2"},
            options={"max_length": "1", "when_full": "drop-oldest"},
        ),
        again=(["m2"], 0),
    ),
    Move(
        "claim",
        "ends what has expired",
        held(waiting=("m1", "m2"), keeps=("m1",), **EXPIRED),
        lambda broker: claim_ids(broker, 2),
        ["m2"],
        held("m2", stats={"expired": 1}, results={"m1": f"expired {KEEP_NONE}"}),
    ),
    Move(
        "claim",
        "dead-letters what has expired",
        held(waiting=("m1",), options={"dead_letter_expired": "1"}, **EXPIRED),
        lambda broker: claim_ids(broker, 2),
        [],
        held(stats={"dead_lettered": 1}, options={"dead_letter_expired": "1"}, extras=EXPIRED["extras"]),
        after_dead=Containers(waiting=("m1",), wake=True),
    ),
    Move(
        "claim",
        "frees the key of a message that has it until it is started",
        held(waiting=("m1",), unique={"a": "m1"}, extras={"m1": '{"unique":"a","until":"started"}'}),
        lambda broker: claim_ids(broker, 2),
        ["m1"],
        held("m1", extras={"m1": '{"unique":"a","until":"started"}'}),
    ),
    Move(
        "claim",
        "no more than it asks for, also of messages that have something beside them",
        held(waiting=("m1", "m2"), **ONE),
        lambda broker: claim_ids(broker, 1),
        ["m1"],
        held("m1", waiting=("m2",), wake=True, **ONE),
    ),
    Move(
        "claim",
        "leaves the key of a message that has it until it is finished",
        held(waiting=("m1",), **ONE),
        lambda broker: claim_ids(broker, 2),
        ["m1"],
        held("m1", **ONE),
    ),
    Move(
        "claim",
        "leaves a key that another message has by now",
        held(waiting=("m1",), unique={"a": "m2"}, extras={"m1": '{"unique":"a","until":"started"}'}),
        lambda broker: claim_ids(broker, 2),
        ["m1"],
        held("m1", unique={"a": "m2"}, extras={"m1": '{"unique":"a","until":"started"}'}),
    ),
    Move(
        "dead_letter",
        "its unique key is free then",
        held("m1", **ONE),
        dead_lettering(),
        True,
        held(stats={"dead_lettered": 1}, extras=ONE["extras"]),
        after_dead=Containers(waiting=("m1",), wake=True),
        again=False,
    ),
    Move(
        "requeue",
        "one that is discarded frees its unique key",
        held("m1", **ONE),
        requeueing("failed", running="m1", outcome="discard", record=b"{}"),
        Requeued(0, 0, "", 0),
        gone(stats={"discarded": 1}),
        again=None,
    ),
    Move(
        "replay",
        "with its unique key again, and without its time of expiry",
        queue(extras=EXPIRED["extras"]),
        replaying,
        True,
        queue(waiting=("m1",), wake=True, stats={"replayed": 1}, **ONE),
        before_dead=Containers(waiting=("m1",)),
        after_dead=Containers(),
        again=False,
    ),
    Move(
        "replay",
        "with the unique key that it had given to another message, which has gone",
        queue(extras={"m1": SUPERSEDED}),
        replaying,
        True,
        queue(waiting=("m1",), wake=True, stats={"replayed": 1}, **ONE),
        before_dead=Containers(waiting=("m1",)),
        after_dead=Containers(),
        again=False,
    ),
    Move(
        "replay",
        "with a key whose message has gone",
        queue(extras=ONE["extras"], unique={"a": "m0"}),
        replaying,
        True,
        queue(waiting=("m1",), wake=True, stats={"replayed": 1}, **ONE),
        before_dead=Containers(waiting=("m1",)),
        after_dead=Containers(),
        again=False,
    ),
    Move(
        "replay",
        "not if another message has its unique key",
        queue(waiting=("m2",), extras=entries(m1="a", m2="a"), unique={"a": "m2"}),
        refused_replay,
        "refused",
        queue(waiting=("m2",), extras=entries(m1="a", m2="a"), unique={"a": "m2"}),
        before_dead=Containers(waiting=("m1",)),
        after_dead=Containers(waiting=("m1",)),
    ),
]
