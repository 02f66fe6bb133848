"""One row of a script's table: what is there before, the call, what it returns, what is there after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from bizzmq.broker import Broker
from tests.scripts.containers import NO_QUEUE, Containers

QUEUE, DEAD = "q", "q_dlq"
Call = Callable[[Broker], Any]


class _Same:
    """The repeated call returns what the first one does."""


SAME = _Same()


@dataclass(frozen=True)
class Move:
    """A row of the table of `script`; `sentence` tells what is shown.

    `again` is what the same call returns when it is repeated because its reply was lost: "it was done
    before", where a script says so. `after_again` is what is there then, if not the same.
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

    def __str__(self) -> str:
        return f"{self.script}: {self.sentence}".replace(" ", "-")

    @property
    def returns_again(self) -> Any:
        return self.returns if self.again is SAME else self.again


def held(*ids: str, worker: str = "w1", **others: Any) -> Containers:
    """The worker w1 of the supervisor s1 is registered and holds these."""
    processing = {worker: ids} if ids else {}
    given = {"workers": {"w1": "s1"}, "supervisors": {"s1": "7"}, "processing": processing, **others}
    return Containers(**given)


def claim_ids(broker: Broker, want: int, *finished: str, queue: str = QUEUE, worker: str = "w1") -> list[str]:
    """The ids that a claim returns, as text."""
    return [entry[0].decode() for entry in broker.claim(queue, worker, want, finished).entries]
