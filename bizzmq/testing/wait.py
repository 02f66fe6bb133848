"""Waits for conditions, never for time."""

from __future__ import annotations

import time
from typing import Callable, Tuple, Type, TypeVar, Union

T = TypeVar("T")
Description = Union[str, Callable[[], str]]

POLL_S = 0.005


def eventually(
    condition: Callable[[], T],
    timeout_s: float = 20.0,
    what: Description = "the condition",
    ignoring: Tuple[Type[BaseException], ...] = (),
) -> T:
    """Return the first true value of `condition`, polled every 5 ms.

    `what` completes the sentence "waited 20 s for ..."; a callable is called only on failure. Exceptions of the
    types in `ignoring` count as "not yet".

    Raises AssertionError with the description, the last value and the last ignored exception.
    """
    deadline_s = time.monotonic() + timeout_s
    value: object = None
    error: BaseException | None = None
    while True:
        try:
            outcome = condition()
            if outcome:
                return outcome
            value, error = outcome, None
        except ignoring as ignored:
            error = ignored
        if time.monotonic() >= deadline_s:
            break
        time.sleep(POLL_S)
    last = f"last error: {error!r}" if error is not None else f"last value: {value!r}"
    text = what() if callable(what) else what
    raise AssertionError(f"waited {timeout_s:g} s for {text}; {last}") from error


def eventually_holds(
    check: Callable[[], object],
    timeout_s: float = 20.0,
    what: Description = "the check to hold",
    ignoring: Tuple[Type[BaseException], ...] = (),
) -> None:
    """Repeat a check that raises AssertionError (as those in invariants.py do) until it passes."""

    def passes() -> bool:
        check()
        return True

    eventually(passes, timeout_s, what, (AssertionError, *ignoring))
