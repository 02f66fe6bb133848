"""Dead letters: read what failed without the bodies."""

from __future__ import annotations

from typing import Any, Sequence

from bizzmq.broker.operations import Call
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.protocol.keys import QueueKeys


class DeadLetters:
    """Reads of dead letters."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run

    def read_headers(self, queue: str, message_ids: Sequence[str | bytes]) -> list[bytes | None]:
        """The header lines of messages (at most 100) of a queue or shard; None for an id without a message."""
        return read_headers_result(self._run("read_headers", read_headers_call(self._keys(queue), message_ids)))


def read_headers_call(k: QueueKeys, message_ids: Sequence[str | bytes]) -> Call:
    return [k.messages], message_ids


def read_headers_result(reply: Any) -> list[bytes | None]:
    """The header line of each id; None for an id without a message."""
    return list(reply)
