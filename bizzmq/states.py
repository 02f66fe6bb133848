"""The life of a message as one table. Each Lua file names its edges; a test holds both together."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where a message is. Once published it is in exactly one of these places."""

    NEW = "new"
    WAITING = "waiting"
    DELAYED = "delayed"
    PROCESSING = "processing"
    DEAD_LETTERED = "dead-lettered"
    PARKED = "parked"
    GONE = "gone"
    STRAY = "stray"
    HOLLOW = "hollow"
    DOUBLED = "doubled"


EDGES: dict[tuple[State, str], tuple[State, ...]] = {
    (State.NEW, "publish"): (State.WAITING, State.DELAYED),
    (State.DELAYED, "promote"): (State.WAITING,),
    (State.WAITING, "claim"): (State.PROCESSING,),
    (State.PROCESSING, "ack"): (State.GONE,),
    (State.PROCESSING, "retry"): (State.WAITING, State.DELAYED),
    (State.PROCESSING, "release"): (State.WAITING,),
    (State.PROCESSING, "recall"): (State.WAITING,),
    (State.PROCESSING, "requeue"): (State.WAITING,),
    (State.PROCESSING, "quarantine"): (State.DEAD_LETTERED, State.PARKED),
    (State.PROCESSING, "dead-letter"): (State.DEAD_LETTERED, State.PARKED),
    (State.PROCESSING, "discard"): (State.GONE,),
    (State.DEAD_LETTERED, "replay"): (State.WAITING,),
    (State.PARKED, "replay"): (State.WAITING,),
    (State.WAITING, "purge"): (State.GONE,),
    (State.DELAYED, "purge"): (State.GONE,),
    (State.PARKED, "purge"): (State.GONE,),
}
"""What may happen to a message, and where it may be afterwards.

A dead-lettered message is a waiting message of the dead-letter queue. Only there can it be parked:
set aside because that queue's own handler could not handle it either.
"""

REPAIRS: dict[tuple[State, str], tuple[State, ...]] = {
    (State.STRAY, "restore"): (State.WAITING,),
    (State.HOLLOW, "drop"): (State.GONE,),
    (State.DOUBLED, "unify"): (
        State.PROCESSING,
        State.WAITING,
        State.DELAYED,
        State.PARKED,
        State.DEAD_LETTERED,
        State.STRAY,
    ),
    (State.PROCESSING, "reclaim"): (State.WAITING,),
}
"""What `bizzmq audit --repair` may do to what damage from outside has left, and nothing else does.

No transition leads to these states: stray is stored but in no place, hollow is an id in a place that is not stored,
doubled is in several places, or stored both in a queue and in its dead-letter queue; then it may have no place at all,
and is stray afterwards. `reclaim` is for a list whose worker is not registered.
"""
