"""The output of the commands: JSON logs, and never a password."""

from __future__ import annotations

import json
import signal
from typing import Callable

import pytest
from redis.exceptions import RedisError

from bizzmq.testing import invariants
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, Scene, log_says
from tests.pool.command import OPERATOR, refused

CANARY = "canary-8c1f0e"
FORGED = "first\n2026-01-01T00:00:00.000Z INFO    forged line\x1b[31m"
OwnScene = Callable[..., "tuple[RedisServer, Scene]"]


def test_json_logs_are_one_object_a_line(scene: Scene) -> None:
    pool = scene.pool("--log-format=json", "--log-level=debug")
    scene.publish({"do": "raise", "text": FORGED}, {"do": "return_error"}, {"do": "os_exit", "times": 1}, retries=0)
    scene.settle(dead_lettered=2, extra_runs=1)
    scene.retire(pool, tracebacks=2)

    entries = [json.loads(line) for line in pool.log().splitlines()]

    assert all(
        isinstance(entry, dict) and {"time", "level", "event", "logger", "pid"} <= set(entry) for entry in entries
    )
    assert {"pool started", "worker started", "worker ready", "worker died", "draining", "pool ended"} <= {
        entry["event"] for entry in entries
    }
    (failed,) = [entry for entry in entries if FORGED in entry.get("error", "")]
    assert "raise ActionError" in failed["traceback"]


def test_a_handlers_error_cannot_forge_a_text_log_line(scene: Scene) -> None:
    pool = scene.pool()
    scene.publish({"do": "raise", "text": FORGED}, retries=0)
    scene.settle(dead_lettered=1)
    scene.retire(pool, tracebacks=1)

    assert "\x1b" not in pool.log()
    assert not [line for line in pool.log().splitlines() if line.startswith("2026-01-01")]


def test_a_password_is_in_no_output_of_a_pool_in_trouble(own_scene: OwnScene) -> None:
    server, scene = own_scene(password=CANARY)
    pool = scene.pool("--log-level=debug", url_in_env=True, ready=False)
    log_says(pool, "worker ready", times=2)
    scene.publish({"do": "raise"}, {"do": "os_exit"}, retries=0)
    scene.settle(dead_lettered=2, extra_runs=2)
    arguments = [word for process in pool.living() for word in process.cmdline()]

    before = set(eventually(lambda: len(scene.registered()) == 2 and scene.registered(), PATIENCE_S))
    server.restart()  # empty
    eventually(lambda: len(set(scene.registered()) - before) == 2, PATIENCE_S, pool.log, (RedisError,))
    reported = pool.log().count("Redis is unavailable")
    with server.client() as operator:
        operator.config_set("requirepass", "another")
        operator.client_kill_filter(_type="normal", skipme=True)
    log_says(pool, "Redis is unavailable", times=reported + 3)
    pool.signal(signal.SIGTERM)
    assert pool.wait() == 0

    invariants.check_log(pool.log(), secrets=[CANARY], tracebacks=1)
    assert not [word for word in arguments if CANARY in word]
    pool.assert_no_process_left()


@pytest.mark.usually(1)
@pytest.mark.parametrize("form", ["redis://:{}@{}", "redis://me:{}@{}", "redis://{1}/0?password={0}"])
def test_a_wrong_password_is_reported_and_not_shown(
    own_scene: OwnScene, pool_factory: Callable[..., Pool], form: str
) -> None:
    server, _ = own_scene(password="right")
    url = form.format(CANARY, f"{server.host}:{server.port}")
    pool = pool_factory(url, url_in_env=True, args=["--log-level=debug"])

    line = refused(OPERATOR, "queues", BIZZMQ_REDIS_URL=url)
    assert pool.wait() == 2  # waiting cannot repair it

    assert "password" in line
    invariants.check_log(line + pool.log(), secrets=[CANARY])


def test_a_changed_cause_of_an_outage_is_logged(own_scene: OwnScene) -> None:
    server, scene = own_scene(password="right")
    pool = scene.pool(concurrency=1)
    with server.client() as operator:
        eventually(lambda: "bzpopmin" in {client["cmd"] for client in operator.client_list()}, PATIENCE_S)
        operator.config_set("requirepass", "another")
        operator.client_kill_filter(_type="normal", skipme=True)

    log_says(pool, 'error="invalid ', times=2, timeout_s=30)  # Redis 5 has a password only
