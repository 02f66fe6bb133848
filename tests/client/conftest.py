"""What tests of a client share."""

from __future__ import annotations

import pytest

from bizzmq import BizzMQ, QueueOptions


@pytest.fixture(params=[1, 3], ids=["one", "sharded"])
def q(mq: BizzMQ, request: pytest.FixtureRequest) -> str:
    """A queue, and one with shards."""
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0, shards=request.param))
    return "q"
