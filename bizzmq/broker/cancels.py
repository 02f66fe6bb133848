"""Cancels: end messages as cancelled, and read which cancels are requested."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from bizzmq.broker.operations import Call
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.protocol.keys import QueueKeys

CANCEL_CHECK_S = 0.5
"""How often the cancels of running messages are read. A request reaches the handler within a second."""
CANCELS_UNREADABLE = "running messages cannot be cancelled here: the user of Redis may not read the requests"


class Cancelled(NamedTuple):
    """Result of a cancel.

    Attributes:
        ended: how many messages have ended as cancelled.
        requested: how many a worker holds: its supervisor has them ended.
    """

    ended: int
    requested: int


class Cancels:
    """Transitions that cancel messages."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run
        self._connection = runner.connection

    def cancel(
        self, queue: str, record: bytes, message_ids: Sequence[Any], *, are_held: bool = False, nonce: str = ""
    ) -> Cancelled:
        """Cancel some messages (at most 100); those that a worker holds, by a request.

        Args:
            record: who has cancelled them, when and why, JSON.
            are_held: workers hold them, so that no list is searched for them.
            nonce: of the caller. A repetition of its last call then returns the same, as after a lost reply.
        """
        call = cancel_call(self._keys(queue), record, message_ids, are_held=are_held, nonce=nonce)
        return cancel_result(self._run("cancel", call))

    def cancelled_among(self, queue: str, message_ids: Sequence[str]) -> list[str]:
        """Those of some messages whose cancel is requested."""
        records = self._connection.execute("HMGET", self._keys(queue).cancels, *message_ids)
        return [message_id for message_id, record in zip(message_ids, records) if record is not None]


def cancel_call(k: QueueKeys, record: bytes, message_ids: Sequence[Any], *, are_held: bool, nonce: str = "") -> Call:
    places = [k.waiting, k.prioritized, k.delayed, k.parked]
    how = "held" if are_held else "anywhere"
    return [*places, k.messages, k.attempts, k.stats], [record, how, nonce, *message_ids]


def cancel_result(reply: Any) -> Cancelled:
    ended, requested = reply
    return Cancelled(ended, requested)
