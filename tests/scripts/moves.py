"""A row of a script's table: contents before, call, result, contents after."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence, Type

from bizzmq.broker.broker import Broker
from bizzmq.errors import BizzMQError
from tests.scripts.beside import Beside
from tests.scripts.containers import NO_QUEUE, Containers, untimed

QUEUE, DEAD = "q", "q_dlq"
Call = Callable[[Broker], Any]


class _Same:
    """The repeated call returns the same as the first one."""


SAME = _Same()


@dataclass(frozen=True)
class Move:
    """A row of the table of `script`. `sentence` says what it shows.

    `again` is the result of the same call when it is repeated after a lost reply. `after_again` are the contents
    then, if they differ from `after`. `beside` and `beside_after` are what is beside the messages of the queue.
    """

    script: str
    sentence: str
    before: Containers
    call: Call
    returns: Any
    after: Containers
    before_dead: Containers = NO_QUEUE
    after_dead: Containers = NO_QUEUE
    again: Any = SAME
    after_again: Containers | None = None
    beside: Beside = field(default_factory=dict)
    beside_after: Beside = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.script}: {self.sentence}".replace(" ", "-")

    @property
    def returns_again(self) -> Any:
        return self.returns if self.again is SAME else self.again

    @property
    def without_reading(self) -> tuple[Call, Any]:
        """The call and its result, without what it reads afterwards: not each user of Redis may read all keys."""
        return self.call.alone(self.returns) if isinstance(self.call, Reading) else (self.call, self.returns)


class Reading:
    """A call, and a look at some keys with the same connection."""

    def __init__(self, call: Call, ends: Sequence[str]) -> None:
        self.call, self._ends = call, ends

    def alone(self, returns: Any) -> tuple[Call, Any]:
        """The call without the look, and its result, from what this returns."""
        return self.call, returns[0]

    def __call__(self, broker: Broker) -> Any:
        result = self.call(broker)
        return (result, *(_read(broker, broker.keys(QUEUE).base + end) for end in self._ends))


def reading(call: Call, *ends: str) -> Call:
    """As the call; its result, and what these keys of the queue hold then: see `Containers.others`."""
    return Reading(call, ends)


def _read(broker: Broker, key: str) -> Any:
    """A string or the fields of a hash, and in how many minutes it expires; None for a key that is not there."""
    execute, now_ms = broker.connection.execute, int(time.time() * 1000)
    kind, ttl_ms = execute("TYPE", key), execute("PTTL", key)
    minutes = None if ttl_ms < 0 else round(ttl_ms / 60_000)
    if kind == b"hash":
        fields = [untimed(one.decode(), now_ms) for one in execute("HGETALL", key)]
        return dict(zip(fields[::2], fields[1::2])), minutes
    return (untimed(execute("GET", key).decode(), now_ms), minutes) if kind == b"string" else None


def held(*ids: str, worker: str = "w1", **others: Any) -> Containers:
    """A queue in which the worker w1 of the supervisor s1 is registered and holds these ids."""
    processing = {worker: ids} if ids else {}
    given = {"workers": {"w1": "s1"}, "supervisors": {"s1": "7"}, "processing": processing, **others}
    return Containers(**given)


def raising(error: Type[BizzMQError], call: Call) -> Call:
    """Calls that must be refused: the result is the class of the error."""

    def tried(broker: Broker) -> Any:
        try:
            return call(broker)
        except error:
            return error

    return tried


def claim_ids(broker: Broker, want: int, *finished: str, queue: str = QUEUE, worker: str = "w1") -> list[str]:
    """Ids that a claim returns, as text."""
    return [entry[0].decode() for entry in broker.claim(queue, worker, want, finished).entries]


def outcome(broker: Broker, call: Call) -> Any:
    """What a call returns, or the name of the error that it raises."""
    try:
        return call(broker)
    except BizzMQError as error:
        return type(error).__name__


def in_turn(*calls: Call) -> Call:
    """The outcomes of some calls, one after the other."""
    return lambda broker: [outcome(broker, call) for call in calls]


def spoilt(key: str, call: Call) -> Call:
    """The outcome of a call while a key has the wrong type. The key has its value again then."""

    def meet(broker: Broker) -> Any:
        execute = broker.connection.execute
        is_there = execute("EXISTS", key) == 1
        if is_there:
            execute("RENAME", key, key + ":saved")
        execute("SET", key, "of the wrong type")
        found = outcome(broker, call)
        assert execute("GET", key) == b"of the wrong type"
        if is_there:
            execute("RENAME", key + ":saved", key)
        else:
            execute("DEL", key)
        return found

    return meet
