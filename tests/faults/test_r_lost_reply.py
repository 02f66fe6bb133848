"""R8: Redis executes a request of a publisher or worker, and the reply is lost."""

from __future__ import annotations

import random
from typing import Any, Iterator

import pytest

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.testing import invariants
from bizzmq.testing.layout import envelope_of
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.wait import eventually, eventually_holds
from tests.faults.conftest import Lose
from tests.faults.load import load
from tests.faults.scene import PATIENCE_S, QUEUE, Scene


@pytest.fixture
def publisher(proxy: Proxy, scene: Scene) -> Iterator[BizzMQ]:
    """A publisher whose replies can be lost."""
    with BizzMQ(proxy.url) as mq:
        yield mq


@pytest.mark.usually(2)
@pytest.mark.parametrize("options", [{}, {"priority": 5}, {"delay_s": 0.05}], ids=str)
def test_a_lost_reply_to_publish_stores_each_message_once(
    scene: Scene, lose: Lose, publisher: BizzMQ, options: dict[str, Any]
) -> None:
    lost = lose("publish")

    ids = publisher.publish_messages_to_queue(QUEUE, [{"do": "ok"}] * 3, MessageOptions(**options))

    assert lost.happened.is_set()
    scene.ledger.record_published(*ids)
    scene.check_stored()
    assert len(set(ids)) == scene.totals()["published"] == 3
    pool = scene.pool()
    scene.settle()
    scene.retire(pool)


@pytest.mark.parametrize("nth", [1, 2], ids=["that starts", "that acks"])
def test_a_lost_reply_to_a_claim_runs_each_message_once(scene: Scene, proxy: Proxy, lose: Lose, nth: int) -> None:
    pool = scene.pool(url=proxy.url, concurrency=1)
    _wait_until_idle(scene)
    lost = lose("claim", nth)

    scene.publish(*[{"do": "ok"}] * 3)

    lost.wait(PATIENCE_S)
    scene.settle()
    assert scene.totals() == {"published": 3, "acked": 3}
    scene.retire(pool)


@pytest.mark.usually(2, every=2)
@pytest.mark.parametrize(
    ("script", "action", "counted"),
    [
        ("retry", "raise", {"retried": 1, "acked": 1}),
        ("retry", "retry_later", {"retried": 1, "acked": 1}),
        ("dead_letter", "reject", {"dead_lettered": 1}),
    ],
)
def test_a_lost_reply_to_a_settlement_settles_once(
    scene: Scene, proxy: Proxy, lose: Lose, script: str, action: str, counted: dict[str, int]
) -> None:
    pool = scene.pool(url=proxy.url)
    lost = lose(script)

    message = scene.publish_one({"do": action, "times": 1})

    lost.wait(PATIENCE_S)
    scene.settle(extra_runs=counted.get("retried", 0), dead_lettered=counted.get("dead_lettered", 0))
    assert scene.totals() == {"published": 1, **counted}
    if counted.get("dead_lettered"):
        assert envelope_of(scene.redis, f"{QUEUE}_dlq", message).error is not None
    scene.retire(pool, tracebacks=counted.get("dead_lettered", 0))


def test_a_lost_reply_to_a_discard_discards_once(scene: Scene, proxy: Proxy, lose: Lose) -> None:
    scene.mq.create_queue("bare", QueueOptions(config_dead_letter_queue=False))
    pool = scene.pool(url=proxy.url, queue="bare")
    lost = lose("discard")

    message = scene.mq.publish_message_to_queue("bare", {"do": "reject"})

    lost.wait(PATIENCE_S)
    eventually_holds(lambda: invariants.check_at_rest(scene.redis, "bare"), PATIENCE_S)
    assert len(scene.ledger.runs_of(message)) == 1
    assert scene.mq.stats("bare").discarded == 1
    scene.retire(pool, tracebacks=1)


def test_a_lost_reply_to_a_release_releases_once(scene: Scene, proxy: Proxy, lose: Lose) -> None:
    pool = scene.pool(url=proxy.url, concurrency=1, handler="tests.handlers:slow")
    lost = lose("release")

    # Fast messages make the worker claim many at once; it releases the ones that it holds behind a slow one.
    scene.publish(*[{"sleep_s": 0.05 if number % 50 == 40 else 0.0} for number in range(500)])

    lost.wait(PATIENCE_S)
    scene.settle()
    assert scene.totals() == {"published": 500, "acked": 500}
    handled = [event.id for event in scene.ledger.ends()]
    assert handled == sorted(handled), "released messages did not keep their order"
    scene.retire(pool)


def test_fifty_lost_replies_under_load_lose_and_duplicate_nothing(
    scene: Scene, proxy: Proxy, publisher: BizzMQ, rng: random.Random
) -> None:
    pool = scene.pool("--lease=2", url=proxy.url)
    bodies = [{"do": "ok"}, {"do": "sleep", "sleep_s": 0.004}, {"do": "raise", "times": 1}]

    with load(scene, *bodies, *bodies, mq=publisher):
        for _ in range(50):
            lost = proxy.swallow_reply(rng.randint(1, 8))
            lost.wait(PATIENCE_S)
            invariants.check_one_place(scene.redis, QUEUE)

    published = len(scene.ledger.published())
    scene.settle(extra_runs=published // 3)
    assert scene.totals() == {"published": published, "acked": published, "retried": published // 3}
    assert {event.fields["delivery"] for event in scene.ledger.starts()} == {1, 2}
    scene.retire(pool)


def _wait_until_idle(scene: Scene) -> None:
    eventually(lambda: any(client["cmd"] == "bzpopmin" for client in scene.redis.client_list()), PATIENCE_S)
