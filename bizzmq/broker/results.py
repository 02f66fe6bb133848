"""Results: ack messages together with what their handlers have returned, and read what has become of a message."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from bizzmq.broker.operations import Call
from bizzmq.broker.replies import as_bytes, check_lease
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import KeptResult

_NOTHING_KEPT = KeptResult(b"0", b"")


class Results:
    """Transitions that store a result."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run

    def finish(self, queue: str, worker: str, finished: Sequence[bytes], results: Mapping[bytes, KeptResult]) -> int:
        """Ack finished messages (oldest first, at most 100), and store their results. Returns how many it acked.

        Args:
            results: by id, of those messages that keep one.

        Raises:
            LeaseLostError: the worker is not registered.
        """
        call = finish_call(self._keys(queue), worker, finished, results)
        return finish_result(self._run("finish", call), queue, worker)


def finish_call(k: QueueKeys, worker: str, finished: Sequence[bytes], results: Mapping[bytes, KeptResult]) -> Call:
    key_names = [k.workers, k.processing(worker), k.messages, k.attempts, k.stats]
    prefix = k.result("").encode()
    arguments: list[Any] = [worker]
    for message_id in finished:
        arguments.append(message_id)
        arguments += results.get(message_id, _NOTHING_KEPT)
    return [*key_names, *[prefix + message_id for message_id in finished]], arguments


def finish_result(reply: Any, queue: str, worker: str) -> int:
    """How many were acked. Raises LeaseLostError."""
    return check_lease(reply, queue, worker)


def kept_arguments(k: QueueKeys, results: Mapping[str, KeptResult]) -> Call:
    """The keys and arguments by which a script stores some results."""
    arguments: list[Any] = []
    for message_id, kept in results.items():
        arguments += (message_id, *kept)
    return [k.result(message_id) for message_id in results], arguments


def result_key(k: QueueKeys, message_id: str | bytes) -> bytes:
    """The key of a result, also of a forged id."""
    name = message_id if isinstance(message_id, bytes) else as_bytes(message_id)
    return k.result("").encode() + name
