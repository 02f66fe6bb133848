"""Scenes of options, pauses, promotions and schedules."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from bizzmq.broker.broker import Broker
from bizzmq.broker.schedules import Fired
from bizzmq.protocol.keys import QueueKeys
from tests.scripts.beside import LATER as LATER_TIME
from tests.scripts.beside import PAST as PAST_TIME
from tests.scripts.beside import event
from tests.scripts.containers import NO_QUEUE, NOW, Containers
from tests.scripts.moves import DEAD, QUEUE, Call, Move, in_turn, spoilt
from tests.scripts.scenes_checked import later
from tests.scripts.table_checked import entries
from tests.scripts.table_entering import updating
from tests.scripts.table_leaving import promoting
from tests.scripts.table_pause import WHY
from tests.scripts.table_pause import pausing as pausing_part
from tests.scripts.table_schedules import (
    DROPS,
    FIRED,
    KEYED,
    LATER,
    SKIPPED,
    firing,
    firing_terms,
    occurrence,
    one,
)

K = QueueKeys(QUEUE)
NOTED = {"history": "1"}


def command(command: str, *args: str) -> Call:
    return lambda broker: broker.connection.execute(command, *args)


def changing(sentence: str, before: Containers, call: Call, returns: Any, after: Containers, **more: Any) -> Move:
    return Move("update", sentence, before, call, returns, after, **more)


UPDATE = [
    changing("histories from now on", Containers(), updating(retry="1", history="1"), ["0", None],
             Containers(retry="1", extras=NOTED)),
    changing("no histories any more", Containers(extras=NOTED), updating(history="0"), [None], Containers()),
    changing("not the histories of the queue with its dead letters", Containers(), updating(DEAD, history="1"), [None],
             Containers(), before_dead=Containers(), after_dead=Containers()),
    changing("nor against the histories of the queue", Containers(extras=NOTED), updating(DEAD, history="0"), [None],
             Containers(extras=NOTED), before_dead=Containers(), after_dead=Containers()),
    changing("nothing if histories cannot be marked", Containers(),
             spoilt(K.extras, updating(retry="1", history="1")), "WrongTypeError", Containers()),
    changing("other options without a look at histories", Containers(), spoilt(K.extras, updating(dead_letter="1")),
             [None], Containers()),
    changing("no histories although they cannot be unmarked", Containers(), spoilt(K.extras, updating(history="0")),
             [None], Containers()),
    changing("not without a queue", NO_QUEUE, in_turn(updating(retry="1")), ["QueueNotFoundError"], NO_QUEUE),
    changing("not another layout", Containers(options={"layout": "2"}), in_turn(updating(retry="1")), ["DecodeError"],
             Containers()),
    changing("a queue, which is implicit no more", Containers(options={"implicit": "1"}),
             in_turn(updating(retry="1"), command("HEXISTS", K.meta, "implicit")), [["0"], 0], Containers(retry="1")),
    changing("an option that has the new value of another one", Containers(retry="2"),
             updating(timeout_s="2", retry="3"), [None, "2"], Containers(retry="3")),
]  # fmt: skip
PROMOTE = [
    Move("promote", "and notes until when it was delayed", Containers(delayed=("m1",), extras=NOTED), promoting(), True,
         Containers(waiting=("m1",), wake=True, extras=NOTED),
         beside_after={"history": {"m1": (event("promoted", due=LATER_TIME),)}}),
    Move("promote", "not if nobody can be woken", Containers(delayed=("m1",)), spoilt(K.wake, promoting()),
         "WrongTypeError", Containers(delayed=("m1",))),
]  # fmt: skip


def has_end(broker: Broker) -> bool:
    return "until_ms" in json.loads(broker.connection.execute("HGET", K.pauses, "queue"))


PAUSE = [
    *(
        Move("pause", f"for {duration_ms} ms", Containers(), in_turn(pausing_part("queue", duration_ms), has_end),
             [None, duration_ms > 0], Containers(pauses={"queue": WHY}))
        for duration_ms in (0, 1)
    ),
    Move("pause", "not without a queue", NO_QUEUE, in_turn(pausing_part("queue")), ["QueueNotFoundError"], NO_QUEUE),
]  # fmt: skip


def fires(sentence: str, before: Containers, call: Call, after: Containers, *, outcome: Fired = Fired.FIRED,
          **more: Any) -> Move:  # fmt: skip
    return Move("fire", sentence, before, call, [outcome], after, **more)


def fired(**others: Any) -> Containers:
    usual = {"waiting": ("m1",), "wake": True, "stats": {"published": 1}, "fires": {"s": FIRED}}
    return replace(one(LATER, **usual), **others)


THROTTLED = {"throttled": {"a": "m1"}, "throttles": {"a": LATER_TIME}}
LATELY = {"throttled": {"a": "m9"}, "throttles": {"a": LATER_TIME}}
OWNED = {"extras": entries(m0="a"), "unique": {"a": "m0"}}
FIRE = [
    Move("fire", "not without a queue", NO_QUEUE, in_turn(firing(occurrence())), ["QueueNotFoundError"], NO_QUEUE),
    fires("as if never before, if the state goes on behind its counts", one(fires={"s": "500 500 m0 7 1x"}),
          firing(occurrence()), fired()),
    fires("without a limit although it would drop the oldest", one(options={"when_full": "drop-oldest"}),
          firing(occurrence()), fired(options={"when_full": "drop-oldest"})),
    fires("into a queue that has room", one(options={"max_length": "1"}), firing(occurrence()),
          fired(options={"max_length": "1"})),
    *(
        fires(f"without a look at {key.rpartition(':')[2]}", one(), spoilt(key, firing(occurrence())), fired())
        for key in (K.extras, K.unique)
    ),
    Move("fire", "two without a look at unique", one(),
         spoilt(K.unique, firing(occurrence(1000, 2000), occurrence(2000, LATER, name="m2"))), [Fired.FIRED] * 2,
         fired(waiting=("m1", "m2"), stats={"published": 2}, fires={"s": f"2000 {NOW} m2 2 0"})),
    *(
        Move("fire", f"two of which only the {which} has a key", one(),
             firing(occurrence(1000, 2000, terms=terms[0]), occurrence(2000, LATER, name="m2", terms=terms[1])),
             [Fired.FIRED] * 2,
             fired(waiting=("m1", "m2"), stats={"published": 2}, fires={"s": f"2000 {NOW} m2 2 0"},
                   unique={"a": owner}, extras=entries(**{owner: "a"})))
        for which, terms, owner in (
            ("first", ('{"unique":"a"}', ""), "m1"), ("last", ("", '{"unique":"a"}'), "m2"),
        )
    ),
    Move("fire", "nothing if it would drop others and cannot see what is beside them", one(options=DROPS),
         spoilt(K.extras, firing(occurrence())), "WrongTypeError", one(options=DROPS)),
    fires("for a minute", one(), firing_terms(unique="a", for_ms=60_000), fired(), beside_after=THROTTLED),
    fires("nothing within the minute", one(), firing_terms(unique="a", for_ms=60_000),
          one(LATER, stats={"duplicates": 1}, fires={"s": SKIPPED}), outcome=Fired.DUPLICATE, beside=LATELY,
          beside_after=LATELY),
    fires("after the minute", one(), firing_terms(unique="a", for_ms=60_000), fired(),
          beside={"throttled": {"a": "m9"}, "throttles": {"a": PAST_TIME}}, beside_after=THROTTLED),
    fires("for a minute if only the time of the key is known", one(), firing_terms(unique="a", for_ms=60_000), fired(),
          beside={"throttles": {"a": LATER_TIME}}, beside_after=THROTTLED),
    fires("until it is finished, whatever key was throttled", one(), firing_terms(unique="a"), fired(**KEYED),
          beside=LATELY, beside_after=LATELY),
    fires("for a minute, whatever message has the key", one(delayed=("m0",), **OWNED),
          firing_terms(unique="a", for_ms=60_000), fired(delayed=("m0",), **OWNED), beside_after=THROTTLED),
    fires("for a minute without a key, which means nothing", one(), firing_terms(for_ms=60_000), fired()),
    Move("fire", "with no entry if it needs none", one(),
         in_turn(firing_terms(unique="a", for_ms=60_000), command("EXISTS", K.extras)), [[Fired.FIRED], 0], fired(),
         beside_after=THROTTLED),
    fires("over a stale entry", one(extras={"m1": '{"x":1}'}), firing_terms(unique="a"), fired(**KEYED)),
    fires("nothing while a worker holds the message with its key",
          one(workers={"w1": "s1"}, processing={"w1": ("m0",)}, **OWNED), firing_terms(unique="a"),
          one(LATER, workers={"w1": "s1"}, processing={"w1": ("m0",)}, stats={"duplicates": 1}, fires={"s": SKIPPED},
              **OWNED), outcome=Fired.DUPLICATE),
    Move("fire", "delayed for a millisecond", one(), in_turn(firing(occurrence(delay_ms=1)), later),
         [[Fired.FIRED], None], fired(waiting=(), due=("m1",))),
    fires("not, and drops nothing of an overfull queue then", one(waiting=("m0", "m2"), options=DROPS),
          firing(occurrence(action="missed")), one(LATER, waiting=("m0", "m2"), options=DROPS, fires={"s": SKIPPED}),
          outcome=Fired.SKIPPED),
]  # fmt: skip
LOOK = [
    Move("read_headers", "all of an envelope without a header", Containers(unplaced=("m1",)),
         lambda broker: broker.read_headers(QUEUE, ["m1"]), [b"1"], Containers(unplaced=("m1",)),
         beside={"envelopes": {"m1": "1"}}, beside_after={"bodies": {"m1": ""}}),
]  # fmt: skip
ROWS = [*UPDATE, *PROMOTE, *PAUSE, *FIRE, *LOOK]
