"""Operations: their requests get the replies of a real server, and its refusals are raised at the request."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.operations import Operation, Script, Together, command
from bizzmq.errors import WrongTypeError
from bizzmq.testing.layout import Keys

STATS = Keys("q").stats


def test_each_request_gets_its_own_reply(broker: Broker, redis: Redis) -> None:
    redis.hset(STATS, "written_off", "3")

    def read() -> Operation[list[object]]:
        one = yield command("HGET", STATS, "written_off")
        done = yield Script("write_off", ([STATS], [3, 4]))
        both = yield Together([("HGET", STATS, "written_off"), ("HLEN", STATS)])
        return [one, done, both]

    assert broker.perform(read()) == [b"3", 1, [b"4", 3]]


def test_a_refusal_is_raised_at_its_request(broker: Broker, redis: Redis) -> None:
    redis.set(STATS, "a text")

    def read() -> Operation[str]:
        try:
            yield command("HGET", STATS, "acked")
        except WrongTypeError as error:
            return error.found
        return "nothing was raised"

    assert broker.perform(read()) == "string"


def test_an_error_that_an_operation_does_not_catch_is_raised_to_the_caller(broker: Broker, redis: Redis) -> None:
    redis.set(STATS, "a text")

    def read() -> Operation[None]:
        yield command("HGET", STATS, "acked")

    with pytest.raises(WrongTypeError):
        broker.perform(read())


def test_an_operation_without_requests_has_a_result(broker: Broker) -> None:
    def nothing() -> Operation[int]:
        return 7
        yield  # makes it a generator

    assert broker.perform(nothing()) == 7
