"""An error is the same after pickling or copying: process pools pickle the errors of their tasks."""

from __future__ import annotations

import copy
import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Iterator

import pytest

from bizzmq import BizzMQ, PayloadTooLargeError, errors
from bizzmq.connection import error_mapping
from bizzmq.connection.group_url import Node

MADE: dict[str, tuple[Any, ...]] = {
    "ConnectionLimitError": (10, 2.5), "NotConfirmedError": (["a", "b"], "replicas:1", 0),
    "WrongTypeError": ("text", "key", "queue", "hash", "list"), "QueueNotFoundError": ("q",),
    "PayloadTooLargeError": (2**21, 2**20), "LeaseLostError": ("q", "worker"), "RetryLater": (30, "busy"),
    "MessageTimeout": (1.5,), "CpuTimeExceeded": (2.5,), "SlotMovedError": ("MOVED", Node("h", 1)),
    "SlotMovingError": ("ASK", Node("h", 1)), "QueueInUseError": ("q", 1, 2, 0), "QueueFullError": ("q", 5),
    "MessageInUseError": ("m", "q", "w"),
    "HandlerFailedError": ("m", "ValueError", "text", "trace", "discarded", 3), "ResultTooLargeError": (2**21, 2**20),
}  # fmt: skip
KINDS = {
    name: kind
    for module in (errors, error_mapping)
    for name, kind in vars(module).items()
    if inspect.isclass(kind) and issubclass(kind, BaseException) and kind.__module__.startswith("bizzmq.")
}


class Own(errors.PayloadTooLargeError):
    """An error derived by a user, with other parameters than its base class."""

    def __init__(self, reason: str) -> None:
        super().__init__(1, 2)
        self.reason = reason


@pytest.mark.parametrize("name", sorted(KINDS))
def test_an_error_survives_pickling_and_copying(name: str) -> None:
    error = KINDS[name](*MADE.get(name, ("the text",)))
    error.published_ids = ["x"]

    for again in (*(pickle.loads(pickle.dumps(error, number)) for number in range(2, pickle.HIGHEST_PROTOCOL + 1)),
                  copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(copy.copy(error)))):  # fmt: skip
        assert type(again) is type(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_an_error_class_of_the_user_survives_too() -> None:
    again = pickle.loads(pickle.dumps(Own("because")))

    assert (type(again), again.reason, again.limit_bytes, str(again)) == (Own, "because", 2, str(Own("because")))


def publish_too_much(url: str) -> None:
    with BizzMQ(url) as mq:
        mq.publish_message_to_queue("q", "x" * 2**21)


def test_an_error_of_a_publish_in_a_process_pool_arrives(url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("q")

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        with pytest.raises(PayloadTooLargeError) as raised:
            executor.submit(publish_too_much, url).result(timeout=30)
        assert executor.submit(len, "abc").result(timeout=30) == 3

    assert raised.value.limit_bytes == 2**20
    assert raised.value.published_ids == []


class UnchangeableError(Exception):
    """An error of a user's code that permits no new attributes."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


def test_any_exception_that_leaves_a_publish_names_what_was_stored(mq: BizzMQ, queue: str) -> None:
    def bodies() -> Iterator[int]:
        yield 1
        raise UnchangeableError

    with pytest.raises(UnchangeableError) as raised:
        mq.publish_messages_to_queue("q", bodies())

    assert raised.value.published_ids == []
    assert errors.BizzMQError("elsewhere").published_ids == ()
