"""A user of Redis that was created for an earlier version lacks commands: what needed none of them works as before."""

from __future__ import annotations

from typing import Callable, Iterator

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import Heartbeat
from tests.scripts.containers import Containers, look, put
from tests.scripts.moves import QUEUE, held
from tests.scripts.table_entering import publishing
from tests.support.features import need_acl

Without = Callable[[str], Broker]


@pytest.fixture
def without(redis: Redis, url: str, broker_factory: Callable[[str], Broker]) -> Iterator[Without]:
    """A broker whose user may not run a command."""
    need_acl(redis)

    def make(command: str) -> Broker:
        redis.execute_command(
            "ACL", "SETUSER", "older", "reset", "on", ">secret", "~*", "+@all", f"-{command}"
        )  # fmt: skip
        return broker_factory(url.replace("redis://", "redis://older:secret@"))

    yield make
    redis.execute_command("ACL", "DELUSER", "older")


def test_a_supervisor_beats_and_sees_no_schedules(redis: Redis, without: Without) -> None:
    put(redis, QUEUE, held(next_due={"nightly": 7}))

    assert without("exists").heartbeat(QUEUE, "s1") == Heartbeat(8, False)


def test_a_publisher_learns_the_retry_count_of_the_queue(redis: Redis, without: Without) -> None:
    put(redis, QUEUE, Containers(retry="2"))

    publishing("m1")(without("hmget"))

    assert look(redis, QUEUE).attempts == {"m1": "2 0 0 0"}


def test_a_batch_with_a_priority_keeps_its_order(redis: Redis, without: Without) -> None:
    put(redis, QUEUE, held())

    publishing("z", "y", "x", priority=5)(without("zrevrangebyscore"))

    assert redis.zrange("bizzmq:{q}:prioritized", 0, -1) == ["z", "y", "x"]
