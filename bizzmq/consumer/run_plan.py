"""The run plan: how a message with properties is run, which its task, its queue and its header decide."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, NamedTuple, Optional

from bizzmq.broker.broker import Broker
from bizzmq.consumer.claims import Claimer
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.consumer.message_records import MessageRecords
from bizzmq.context import Context, message_of
from bizzmq.errors import MissingKeyError
from bizzmq.failure_policy import FailurePolicy
from bizzmq.message import Message
from bizzmq.properties import MessageProperties
from bizzmq.protocol.keys import is_dead_letter_queue
from bizzmq.queue import QueueOptions


class RunPlan(NamedTuple):
    """How to run a message with properties, which it keeps alive.

    Attributes:
        series: messages of the same series are measured together: those of a task, with the same key or none.
    """

    properties: MessageProperties
    series: str
    policy: FailurePolicy
    timeout_s: Optional[float]
    refusal: Optional[BaseException]
    run: Callable[[Any, Context], Any]


class RunPlanner:
    """Makes the plans for what one worker claims.

    Args:
        timeout_s: the time limit of a message that has none of its own; None for no limit.
    """

    def __init__(
        self, broker: Broker, handler: Handler, claimer: Claimer, records: MessageRecords, timeout_s: float | None
    ) -> None:
        self._broker = broker
        self._handler = handler
        self._claimer = claimer
        self._records = records
        self._timeout_s = timeout_s

    def plan(self, message: Message, properties: MessageProperties, options: QueueOptions) -> RunPlan:
        """The plan for a message, given the options of its queue."""
        handler = self._handler
        is_implicit = message.queue in self._claimer.options.implicit
        policy = handler.policy_of(properties, options, is_implicit=is_implicit)
        refusal: BaseException | None = handler.refusal_of(message)
        if refusal is not None and not (self.may_refuse(message.queue) or isinstance(refusal, MissingKeyError)):
            refusal = None
        keeps_result = properties.result_ttl_s and not is_dead_letter_queue(message.queue)
        run: Callable[..., Any] = handler.run_for_result if keeps_result else handler.run
        if properties.output_ttl_s:
            run = partial(self._run_and_keep_output, run, properties.output_ttl_s)
        series = f"{properties.task}\0{properties.key}" if properties.key else properties.task
        return RunPlan(properties, series, policy, policy.timeout_s or self._timeout_s, refusal, run)

    def may_refuse(self, queue: str) -> bool:
        """Whether messages of unknown tasks are left to others; a plain handler looks at all of a dead-letter queue."""
        return self._handler.has_tasks or not self._broker.keys(queue).is_dead_letter_queue

    def _run_and_keep_output(self, run: Callable[..., Any], ttl_s: float, body: Any, context: Context) -> Any:
        """Run a message whose output is kept, and store that before it counts as finished."""
        result = run(body, context)
        if not isinstance(result, BaseException):
            message = message_of(context)
            self._claimer.send(message.queue, partial(self._records.keep_output, message, context.delivery, ttl_s))
        return result
