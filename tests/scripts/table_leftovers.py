"""Rows of find_leftovers and repair_leftovers."""

from __future__ import annotations

from typing import Any, Dict, Tuple

from tests.scripts.containers import Containers
from tests.scripts.moves import QUEUE, Call, Move

KEY_A, KEY_B = '{"unique":"a"}', '{"unique":"b"}'
STARTED, SUPERSEDED = '{"unique":"a","until":"started"}', '{"unique":"a","superseded":true}'
LEFT: Dict[str, Tuple[Dict[str, Any], str, Dict[str, Any]]] = {
    # a queue with m1 and d1, a dead letter; what is wrong with m1, m2, d1, d2, a, b; what the repair changes
    "an entry without a message": ({"extras": {"m2": KEY_A}}, "- gone - - - -", {"extras": {}}),
    "a request without a message": ({"cancels": {"m2": "{}"}}, "- gone - - - -", {"cancels": {}}),
    "an entry of a dead letter": ({"extras": {"d1": KEY_A}}, "- - - - - -", {}),
    "an entry of a dead letter that has gone": ({"extras": {"d2": KEY_A}}, "- - - gone - -", {"extras": {}}),
    "a message with its key": ({"extras": {"m1": KEY_A}, "unique": {"a": "m1"}}, "- - - - - -", {}),
    "a message without its key": ({"extras": {"m1": KEY_A}}, "keyless - - - - -", {"unique": {"a": "m1"}}),
    "a message whose key one that has gone has": (
        {"extras": {"m1": KEY_A}, "unique": {"a": "m2"}}, "keyless - - - stale -", {"unique": {"a": "m1"}}),
    "a message whose key a dead letter has": (
        {"extras": {"m1": KEY_A, "d1": KEY_A}, "unique": {"a": "d1"}}, "keyless - - - stale -",
        {"unique": {"a": "m1"}}),
    "a message that was started, without its key": ({"extras": {"m1": STARTED}}, "- - - - - -", {}),
    "a message that was not started, with its key": (
        {"extras": {"m1": STARTED}, "unique": {"a": "m1"}}, "- - - - - -", {}),
    "a message that has given up its key": ({"extras": {"m1": SUPERSEDED}}, "- - - - - -", {}),
    "an unreadable entry": ({"extras": {"m1": "{"}}, "- - - - - -", {}),
    "a key of a message that has another one": (
        {"extras": {"m1": KEY_B}, "unique": {"a": "m1", "b": "m1"}}, "- - - - stale -", {"unique": {"b": "m1"}}),
    "a key of a message without an entry": ({"unique": {"a": "m1"}}, "- - - - stale -", {"unique": {}}),
    "a key of a dead letter": ({"extras": {"d1": KEY_B}, "unique": {"b": "d1"}}, "- - - - - stale", {"unique": {}}),
    "something of a message without an entry": (
        {"beside": {"checkpoints": {"m1": "{}"}}}, "unlisted - - - - -", {}),
    "something of a message that has gone, without an entry": (
        {"beside": {"checkpoints": {"m2": "{}"}}}, "- gone - - - -", {}),
    "a unique key that is no text": ({"extras": {"m1": '{"unique":5}'}}, "- - - - - -", {}),
    "a request of a message": ({"cancels": {"m1": "{}"}}, "- - - - - -", {}),
}  # fmt: skip


def finding_leftovers(*ids: str, keys: tuple[str, ...] = ()) -> Call:
    return lambda broker: broker.find_leftovers(QUEUE, *names_of(ids, keys))


def repairing_leftovers(*ids: str, keys: tuple[str, ...] = ()) -> Call:
    return lambda broker: broker.repair_leftovers(QUEUE, *names_of(ids, keys))


def names_of(*groups: tuple[str, ...]) -> list[list[bytes]]:
    return [[name.encode() for name in names] for names in groups]


def leftovers() -> list[Move]:
    """Each row of LEFT for both scripts, on a queue with a message and a dead letter."""
    rows = []
    for sentence, (given, wrong, repaired) in LEFT.items():
        there, more = {"waiting": ("m1",), **given}, {"beside": given.get("beside", {})}
        there.pop("beside", None)
        before, after = Containers(**there), Containers(**{**there, **repaired})
        found = ["" if one == "-" else one for one in wrong.split()]
        both: Any = {"before_dead": Containers(waiting=("d1",)), "after_dead": Containers(waiting=("d1",)), **more}
        ids, keys = ("m1", "m2", "d1", "d2"), ("a", "b")
        find, mend = finding_leftovers(*ids, keys=keys), repairing_leftovers(*ids, keys=keys)
        count = 1 if "keyless" in found else sum(map(bool, found))  # with its key given back, that is not stale
        left = {} if "gone" in found else more["beside"]
        rows.append(Move("find_leftovers", sentence, before, find, found, before, beside_after=more["beside"], **both))
        rows.append(Move("repair_leftovers", sentence, before, mend, count, after, again=0, beside_after=left, **both))
    return rows


MARKED = Containers(extras={"history": "1"})
ROWS = [
    *leftovers(),
    Move(
        "find_leftovers", "the mark of a queue that keeps histories", MARKED, finding_leftovers("history"), [""], MARKED
    ),
]
