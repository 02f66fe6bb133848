"""What was published, and what was run, as values for the assertions of tests."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Optional, Tuple

from bizzmq.app.options import DEFAULTS, shown_message
from bizzmq.app.task import TaskMessage
from bizzmq.message import MessageOptions


@dataclass(frozen=True, eq=False, repr=False)
class PublishedMessage:
    """A message that was published while a test recorded.

    It is equal to another one, and to the `TaskMessage` that `Task.message` or `Task.using(...).message` returns, if
    task, arguments, queue and options are equal. Ids are not compared; headers are, if both have some, because
    middleware adds headers.

    Attributes:
        task: the name of the task; "" for a plain message.
        arguments: parameter name -> argument as JSON; the body of a plain message.
        queue: the name of the queue.
        options: the options of the message.
        id: the id of the message.
    """

    task: str
    arguments: Any
    queue: str
    options: MessageOptions = DEFAULTS
    id: str = ""

    __hash__ = None  # type: ignore[assignment]  # arguments are mutable

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (PublishedMessage, TaskMessage)):
            return NotImplemented
        return _content(self) == _content(other) and _is_same(self.options, other.options)

    def __repr__(self) -> str:
        return f"PublishedMessage({shown_message(self.task, self.arguments, self.queue, self.options)})"


@dataclass(frozen=True)
class Run:
    """One attempt of a message that ran in the process of a test. Ids and errors are not compared.

    Attributes:
        task: the name of the task.
        arguments: parameter name -> argument as JSON.
        state: what has become of the message: "succeeded"; "failed", then it is retried; "dead_lettered" or
            "discarded"; "waiting", if no task of the app has this name or version, or the attempt was interrupted.
        queue: the name of the queue.
        delivery: the number of the delivery, from 1.
        delay_s: the wait before the retry, seconds; None if there is none.
        id: the id of the message.
        error: the exception of the attempt, with its traceback; None if it succeeded.
    """

    task: str
    arguments: Any
    state: str
    queue: str
    delivery: int = 1
    delay_s: Optional[float] = None
    id: str = field(default="", compare=False)
    error: Optional[BaseException] = field(default=None, compare=False)

    @property
    def is_final_failure(self) -> bool:
        """Whether the message has failed for good."""
        return self.state in ("dead_lettered", "discarded")


def _content(message: Any) -> Tuple[str, Any, str]:
    if isinstance(message, TaskMessage):
        return message.task.name, message.body, message.queue
    return message.task, message.arguments, message.queue


def _is_same(options: MessageOptions, others: MessageOptions) -> bool:
    return all(
        getattr(options, one.name) == getattr(others, one.name)
        for one in fields(options)
        if one.name != "headers" or (options.headers and others.headers)
    )
