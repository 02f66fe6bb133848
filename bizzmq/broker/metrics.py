"""Metrics: the history of a queue, made from the reports of its pools."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence, Tuple

from bizzmq.broker.operations import Call
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.protocol.keys import QueueKeys

NO_USAGE = b"", b""


class QueueGauges(NamedTuple):
    """A queue, or a shard of one, at one moment.

    Attributes:
        at_ms: when, by Redis's clock.
        stored: all its messages.
        letters: the messages of its dead-letter queue.
        oldest_ms: how long ago the oldest of the messages that are next was published; 0 if none waits.
        suspended: the messages that are put aside, because their task or key is paused.
    """

    at_ms: int
    waiting: int
    delayed: int
    stored: int
    parked: int
    letters: int
    oldest_ms: int
    suspended: int = 0

    @property
    def processing(self) -> int:
        """The messages that workers hold."""
        return max(0, self.stored - self.waiting - self.delayed - self.parked - self.suspended)


class Metrics:
    """Transitions of the history of queues."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run

    def add_metrics(
        self, queue: str, supervisor: str, number: int, measured: bytes, start: bytes = b"",
        usage: Tuple[bytes, bytes] = NO_USAGE,
    ) -> QueueGauges | None:  # fmt: skip
        """Add a report to the history of a queue or shard, unless it has been added before.

        Args:
            number: higher than that of the supervisor's report before.
            measured: a chunk of one step; empty for nothing.
            start: with the first report: what the pool runs, JSON.
            usage: what the pool and its slots use, which replaces what was noted before; empty for nothing.

        Returns:
            The queue at this moment; None if it does not exist.
        """
        call = add_metrics_call(self._keys(queue), supervisor, number, measured, start, usage)
        return add_metrics_result(self._run("add_metrics", call))

    def roll_up_metrics(
        self, queue: str, version: bytes, new_version: bytes, chunks: Mapping[bytes, bytes], fields: Sequence[bytes]
    ) -> bool:
        """Set chunks and delete fields of a history. Returns False if its version is not `version`."""
        call = roll_up_metrics_call(self._keys(queue), version, new_version, chunks, fields)
        return roll_up_metrics_result(self._run("roll_up_metrics", call))


def add_metrics_call(
    k: QueueKeys, supervisor: str, number: int, measured: bytes, start: bytes, usage: Tuple[bytes, bytes]
) -> Call:
    lists = [k.waiting, k.prioritized, k.delayed, k.messages, k.parked, k.dead_letters().messages, k.suspended]
    return [k.meta, k.metrics, k.stats, *lists], [supervisor, number, measured, start, *usage]


def add_metrics_result(reply: Any) -> QueueGauges | None:
    """None if there is no such queue."""
    return QueueGauges(*reply) if reply else None


def roll_up_metrics_call(
    k: QueueKeys, version: bytes, new_version: bytes, chunks: Mapping[bytes, bytes], fields: Sequence[bytes]
) -> Call:
    given = [part for pair in chunks.items() for part in pair]
    return [k.metrics], [version, new_version, len(chunks), *given, *fields]


def roll_up_metrics_result(reply: Any) -> bool:
    """False if another roll-up came first."""
    return bool(reply == 1)
