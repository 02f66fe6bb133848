"""Records: progress and checkpoints of messages that workers hold."""

from __future__ import annotations

from typing import Any

from bizzmq.broker.operations import Call
from bizzmq.broker.replies import check_lease
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.records import NO_OUTPUT, KeptOutput


class Records:
    """Transitions of what is recorded about running messages."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run
        self._connection = runner.connection

    def record(
        self,
        queue: str,
        worker: str,
        message_id: str,
        *,
        progress: bytes = b"",
        checkpoint: bytes = b"",
        number: int = 0,
        output: bytes = b"",
        kept_output: KeptOutput = NO_OUTPUT,
        profile: bytes = b"",
    ) -> bool:
        """Keep what is recorded of a message that a worker holds. Returns False if it does not hold it.

        Args:
            progress, checkpoint: JSON, or empty to keep what is there.
            number: of the checkpoint; higher than those of the worker's earlier ones.
            output: of its failed attempt; empty to keep what is there.
            kept_output: what is kept for some time, also after the end of the message.
            profile: samples of what it executes; empty to keep what is there.

        Raises:
            LeaseLostError: the worker is not registered.
        """
        k = self._keys(queue)
        call = record_call(k, worker, message_id, progress, checkpoint, number, output, kept_output, profile=profile)
        return record_result(self._run("record", call), queue, worker)

    def checkpoint(self, queue: str, message_id: str) -> bytes:
        """The checkpoint of a message as JSON; empty if there is none."""
        stored = self._connection.execute("HGET", self._keys(queue).checkpoints, message_id)
        return (stored or b"").partition(b"\n")[2]


def record_call(
    k: QueueKeys, worker: str, message_id: str, progress: bytes, checkpoint: bytes, number: int, output: bytes,
    kept_output: KeptOutput, *, profile: bytes,
) -> Call:  # fmt: skip
    kept = [output, kept_output.data, kept_output.ttl_ms, profile]
    return [k.workers, k.processing(worker), k.messages], [worker, message_id, progress, checkpoint, number, *kept]


def record_result(reply: Any, queue: str, worker: str) -> bool:
    """Whether the worker holds the message. Raises LeaseLostError."""
    return check_lease(reply, queue, worker) == 1
