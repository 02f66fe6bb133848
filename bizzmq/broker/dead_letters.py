"""Dead letters: read what failed without the bodies, and delete old ones."""

from __future__ import annotations

from typing import Any, Sequence

from bizzmq.broker.operations import Call
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.protocol.keys import QueueKeys


class DeadLetters:
    """Transitions of dead letters."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run

    def read_headers(self, queue: str, message_ids: Sequence[str | bytes]) -> list[bytes | None]:
        """The header lines of messages (at most 100) of a queue or shard; None for an id without a message."""
        return read_headers_result(self._run("read_headers", read_headers_call(self._keys(queue), message_ids)))

    def expire_dead_letters(self, queue: str, place: str, least: int, letters: Sequence[tuple[bytes, str]]) -> int:
        """Delete dead letters that are as they were read. Returns how many.

        Args:
            queue: a queue, its dead-letter queue, or the shard of one that has the dead letters.
            place: key of `waiting` or `parked` of the dead-letter queue.
            least: how many dead letters stay at least.
            letters: the id of each, the oldest first, at most 100, and the SHA1 of its header.
        """
        call = expire_dead_letters_call(self._keys(queue), place, least, letters)
        return expire_dead_letters_result(self._run("expire_dead_letters", call))


def read_headers_call(k: QueueKeys, message_ids: Sequence[str | bytes]) -> Call:
    return [k.messages], message_ids


def read_headers_result(reply: Any) -> list[bytes | None]:
    """The header line of each id; None for an id without a message."""
    return list(reply)


def expire_dead_letters_call(k: QueueKeys, place: str, least: int, letters: Sequence[tuple[bytes, str]]) -> Call:
    dead = k.dead_letters()
    return [place, dead.messages, dead.attempts, dead.stats], [least, *(part for letter in letters for part in letter)]


def expire_dead_letters_result(reply: Any) -> int:
    """Number of deleted dead letters."""
    return int(reply)
