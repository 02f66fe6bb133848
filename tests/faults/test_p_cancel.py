"""Cancels of running messages, while processes of the pool and the connection to Redis fail."""

from __future__ import annotations

import os
import signal
import time
from typing import Callable

import pytest

from bizzmq import BizzMQ
from bizzmq.broker import scripts
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.supervision.limit_handlers import ASYNC_HANDLER, CAUGHT, CLEANED, HANDLER
from tests.supervision.test_soft_limits import NEVER, events_of

HANG = {"do": "wait_for_file", "path": NEVER}


def started(scene: Scene, body: object = None, **options: object) -> str:
    """A message that runs and whose result is kept."""
    message = scene.publish_one(HANG if body is None else body, **{"result_ttl_s": 60, "retries": 3, **options})
    scene.ledger.wait_started(message)
    return message


def ends(scene: Scene, message: str, state: str = "cancelled") -> None:
    """Wait for the end of the message. It has left nothing behind, was not retried and is no dead letter."""
    eventually(lambda: scene.mq.status(QUEUE, message).state == state, PATIENCE_S, lambda: f"{message} to be {state}")
    stats = scene.mq.stats(QUEUE)
    assert (stats.unaccounted, stats.retried, stats.dead_lettered) == (0, 0, 0)
    assert (stats.cancelled, stats.acked) == ((1, 0) if state == "cancelled" else (0, 1))
    assert not scene.redis.exists("bizzmq:{q}:cancels", "bizzmq:{q}:extras")


@pytest.mark.parametrize("handler", [HANDLER, ASYNC_HANDLER])
@pytest.mark.parametrize("timeout_s", [None, 300.0])
def test_a_running_handler_is_interrupted_within_a_second(scene: Scene, handler: str, timeout_s: float | None) -> None:
    body = {"do": "await"} if handler == ASYNC_HANDLER else None
    pool = scene.pool("--timeout-grace=30", handler=handler, concurrency=1)
    message = started(scene, body, timeout_s=timeout_s)

    began_s = time.monotonic()
    assert scene.mq.cancel(message, by="ada")
    (caught,) = eventually(lambda: events_of(scene, CAUGHT, message), PATIENCE_S)
    took_s = time.monotonic() - began_s

    ends(scene, message)
    assert caught["error"] == "MessageCancelled"
    assert took_s < 20  # it takes half a second, and other tests use the same processors
    assert events_of(scene, CLEANED, message)
    assert "worker died" not in pool.log()
    log_says(pool, "message cancelled while it ran")
    scene.retire(pool)


@pytest.mark.parametrize("do", ["hold_gil", "hang"])
def test_a_handler_in_c_code_or_that_goes_on_is_killed_after_the_grace(scene: Scene, do: str) -> None:
    body = {"do": do, "then": "wait_for_lock"}
    pool = scene.pool("--timeout-grace=0.5", handler=HANDLER, concurrency=1)
    message = started(scene, body)

    assert scene.mq.cancel(message, by="ada")

    ends(scene, message)
    error = scene.mq.status(QUEUE, message).error
    assert error is not None
    assert error["by"] == "ada"
    log_says(pool, "message cancelled, its worker was killed")
    scene.publish_one({"do": "ok"})
    eventually(lambda: scene.mq.stats(QUEUE).acked == 1, PATIENCE_S)
    scene.retire(pool)


def test_a_handler_that_returns_has_succeeded(scene: Scene) -> None:
    pool = scene.pool("--timeout-grace=30", handler=HANDLER, concurrency=1)
    message = started(scene, {**HANG, "then": "return"})

    assert scene.mq.cancel(message)

    ends(scene, message, "succeeded")
    scene.retire(pool)


