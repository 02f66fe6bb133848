"""The names of all messages between the processes of a pool."""

from __future__ import annotations

from enum import Enum


class Op(Enum):
    """The name of a message in its channel."""

    HELLO = "hello"
    BOOTED = "booted"
    FAILED = "failed"
    RECYCLE = "recycle"
    HOLDING = "holding"
    GO = "go"
    LEAVE = "leave"

    IMPORTED = "imported"
    READY = "ready"
    UNSAFE = "unsafe"
    SPAWN = "spawn"
    SPAWNED = "spawned"

    REGISTER = "register"
    REGISTERED = "registered"
    ADOPT = "adopt"
    REQUEUE = "requeue"
    REQUEUED = "requeued"
    RECALL = "recall"
    LEFT = "left"
    ALIVE = "alive"
    UNUSABLE = "unusable"
    GAUGES = "gauges"
    LENGTHS = "lengths"
    CANCEL = "cancel"
    DESCRIBED = "described"
    ASK = "ask"
    ANSWER = "answer"
    SLOW = "slow"
    PROFILE = "profile"

    CHANGED = "changed"
