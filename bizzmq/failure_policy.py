"""The failure policy of a task or an app: what its messages do when they fail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Callable, Optional, Sequence, Tuple, Type, Union

from bizzmq.validation import checks

ErrorTypes = Tuple[Type[BaseException], ...]
ErrorClasses = Union[Type[BaseException], Sequence[Type[BaseException]]]
RetryDelays = Union[Sequence[Union[float, timedelta]], Callable[[int, BaseException], Union[float, timedelta]]]
_OR_NONE = ", or None"


@dataclass(frozen=True)
class FailurePolicy:
    """What messages do when they fail. A field that is None is decided elsewhere.

    Attributes:
        max_retries: how often a message is retried after its first failure.
        timeout_s: the time limit of one delivery, seconds.
        retry_on: only these errors are retried, and those of their subclasses.
        dead_letter_on: these errors are never retried.
        retry_delays_s: the waits before the first, second, ... retry, seconds; the last one is repeated. Or a function
            that takes the number of retries so far and the error, and returns the wait.
        retry_for_s: a message is not retried any more once its age, counted from its publishing, is greater.

    Raises:
        ConfigurationError: a value is invalid.
    """

    max_retries: Optional[int] = None
    timeout_s: Optional[float] = None
    retry_on: Optional[ErrorTypes] = None
    dead_letter_on: Optional[ErrorTypes] = None
    retry_delays_s: Optional[RetryDelays] = None
    retry_for_s: Optional[float] = None

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            if getattr(self, name) is not None:
                checks.set_checked(self, name, check)

    def over(self, other: FailurePolicy) -> FailurePolicy:
        """This policy, with the other one's value for each field that is None here."""
        if other is NO_POLICY or other == NO_POLICY:
            return self
        return FailurePolicy(
            **{name: getattr(other, name) if getattr(self, name) is None else getattr(self, name) for name in _CHECKS}
        )

    def may_retry(self, error: BaseException) -> bool:
        """Whether the kind of this error allows a retry."""
        if self.dead_letter_on and isinstance(error, self.dead_letter_on):
            return False
        return self.retry_on is None or isinstance(error, self.retry_on)

    def delay_s(self, retry_count: int, error: BaseException) -> Optional[float]:
        """The wait before the next retry, seconds; None if this policy does not say.

        Raises:
            ConfigurationError: the function of the user returns something else than a time.
            Exception: the function of the user raises it.
        """
        delays = self.retry_delays_s
        if delays is None:
            return None
        if callable(delays):
            return checks.seconds("what retry_delays_s returns", delays(retry_count, error))
        found = delays[min(retry_count, len(delays) - 1)]
        assert isinstance(found, float)
        return found


def layered(task: FailurePolicy, queue: FailurePolicy, app: FailurePolicy, *, is_implicit: bool) -> FailurePolicy:
    """The policy of a message: what its task says, then its queue, then the app.

    Args:
        is_implicit: nobody has chosen the options of the queue, so that the app's come first.
    """
    return task.over(app.over(queue) if is_implicit else queue.over(app))


def _error_types(name: str, value: Any) -> ErrorTypes:
    given = (value,) if isinstance(value, type) else value
    types = checks.items(
        given, f"{name} must be an exception class, or several: {name}=(ConnectionError, TimeoutError)"
    )
    for one in types:
        if not isinstance(one, type) or not issubclass(one, BaseException):
            checks.refuse(f"each of {name}", "an exception class", one)
    return types


def _delays(name: str, value: Any) -> RetryDelays:
    if callable(value):
        function: RetryDelays = value
        return function
    given = checks.items(value, f"{name} must be a list of seconds, such as [1, 10, 60], or a function")
    return tuple(checks.seconds(f"each of {name}", one) for one in given)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "max_retries": lambda name, value: checks.integer(name, value, 0, otherwise=_OR_NONE),
    "timeout_s": lambda name, value: checks.seconds(name, value, above=True, otherwise=_OR_NONE),
    "retry_on": _error_types,
    "dead_letter_on": _error_types,
    "retry_delays_s": _delays,
    "retry_for_s": lambda name, value: checks.seconds(name, value, otherwise=_OR_NONE),
}
NO_POLICY = FailurePolicy()


def failure_policy(
    max_retries: Optional[int],
    timeout_s: Optional[checks.Seconds],
    retry_on: Optional[ErrorClasses],
    dead_letter_on: Optional[ErrorClasses],
    retry_delays_s: Optional[RetryDelays],
    retry_for_s: Optional[checks.Seconds],
) -> FailurePolicy:
    """A policy from what users pass. Raises ConfigurationError."""
    given: dict[str, Any] = {
        "max_retries": max_retries, "timeout_s": timeout_s, "retry_on": retry_on, "dead_letter_on": dead_letter_on,
        "retry_delays_s": retry_delays_s, "retry_for_s": retry_for_s,
    }  # fmt: skip
    return FailurePolicy(**given)