def test_what_a_worker_holds_behind_a_long_message_is_cancelled_before_it_runs(scene: Scene) -> None:
    pool = scene.pool("--prefetch=10", handler=HANDLER, concurrency=1)
    first, *behind = scene.publish(HANG, *[{"do": "ok"}] * 4)
    scene.ledger.wait_started(first)

    for message in (*behind, first):
        assert scene.mq.cancel(message)

    eventually(lambda: scene.mq.stats(QUEUE).cancelled == 5, PATIENCE_S)
    assert scene.mq.stats(QUEUE).unaccounted == 0
    assert [event.id for event in scene.ledger.starts()] == [first]
    scene.retire(pool)


def test_a_worker_that_dies_before_it_is_interrupted_ends_it(scene: Scene) -> None:
    """P1: the message does not run again."""
    pool = scene.pool(handler=HANDLER, concurrency=1)
    message = started(scene)
    worker = scene.ledger.wait_started(message).pid

    os.kill(pool.janitor_pid(), signal.SIGSTOP)
    assert scene.mq.cancel(message)
    os.kill(worker, signal.SIGKILL)
    os.kill(pool.janitor_pid(), signal.SIGCONT)

    ends(scene, message)
    assert len(scene.ledger.starts()) == 1
    scene.retire(pool)


def test_a_janitor_killed_between_request_and_signal(scene: Scene) -> None:
    pool = scene.pool(handler=HANDLER, concurrency=1)
    message = started(scene)

    janitor = pool.janitor_pid()
    os.kill(janitor, signal.SIGSTOP)
    assert scene.mq.cancel(message)
    os.kill(janitor, signal.SIGKILL)

    ends(scene, message)
    scene.retire(pool)


def test_a_supervisor_killed_before_it_signals(scene: Scene) -> None:
    pool = scene.pool("--timeout-grace=0.5", "--drain-timeout=60", handler=HANDLER, concurrency=1)
    message = started(scene, {"do": "hang", "then": "wait_for_lock"})

    os.kill(pool.supervisor_pid, signal.SIGKILL)
    assert scene.mq.cancel(message)

    ends(scene, message)
    eventually(lambda: not pool.living(), PATIENCE_S, "the pool to end")


def test_in_a_drain(scene: Scene) -> None:
    pool = scene.pool("--drain-timeout=60", "--timeout-grace=0.5", handler=HANDLER, concurrency=1)
    message = started(scene, {"do": "hold_gil"})

    pool.signal(signal.SIGTERM)
    log_says(pool, "draining")
    assert scene.mq.cancel(message)

    ends(scene, message)
    scene.gone(pool)


def test_at_the_end_of_a_drain(scene: Scene) -> None:
    """The kill at the end of the drain comes first: the message does not go back."""
    pool = scene.pool("--drain-timeout=1", "--timeout-grace=1", handler=HANDLER, concurrency=1)
    message = started(scene, {"do": "hold_gil"})

    assert scene.mq.cancel(message)
    pool.signal(signal.SIGTERM)

    ends(scene, message)
    scene.gone(pool)


def test_while_the_pool_cannot_reach_redis(scene: Scene, proxy_factory: Callable[[str], Proxy]) -> None:
    """R1, R12: the request waits in Redis until the pool is back."""
    link = proxy_factory(scene.url)
    pool = scene.pool("--lease=60", url=link.url, handler=HANDLER, concurrency=1)
    message = started(scene)

    link.refuse()
    link.cut()
    assert scene.mq.cancel(message)
    time.sleep(1)
    assert scene.mq.status(QUEUE, message).state == "processing"
    link.accept()

    ends(scene, message)
    scene.retire(pool)


@pytest.mark.parametrize("script", ["discard", "cancel"])
def test_a_lost_reply_changes_nothing(scene: Scene, proxy_factory: Callable[[str], Proxy], script: str) -> None:
    """R8."""
    link = proxy_factory(scene.url)
    pool = scene.pool(url=link.url, handler=HANDLER, concurrency=1)
    message = started(scene)
    with BizzMQ(link.url) as mq:
        swallowed = link.swallow_next_reply(scripts.load(script).digest.encode())
        assert mq.cancel(message)
        swallowed.wait()

    ends(scene, message)
    scene.retire(pool)
