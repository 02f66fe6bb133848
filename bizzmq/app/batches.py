"""Messages of tasks in batches, each of which one request publishes."""

from __future__ import annotations

from typing import Any, Iterator, List, Sequence, Tuple

from bizzmq.app.task import R, TaskMessage


def alike(messages: Sequence[TaskMessage[R]]) -> Iterator[Tuple[TaskMessage[R], List[Any]]]:
    """Runs of messages that differ in their bodies only: the first one, and the bodies."""
    start = 0
    while start < len(messages):
        first, end = messages[start], start + 1
        while end < len(messages) and _is_alike(first, messages[end]):
            end += 1
        yield first, [message.body for message in messages[start:end]]
        start = end


def _is_alike(one: TaskMessage[Any], other: TaskMessage[Any]) -> bool:
    is_same = one.options is other.options or one.options == other.options
    return is_same and one.task is other.task and one.queue == other.queue
