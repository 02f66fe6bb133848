"""Checks that workers can use a queue: keys of the right types, and readable options."""

from __future__ import annotations

from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Operation, Together
from bizzmq.broker.queues import read_meta
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import DecodeError, QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys, type_of


def queue_problems(broker: Broker, queue: str) -> list[str]:
    """Reasons why workers set this queue aside, a sentence each. Empty if they can use it."""
    return broker.perform(find_problems(broker.keys(queue)))


def find_problems(k: QueueKeys) -> Operation[list[str]]:
    """The operation of `queue_problems`."""
    names = [
        k.meta, k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.parked, k.supervisors, k.workers,
        k.releases, k.wake, k.stats,
    ]  # fmt: skip
    try:
        replies = yield Together([("TYPE", name) for name in names])
        kinds = [kind.decode() for kind in replies]
    except CommandRefusedError:
        kinds = []  # this user may not run TYPE
    found = [
        f"key {name!r} is a {kind}, not a {type_of(name)}"
        for name, kind in zip(names, kinds)
        if kind not in ("none", type_of(name))
    ]
    if kinds[:1] == ["none"] and any(kind != "none" for kind in kinds[1:]):
        found.append(f"its options are missing: there is no key {k.meta!r}; a pool or create_queue creates it again")
    if kinds[:1] in ([], ["hash"]):
        try:
            yield from read_meta(k)
        except DecodeError as error:
            found.append(str(error))
        except QueueNotFoundError:
            return found  # it has just been deleted
    return found
