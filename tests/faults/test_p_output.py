"""P1, P2, P5, R3, R8 and R16 with output: that of a killed worker is kept, and never that of another message."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Callable

import pytest

from bizzmq import QueueOptions
from bizzmq.consumer import failpoints
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.conftest import Lose
from tests.faults.scene import PATIENCE_S, QUEUE, Scene
from tests.faults.writing_handler import HANDLER

OwnScene = Callable[..., "tuple[RedisServer, Scene]"]
DEAD = QueueOptions(config_dead_letter_queue=True, max_retries=0, history=True)


def texts(output: str) -> list[str]:
    """The lines without their times."""
    return [re.sub(r"^\S+Z ", "", line) for line in output.splitlines()]


def dead(scene: Scene, *ids: str) -> None:
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == len(ids), PATIENCE_S)


def test_the_output_of_a_killed_worker_is_with_its_dead_letter(scene: Scene) -> None:
    scene.mq.update_queue(QUEUE, DEAD)
    pool = scene.pool("--max-crashes=1", handler=HANDLER, concurrency=1)

    before, killed = scene.publish(
        {"lines": ["one of before"], "end": "error"}, {"lines": ["one", "two"], "warn": "x", "end": "kill"}
    )
    silent, after = scene.publish({"end": "kill"}, {"lines": ["three"]})

    dead(scene, before, killed, silent)
    assert texts(scene.mq.output(before)) == ["INFO    one of before"]
    assert texts(scene.mq.output(killed)) == ["INFO    one", "INFO    two", "WARNING shop.orders: warned of x"]
    assert scene.mq.output(silent) == scene.mq.output(after) == ""
    assert "INFO    one" in scene.mq.show_message(killed).output
    events = [entry.event for entry in scene.mq.history(killed).entries]
    assert events == ["published", "claimed", "dead_lettered"]
    assert "SIGKILL" in scene.mq.history(killed).entries[-1].why
    scene.mq.purge(f"{QUEUE}_dlq")
    assert not scene.redis.exists(QueueKeys(QUEUE).output, QueueKeys(QUEUE).history)
    scene.retire(pool, tracebacks=1)


def test_a_retry_shows_the_output_of_the_last_failure_until_its_end(scene: Scene) -> None:
    scene.mq.update_queue(QUEUE, {"retry_backoff_s": 60})
    pool = scene.pool(handler=HANDLER, concurrency=1)

    failed, kept = scene.publish({"lines": ["first"], "end": "error"}, {"lines": ["fine"]}, output_ttl_s=600)

    eventually(lambda: scene.mq.output(failed) and scene.mq.output(kept), PATIENCE_S, pool.log)
    assert texts(scene.mq.output(failed)) == ["INFO    first"]
    assert texts(scene.mq.output(kept)) == ["INFO    fine"]
    assert 0 < scene.redis.pttl(QueueKeys(QUEUE).result(kept) + ":output") <= 600_000
    scene.mq.delete(QUEUE, failed)
    assert not scene.redis.exists(QueueKeys(QUEUE).output)
    pool.kill_group()


def test_the_output_of_a_killed_worker_is_kept_for_its_time(scene: Scene) -> None:
    scene.mq.update_queue(QUEUE, DEAD)
    pool = scene.pool("--max-crashes=1", "--timeout-grace=0.1", handler=HANDLER, concurrency=1)

    (killed,) = scene.publish({"lines": ["one"], "end": "kill"}, output_ttl_s=600)
    dead(scene, killed)
    scene.mq.update_queue(QUEUE, {"config_dead_letter_queue": False})
    (stuck,) = scene.publish({"lines": ["two"], "end": "stuck"}, result_ttl_s=600, timeout_s=0.3)
    eventually(lambda: scene.mq.status(QUEUE, stuck).state == "discarded", PATIENCE_S, pool.log)

    scene.mq.purge(f"{QUEUE}_dlq")
    assert [texts(scene.mq.output(one)) for one in (killed, stuck)] == [["INFO    one"], ["INFO    two"]]
    assert not scene.redis.exists(QueueKeys(QUEUE).output)
    pool.kill_group()


def test_a_lost_supervisor_loses_no_output(scene: Scene) -> None:
    """P5: the janitor reads it once the orphan has ended."""
    pool = scene.pool("--lease=1", "--drain-timeout=1", handler=HANDLER, concurrency=1)
    (message_id,) = scene.publish({"lines": ["begun"], "sleep": 600})
    eventually(scene.held, PATIENCE_S, pool.log)
    eventually(lambda: "begun" in pool.log(), PATIENCE_S, pool.log)

    os.kill(pool.supervisor_pid, signal.SIGKILL)

    eventually(lambda: texts(scene.mq.output(message_id)) == ["INFO    begun"], PATIENCE_S, pool.log)


def test_output_waits_for_a_redis_that_is_away(own_scene: OwnScene) -> None:
    """R3: the worker dies while Redis is away, and what it has written is stored afterwards."""
    server, scene = own_scene(persistence="aof")
    scene.mq.update_queue(QUEUE, DEAD)
    pool = scene.pool("--max-crashes=1", handler=HANDLER, concurrency=1)
    (message_id,) = scene.publish({"lines": ["begun"], "sleep": 600})
    eventually(lambda: "begun" in pool.log(), PATIENCE_S, pool.log)
    (worker,) = pool.worker_pids()

    server.kill()
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: "worker died" in pool.log(), PATIENCE_S, pool.log)
    server.start()

    dead(scene, message_id)
    assert texts(scene.mq.output(message_id)) == ["INFO    begun"]
    pool.kill_group()


def test_a_full_redis_loses_output_and_no_message(own_scene: OwnScene) -> None:
    """R16."""
    server, scene = own_scene()
    scene.mq.update_queue(QUEUE, {**vars(DEAD), "history": True})
    pool = scene.pool(handler=HANDLER, concurrency=1)
    ids = scene.publish(*[{"lines": ["x" * 1000] * 60, "end": "error", "sleep": 0} for _ in range(5)])

    with server.client() as client:
        client.config_set("maxmemory", 1)
        dead(scene, *ids)
        client.config_set("maxmemory", 0)

    assert scene.mq.stats(QUEUE).unaccounted == 0
    pool.kill_group()


@pytest.mark.parametrize("step", failpoints.NAMES)
def test_a_kill_at_this_step_mixes_no_output(scene: Scene, tmp_path: Path, step: str) -> None:
    """P2: each message has its own lines, whether it has run once or twice."""
    fuse = tmp_path / "fuse"
    fuse.touch()
    pool = scene.pool(handler=HANDLER, concurrency=1, env={failpoints.VARIABLE: f"{step}:{fuse}"})

    ids = scene.publish(*[{"lines": [f"of {number}"]} for number in range(9)], output_ttl_s=600)

    eventually(lambda: scene.mq.stats(QUEUE).acked == len(ids), PATIENCE_S, pool.log)
    eventually(lambda: not fuse.exists(), PATIENCE_S, "the step to be reached")
    assert [texts(scene.mq.output(one)) for one in ids] == [[f"INFO    of {number}"] for number in range(9)]
    assert not scene.redis.exists(*QueueKeys(QUEUE).beside)
    scene.retire(pool)


@pytest.mark.parametrize("script", ["record", "requeue"])
def test_a_lost_reply_loses_no_output(scene: Scene, proxy: Proxy, lose: Lose, script: str) -> None:
    """R8."""
    scene.mq.update_queue(QUEUE, DEAD)
    pool = scene.pool("--max-crashes=1", url=proxy.url, handler=HANDLER, concurrency=1)
    lost = lose(script)

    end = "kill" if script == "requeue" else "error"
    ids = scene.publish(*[{"lines": [f"of {number}"], "end": end} for number in range(2)])

    lost.wait(PATIENCE_S)
    dead(scene, *ids)
    assert [texts(scene.mq.output(one)) for one in ids] == [[f"INFO    of {number}"] for number in range(2)]
    assert [entry.event for entry in scene.mq.history(ids[0]).entries][-1] == "dead_lettered"
    pool.kill_group()
