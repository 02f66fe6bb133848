"""The options of a task: its failure policy, and the options of its messages."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Mapping

from bizzmq.failure_policy import NO_POLICY, FailurePolicy
from bizzmq.message import MessageOptions
from bizzmq.validation import checks

DEFAULTS = MessageOptions()


@dataclass(frozen=True)
class TaskOptions:
    """The options of a task, which live with the code of the worker, except those that its messages carry.

    Attributes:
        policy: what its messages do when they fail.
        priority: the priority of its messages.
        result_ttl_s: how long results are kept, seconds; 0 keeps none. Its messages carry it.
        more: further options of its messages, by name.
    """

    policy: FailurePolicy = NO_POLICY
    priority: int = 0
    result_ttl_s: float = 0.0
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        MessageOptions(priority=self.priority, **self.more)

    def message_options(self, **given: Any) -> MessageOptions:
        """The options of a message of this task. Raises ConfigurationError."""
        if "max_retries" in given:
            given["retries"] = checks.integer("max_retries", given.pop("max_retries"), 0)
        return MessageOptions(**{"priority": self.priority, "result_ttl_s": self.result_ttl_s, **self.more, **given})


def shown_message(task: str, arguments: Any, queue: str, options: MessageOptions) -> str:
    """A message for a diff: task, arguments, queue, and the options that differ from their defaults."""
    chosen = "".join(
        f", {one.name}={getattr(options, one.name)!r}"
        for one in fields(options)
        if getattr(options, one.name) != getattr(DEFAULTS, one.name)
    )
    return f"{task!r}, {arguments!r}, queue={queue!r}{chosen}"
