"""What a pool has to know of an app without importing it: its queues, and what its messages do at a limit.

A process that has imported the app makes it. The supervisor and the janitor, which run no user code, use it.
"""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from bizzmq.errors import CpuTimeExceeded, MemoryLimitExceeded, MessageTimeout
from bizzmq.failure_policy import NO_POLICY, FailurePolicy
from bizzmq.queue import QueueOptions
from bizzmq.schedules.schedule import Schedule, decode

_LIMITS = {limit.__name__: limit for limit in (CpuTimeExceeded, MemoryLimitExceeded, MessageTimeout)}
"""The errors of limits at which a worker is killed, and whose messages the janitor settles."""


@dataclass(frozen=True)
class TaskDescription:
    """A task, as data.

    Attributes:
        signature: its parameters and its result, as Python writes them.
        refused: the names of the limits after which its messages are not retried.
    The others are those of `App.task`. None stands for what is decided elsewhere; `retry_delays_s` is None, too, if it
    is a function.
    """

    name: str
    aliases: Sequence[str]
    queue: str
    version: int
    signature: str
    max_retries: Optional[int]
    timeout_s: Optional[float]
    result_ttl_s: float
    retry_delays_s: Optional[Sequence[float]]
    retry_for_s: Optional[float]
    refused: Sequence[str]

    def policy(self) -> FailurePolicy:
        """What its messages do when a worker was killed at a limit."""
        refused = tuple(_LIMITS[name] for name in self.refused if name in _LIMITS)
        return FailurePolicy(
            self.max_retries, self.timeout_s, None, refused or None, self.retry_delays_s or None, self.retry_for_s
        )


@dataclass(frozen=True)
class ScheduleDescription:
    """A schedule, as data. `definition` is what is stored of it, as text with one character for each byte."""

    name: str
    queue: str
    definition: str

    @classmethod
    def of(cls, schedule: Schedule) -> ScheduleDescription:
        return cls(schedule.name, schedule.queue, schedule.encode().decode("latin-1"))

    def schedule(self) -> Schedule:
        return decode(self.name, self.queue, self.definition.encode("latin-1"))


@dataclass(frozen=True)
class AppDescription:
    """An app, as data.

    Attributes:
        queues: its queues in declared order, each with its options as stored fields, or None if it declares none.
        max_retries, timeout_s: those of the app.
        redis_url: the address that its code names; "" if it names none. A secret.
        module: the module that makes it.
        schedules: its schedules.
    """

    queues: Mapping[str, Optional[Mapping[str, str]]]
    tasks: Sequence[TaskDescription]
    max_retries: Optional[int] = None
    timeout_s: Optional[float] = None
    redis_url: str = field(default="", repr=False)
    module: str = ""
    schedules: Sequence[ScheduleDescription] = ()

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> AppDescription:
        """From `as_data`, also after JSON."""
        tasks = [TaskDescription(**task) for task in data["tasks"]]
        schedules = [ScheduleDescription(**one) for one in data.get("schedules", ())]
        return cls(**{**data, "tasks": tasks, "schedules": schedules})

    def as_data(self) -> Dict[str, Any]:
        """The description as JSON takes it."""
        return asdict(self)

    def options_of(self, queue: str) -> Optional[QueueOptions]:
        """The options that the app declares for a queue, or None."""
        fields = self.queues.get(queue)
        return None if fields is None else QueueOptions.from_meta(fields)

    def schedules_of(self, queue: str) -> List[Schedule]:
        """The schedules that the app declares on a queue."""
        return [one.schedule() for one in self.schedules if one.queue == queue]

    @property
    def policy(self) -> FailurePolicy:
        """What the app says of all its messages."""
        return FailurePolicy(max_retries=self.max_retries, timeout_s=self.timeout_s)

    def policy_of(self, task: str) -> FailurePolicy:
        """What a task says of its messages; nothing if the app has no such task."""
        found = next((one for one in self.tasks if task == one.name or task in one.aliases), None)
        return NO_POLICY if found is None else found.policy()


def limits_refused_by(policy: FailurePolicy) -> Tuple[str, ...]:
    """The names of the limits after which a policy does not retry."""
    return tuple(name for name, limit in _LIMITS.items() if not policy.may_retry(limit.__new__(limit)))


def signature_of(function: Callable[..., Any], *, takes_context: bool) -> str:
    """The parameters that a caller gives and the result, as Python writes them."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[int(takes_context) :]
    try:
        return str(signature.replace(parameters=parameters))
    except Exception:  # noqa: BLE001 - a default's own repr may fail
        return "(...)"
