"""Pauses: of a queue, a task or a key, and what was put aside for them."""

from __future__ import annotations

from typing import Any, NamedTuple

from bizzmq.broker.operations import Call
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.errors import QueueNotFoundError
from bizzmq.protocol.keys import QueueKeys

FIRST_PAGE = "+inf"


class Resumed(NamedTuple):
    """Result of one page of a resume.

    Attributes:
        ended: whether a pause has ended.
        returned: how many messages are back in the queue.
        following: where the next page begins; "" at the end.
    """

    ended: bool
    returned: int
    following: str


class Pauses:
    """Transitions that pause and resume."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run
        self._connection = runner.connection

    def pause(self, queue: str, name: str, about: bytes, duration_ms: int) -> None:
        """Pause a part of a queue; 0 ms for no end. Raises QueueNotFoundError."""
        call = pause_call(self._keys(queue), name, about, duration_ms)
        pause_result(self._run("pause", call), queue)

    def resume(self, queue: str, name: str, page: str = FIRST_PAGE) -> Resumed:
        """End a pause, and return a page of what was put aside for it; "" for those whose time is over.

        Raises QueueNotFoundError.
        """
        return resume_result(self._run("resume", resume_call(self._keys(queue), name, page)), queue)

    def has_pauses(self, queue: str) -> bool:
        """Whether anything of a queue is paused, or put aside for a pause."""
        k = self._keys(queue)
        return bool(self._connection.execute("EXISTS", k.pauses) or self._connection.execute("ZCARD", k.suspended))


def pause_call(k: QueueKeys, name: str, about: bytes, duration_ms: int) -> Call:
    return [k.meta, k.pauses], [name, about, duration_ms]


def pause_result(reply: Any, queue: str) -> None:
    """Raises QueueNotFoundError."""
    if reply == -1:
        raise QueueNotFoundError(queue)


def resume_call(k: QueueKeys, name: str, page: str) -> Call:
    places = [k.suspended, k.waiting, k.prioritized]
    return [k.meta, k.pauses, *places, k.messages, k.attempts, k.wake, k.stats], [name, page]


def resume_result(reply: Any, queue: str) -> Resumed:
    """Raises QueueNotFoundError."""
    if reply[0] == -1:
        raise QueueNotFoundError(queue)
    ended, returned, following = reply
    return Resumed(bool(ended), returned, following.decode("ascii"))
