"""A copy of a release that the network kept for a while: the one late request that is not harmless."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.broker import Broker, Death
from tests.scripts.containers import look, put
from tests.scripts.moves import QUEUE, claim_ids, held


def test_a_late_release_gives_away_what_its_worker_has_claimed_again(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1", workers={"w1": "s1", "w2": "s1"}))
    broker.release(QUEUE, "w1", ["m1"])
    assert claim_ids(broker, 1) == ["m1"]

    broker.release(QUEUE, "w1", ["m1"])  # the copy

    assert claim_ids(broker, 1, worker="w2") == ["m1"]  # while w1 runs it: a duplicate


class Lost(AssertionError):  # noqa: N818 - nothing has erred: a promise is broken
    """A message is nowhere, though nobody has run it."""


@pytest.mark.xfail(
    raises=Lost, strict=True, reason="what was finished is claimed again, and passes for newer than the rest"
)
def test_a_late_release_loses_nothing(broker: Broker, redis: Redis) -> None:
    put(redis, QUEUE, held("m1"))
    broker.release(QUEUE, "w1", ["m1"])
    broker.publish(QUEUE, "pub", 1, 0, 0, ["m2", b"1\n2"])
    assert claim_ids(broker, 2) == ["m1", "m2"]

    # w1 has run m1, and has to give back m2.
    broker.release(QUEUE, "w1", ["m1"])  # the copy
    broker.release(QUEUE, "w1", ["m2"])
    assert claim_ids(broker, 2, "m1") == ["m2", "m1"]
    broker.requeue(QUEUE, "w1", Death("stopped", last_finished="m1"))  # it was killed before it began m2

    if "m2" not in look(redis, QUEUE).ids():
        raise Lost("m2")
