"""The life cycle of a message as a table. Each Lua file names its edges, and a test compares both."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """The state of a message. A published message is in exactly one state."""

    NEW = "new"
    WAITING = "waiting"
    DELAYED = "delayed"
    PROCESSING = "processing"
    DEAD_LETTERED = "dead-lettered"
    PARKED = "parked"
    SUSPENDED = "suspended"
    GONE = "gone"
    UNPLACED = "unplaced"
    MISSING_BODY = "missing-body"
    DUPLICATE = "duplicate"


EDGES: dict[tuple[State, str], tuple[State, ...]] = {
    (State.NEW, "publish"): (State.WAITING, State.DELAYED),
    (State.NEW, "fire"): (State.WAITING, State.DELAYED),
    (State.DELAYED, "promote"): (State.WAITING,),
    (State.WAITING, "claim"): (State.PROCESSING,),
    (State.WAITING, "drop"): (State.GONE,),
    (State.DELAYED, "drop"): (State.GONE,),
    (State.WAITING, "expire"): (State.GONE, State.DEAD_LETTERED),
    (State.PROCESSING, "ack"): (State.GONE,),
    (State.PROCESSING, "retry"): (State.WAITING, State.DELAYED),
    (State.PROCESSING, "release"): (State.WAITING,),
    (State.PROCESSING, "release-prefetched"): (State.WAITING,),
    (State.PROCESSING, "requeue"): (State.WAITING,),
    (State.PROCESSING, "quarantine"): (State.DEAD_LETTERED, State.PARKED),
    (State.PROCESSING, "dead-letter"): (State.DEAD_LETTERED, State.PARKED),
    (State.PROCESSING, "discard"): (State.GONE,),
    (State.DEAD_LETTERED, "replay"): (State.WAITING,),
    (State.PARKED, "replay"): (State.WAITING,),
    (State.PROCESSING, "cancel"): (State.GONE,),
    (State.WAITING, "cancel"): (State.GONE,),
    (State.DELAYED, "cancel"): (State.GONE,),
    (State.PARKED, "cancel"): (State.GONE,),
    (State.WAITING, "suspend"): (State.SUSPENDED,),
    (State.SUSPENDED, "resume"): (State.WAITING,),
    (State.SUSPENDED, "cancel"): (State.GONE,),
    (State.SUSPENDED, "purge"): (State.GONE,),
    (State.WAITING, "purge"): (State.GONE,),
    (State.DELAYED, "purge"): (State.GONE,),
    (State.PARKED, "purge"): (State.GONE,),
    (State.DEAD_LETTERED, "expire"): (State.GONE,),
    (State.PARKED, "expire"): (State.GONE,),
}
"""The transitions of a message, and the states in which they can end.

A dead-lettered message is a waiting message of the dead-letter queue. Only there can it be parked, when that queue's
own handler could not handle it either.
"""

REPAIRS: dict[tuple[State, str], tuple[State, ...]] = {
    (State.UNPLACED, "requeue-unplaced"): (State.WAITING,),
    (State.MISSING_BODY, "drop-missing"): (State.GONE,),
    (State.DUPLICATE, "deduplicate"): (
        State.PROCESSING,
        State.WAITING,
        State.DELAYED,
        State.SUSPENDED,
        State.PARKED,
        State.DEAD_LETTERED,
        State.UNPLACED,
    ),
    (State.PROCESSING, "requeue-unregistered"): (State.WAITING,),
}
"""What `bizzmq audit --repair` does to damage from outside. Nothing else does these moves.

No transition leads to these states. An unplaced message is stored but in no list or set. With a missing body, an id is
in a list or set but not stored. A duplicate is in several locations, or stored both in a queue and in its dead-letter
queue; the latter may have no location at all, and is unplaced afterwards. `requeue_unregistered` is for the list of a
worker that is not registered.
"""
