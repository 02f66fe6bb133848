"""Retries while Redis is unavailable: what is repeated, what is raised, and when a stopping loop gives up."""

from __future__ import annotations

import logging
from typing import Callable, Iterator

import pytest

from bizzmq.connection.retry import Outage, RetryUntilDone, StoppedWhileUnavailable, retry
from bizzmq.errors import BrokerFullError, BrokerReplyError, BrokerUnavailableError
from bizzmq.utils.stop_event import StopEvent

LOGGER = logging.getLogger("bizzmq.test")


class Flaky:
    """An action that fails some times, and then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0

    def __call__(self) -> str:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.fixture
def stop() -> Iterator[StopEvent]:
    event = StopEvent()
    yield event
    event.close()


@pytest.fixture
def until_done(stop: StopEvent) -> Callable[..., RetryUntilDone]:
    def made(patience_s: float = 60.0) -> RetryUntilDone:
        return RetryUntilDone(LOGGER, "w", stop, lambda: stop.requested, patience_s, lambda: None)

    return made


def test_an_action_is_repeated_until_it_succeeds() -> None:
    action, waits = Flaky(BrokerUnavailableError("1"), BrokerFullError("2")), []
    outage = Outage(LOGGER, "w")

    def wait(error: Exception) -> None:
        waits.append((str(error), outage.failed(error) > 0))

    assert retry(action, outage, wait) == "done"
    assert waits == [("1", True), ("2", True)]
    assert not outage.lasts


def test_a_first_failure_is_waited_for_before_the_first_try() -> None:
    action, waits = Flaky(), []

    assert retry(action, Outage(LOGGER, "w"), waits.append, failed=BrokerUnavailableError("0")) == "done"
    assert [str(error) for error in waits] == ["0"]
    assert action.tries == 1


def test_an_error_that_repeating_does_not_cure_is_raised_at_once() -> None:
    action = Flaky(BrokerReplyError("wrong"))

    with pytest.raises(BrokerReplyError):
        retry(action, Outage(LOGGER, "w"), lambda _error: None)
    assert action.tries == 1


def test_who_waits_can_give_up() -> None:
    def give_up(error: Exception) -> None:
        raise error

    action = Flaky(BrokerUnavailableError("1"))

    with pytest.raises(BrokerUnavailableError, match="1"):
        retry(action, Outage(LOGGER, "w"), give_up)
    assert action.tries == 1


def test_a_running_loop_repeats_what_is_not_required_too(until_done: Callable[..., RetryUntilDone]) -> None:
    assert until_done()(Flaky(BrokerUnavailableError("1")), required=False) == "done"


def test_a_stopping_loop_repeats_only_what_is_required(
    until_done: Callable[..., RetryUntilDone], stop: StopEvent
) -> None:
    stop.request()

    assert until_done()(Flaky(BrokerUnavailableError("1"))) == "done"
    with pytest.raises(StoppedWhileUnavailable):
        until_done()(Flaky(BrokerUnavailableError("1")), required=False)


def test_a_stopping_loop_gives_up_after_its_patience(
    until_done: Callable[..., RetryUntilDone], stop: StopEvent
) -> None:
    stop.request()
    action = Flaky(*(BrokerUnavailableError(str(number)) for number in range(1000)))

    with pytest.raises(BrokerUnavailableError):
        until_done(patience_s=0.0)(action)
    assert action.tries < 5
