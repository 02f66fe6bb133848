"""The explanation of a message: the first situation of a table that fits its facts, as one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple

from bizzmq.admin.explain import ended, stored, waiting
from bizzmq.admin.explain.ended import EXPIRED
from bizzmq.admin.explain.facts import Facts, read_facts
from bizzmq.admin.message_status import UNKNOWN
from bizzmq.admin.stored_message import StoredMessage
from bizzmq.broker.operations import Operation
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import Ending
from bizzmq.utils import logs


class Situation(NamedTuple):
    """A situation that a message can be in.

    Attributes:
        name: for programs: it stays, while sentences may change.
        sentence: the sentence for some facts; "" if they are not in this situation.
    """

    name: str
    sentence: Callable[[Facts], str]


SITUATIONS: Tuple[Situation, ...] = (
    Situation("no_queue", ended.no_queue),
    Situation("never_published", ended.never_published),
    Situation("ended", ended.ended),
    Situation("succeeded", ended.succeeded),
    Situation("discarded", ended.discarded),
    Situation("failed_and_deleted", ended.failed_and_deleted),
    Situation("cancelled", ended.cancelled),
    Situation("expired", ended.expired),
    Situation("quarantined", ended.quarantined),
    Situation("dead_lettered", ended.dead_lettered),
    Situation("being_cancelled", stored.being_cancelled),
    Situation("held_by_silent_host", stored.held_by_silent_host),
    Situation("held_by_draining_pool", stored.held_by_draining_pool),
    Situation("running", stored.running),
    Situation("claimed", stored.claimed),
    Situation("newer_version", stored.newer_version),
    Situation("unknown_task", stored.unknown_task),
    Situation("delayed_by_retry", stored.delayed_by_retry),
    Situation("delayed_by_publisher", stored.delayed_by_publisher),
    Situation("paused", waiting.paused),
    Situation("no_worker", waiting.no_worker),
    Situation("pools_paused", waiting.pools_paused),
    Situation("pools_draining", waiting.pools_draining),
    Situation("pools_closed", waiting.pools_closed),
    Situation("all_busy", waiting.all_busy),
    Situation("behind_others", waiting.behind_others),
    Situation("next", waiting.is_next),
)
"""In the order in which they are tried."""


_UNCLEAR = ("unclear", "what is stored of it fits no situation that this version knows: see bizzmq show")


@dataclass(frozen=True)
class Explanation:
    """Why a message is where it is, or what has become of it.

    Attributes:
        id: the message's id.
        queue: the name of its queue; "" if no queue is known.
        state: as in MessageStatus; `unknown` if nothing is known of it.
        situation: a name for programs, such as `all_busy` (see docs/guide/looking.md).
        sentence: one line for people. Its wording may change.
        facts: what the sentence was made from, ready for JSON: times in seconds, None for what is not known.
        message: the message as it is stored; None if it is not.
        ending: its kept result; None if it has none.
    """

    id: str
    queue: str
    state: str
    situation: str
    sentence: str
    facts: Mapping[str, Any]
    message: Optional[StoredMessage] = field(default=None, repr=False)
    ending: Optional[Ending] = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.sentence

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.id, "queue": self.queue, "state": self.state, "situation": self.situation,
            "sentence": self.sentence, "facts": dict(self.facts),
        }  # fmt: skip


def read_explanation(k: QueueKeys | None, message_id: bytes) -> Operation[Explanation]:
    """The explanation of a message of a queue, or of any queue.

    Raises:
        WrongTypeError, DecodeError: a queue cannot be searched, and no other one has the message.
    """
    return explained((yield from read_facts(k, message_id)))


def explained(facts: Facts) -> Explanation:
    """The explanation for some facts."""
    fitting = ((one.name, one.sentence(facts)) for one in SITUATIONS)
    name, sentence = next((found for found in fitting if found[1]), _UNCLEAR)
    state = facts.message.state if facts.message else facts.ending.state if facts.ending else UNKNOWN
    if facts.expired_for_s is not None:
        state = EXPIRED
    if facts.beside.schedule:
        sentence += f"; published by schedule {facts.beside.schedule}"
    return Explanation(
        facts.id, facts.queue, state, name, logs.escape(sentence), facts.as_dict(), facts.message, facts.ending
    )
