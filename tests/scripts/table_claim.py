"""Rows of claim: ack, promote, fill, return all."""

from __future__ import annotations

from typing import Any

from tests.scripts.containers import Containers
from tests.scripts.moves import Call, Move, claim_ids, held

EMPTY = held()


def claiming(want: int, *finished: str) -> Call:
    return lambda broker: claim_ids(broker, want, *finished)


def row(sentence: str, before: Containers, call: Call, returns: Any, after: Containers) -> Move:
    return Move("claim", sentence, before, call, returns, after)


ROWS = [
    row("nothing to run", EMPTY, claiming(5), [], EMPTY),
    row("the oldest first, and the marker for the rest", held(waiting=("m1", "m2", "m3")), claiming(2),
        ["m1", "m2"], held("m1", "m2", waiting=("m3",), wake=True)),
    row("no marker when nothing is left", held(waiting=("m1",)), claiming(5), ["m1"], held("m1")),
    row("higher priorities first, lower ones last",
        held(waiting=("m1", "m2"), prioritized={"low": -1, "high": 1, "top": 2**53, "last": -(2**53)}), claiming(9),
        ["top", "high", "m1", "m2", "low", "last"], held("top", "high", "m1", "m2", "low", "last")),
    row("a forged score of 0 after waiting messages",
        held(waiting=("m2",), prioritized={"m1": 0, "m3": -1}), claiming(9),
        ["m2", "m1", "m3"], held("m2", "m1", "m3", prioritized={})),
    row("equal priorities in the order in which they became waiting",
        held(prioritized={"m3": 5, "m1": 5, "m2": 5}), claiming(2),
        ["m3", "m1"], held("m3", "m1", prioritized={"m2": 5}, wake=True)),
    row("all held messages, even if it asks for fewer", held("m1", "m2", waiting=("m3",)), claiming(1), ["m1", "m2"],
        held("m1", "m2", waiting=("m3",), wake=True)),
    row("filled up to the number that it asks for", held("m1", waiting=("m2", "m3")), claiming(2), ["m1", "m2"],
        held("m1", "m2", waiting=("m3",), wake=True)),
    row("a fair share among the registered workers",
        held(workers={"w1": "s1", "w2": "s1", "w3": "s2"}, waiting=("m1", "m2", "m3", "m4")), claiming(4),
        ["m1", "m2"],
        held("m1", "m2", workers={"w1": "s1", "w2": "s1", "w3": "s2"}, waiting=("m3", "m4"), wake=True)),
    row("acks finished messages in order", held("m1", "m2", "m3", attempts={"m1": "1 0 0 0"}), claiming(0, "m1", "m2"),
        ["m3"], held("m3", stats={"acked": 2})),
    row("acks finished messages out of order", held("m1", "m2", "m3"), claiming(0, "m3", "m1"), ["m2"],
        held("m2", stats={"acked": 2})),
    row("acks finished messages out of order, with the last one where it would be in order", held("m1", "m2", "m3"),
        claiming(0, "m3", "m2"), ["m1"], held("m1", stats={"acked": 2})),
    row("acks only held messages of those that it has finished", held("m1", "m2"), claiming(0, "m0", "m1"), ["m2"],
        held("m2", stats={"acked": 1})),
    row("claims no more than it asks for, even of a high priority", held("m1", "m2", prioritized={"m3": 5, "m4": -5}),
        claiming(1), ["m1", "m2"], held("m1", "m2", prioritized={"m3": 5, "m4": -5}, wake=True)),
    row("acks one copy of a message that it holds twice, skips the other", held("m1", "m2", "m1"),
        claiming(0, "m2", "m1"), [],
        held(stats={"acked": 2, "missing": 1})),
    row("acks once a message that it reports twice", held("m1", "m2"), claiming(0, "m1", "m1"), ["m2"],
        held("m2", stats={"acked": 1})),
    row("lower priorities only", held(prioritized={"m1": -1, "m2": -2}), claiming(5), ["m1", "m2"], held("m1", "m2")),
    row("acks all and takes more", held("m1", waiting=("m2",), stats={"acked": 4}), claiming(1, "m1"), ["m2"],
        held("m2", stats={"acked": 5})),
    row("acks no message that another worker holds",
        held(workers={"w1": "s1", "w2": "s1"}, processing={"w2": ("m1",)}), claiming(0, "m1"), [],
        held(workers={"w1": "s1", "w2": "s1"}, processing={"w2": ("m1",)})),
    row("promotes due messages only", held(due=("m1", "m2"), delayed=("m3",)), claiming(1), ["m1"],
        held("m1", waiting=("m2",), delayed=("m3",), wake=True)),
    row("promotes behind waiting messages", held(waiting=("m0",), due=("m1",)), claiming(1), ["m0"],
        held("m0", waiting=("m1",), wake=True)),
    row("promotes to its priority", held(due=("m1",), waiting=("m0",), attempts={"m1": "0 0 0 7"}), claiming(1),
        ["m1"], held("m1", waiting=("m0",), attempts={"m1": "0 0 0 7"}, wake=True)),
    row("promotes behind others of its priority",
        held(due=("m1",), prioritized={"m2": 7, "m3": 7}, attempts={"m1": "0 0 0 7"}), claiming(1),
        ["m2"], held("m2", prioritized={"m3": 7, "m1": 7}, attempts={"m1": "0 0 0 7"}, wake=True)),
    row("keeps delayed messages", held(delayed=("m1",)), claiming(1), [], held(delayed=("m1",))),
    row("an id without an envelope is skipped and counted",
        held(waiting=("f", "m1"), forged=("f",), attempts={"f": "1 0 0 0"}), claiming(2), ["m1"],
        held("m1", stats={"missing": 1})),
    row("an id without an envelope is skipped among others", held(waiting=("m1", "f", "m2"), forged=("f",)),
        claiming(3), ["m1", "m2"], held("m1", "m2", stats={"missing": 1})),
    row("a held id without an envelope is skipped and counted, though nothing else is there",
        held("f", "m1", forged=("f",), attempts={"f": "1 0 0 0"}), claiming(0), ["m1"],
        held("m1", stats={"missing": 1})),
    row("promotes although it holds nothing of what it has finished", held(due=("m1",)), claiming(1, "m9"), ["m1"],
        held("m1")),
    Move("claim", "only an id without an envelope: the next call goes on",
         held(waiting=("f", "m1"), forged=("f",)), claiming(1), [],
         held(waiting=("m1",), wake=True, stats={"missing": 1}),
         again=["m1"], after_again=held("m1", wake=True, stats={"missing": 1})),
]  # fmt: skip
