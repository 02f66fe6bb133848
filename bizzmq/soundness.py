"""Whether a queue can be worked on at all: keys of the right types, and options that can be read."""

from __future__ import annotations

from bizzmq.broker import Broker
from bizzmq.errors import DecodeError, QueueNotFoundError
from bizzmq.foreign import CommandRefusedError
from bizzmq.keys import type_of


def faults(broker: Broker, queue: str) -> list[str]:
    """Why workers set this queue aside, a sentence each; empty for one that they can work on."""
    k = broker.keys(queue)
    names = [
        k.meta, k.messages, k.attempts, k.waiting, k.prioritized, k.delayed, k.parked, k.supervisors, k.workers,
        k.releases, k.wake, k.stats,
    ]  # fmt: skip
    try:
        kinds = [kind.decode() for kind in broker.look(*[("TYPE", name) for name in names])]
    except CommandRefusedError:
        kinds = []  # what cannot be asked is not known
    found = [
        f"key {name!r} is a {kind}, not a {type_of(name)}"
        for name, kind in zip(names, kinds)
        if kind not in ("none", type_of(name))
    ]
    if kinds[:1] == ["none"] and any(kind != "none" for kind in kinds[1:]):
        found.append(f"its options are gone: there is no key {k.meta!r}; a pool or create_queue makes it anew")
    if kinds[:1] in ([], ["hash"]):
        try:
            broker.options(queue)
        except DecodeError as error:
            found.append(str(error))
        except QueueNotFoundError:
            return found  # it has just been deleted
    return found
