"""The pool on an embedded server, and from a Python script."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Callable

import pytest

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.ledger import LEDGER_VARIABLE, Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, QUEUE, Scene, log_says
from tests.support.program import StartProgram

SCRIPT = """
import sys

from bizzmq.workers import Supervisor, WorkerConfig
from tests import handlers


def handler(body, context):
    return handlers.by_body(body, context)


if __name__ == "__main__":
    given = {"callable": handler, "name": "tests.handlers:by_body"}[sys.argv[2]]
    config = WorkerConfig(handler=given, queues=["q"], concurrency=2, redis_url=sys.argv[1], burst="burst" in sys.argv)
    code = Supervisor(config).run()
    print("the pool returned", code)
    sys.exit(code)
"""


def test_a_pool_and_a_publisher_meet_on_an_embedded_server(
    pool_factory: Callable[..., Pool], ledger: Ledger, tmp_path: Path
) -> None:
    url = f"embedded://{tmp_path / 'server'}"
    pool = pool_factory(url)
    log_says(pool, "queue did not exist and was created")
    with BizzMQ(url) as mq:
        ids = mq.publish_messages_to_queue(QUEUE, [{"do": "ok"}] * 50)
        ledger.wait_handled(*ids)
        pool.signal(signal.SIGTERM)
        assert pool.wait(PATIENCE_S) == 0
        assert mq.stats(QUEUE).acked == 50
        left = mq.publish_messages_to_queue(QUEUE, [{"do": "ok"}] * 5)
    pool.assert_no_process_left(PATIENCE_S)  # the server, too: its last user has exited

    second = pool_factory(url, args=["--burst"])

    assert second.wait(PATIENCE_S) == 0
    second.assert_no_process_left(PATIENCE_S)
    assert ledger.handled() == {*ids, *left}
    assert not ledger.duplicates()


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "own_pool.py"
    path.write_text(SCRIPT)
    return str(path)


@pytest.mark.parametrize("given", ["callable", "name"])
def test_a_script_runs_a_burst_and_continues(scene: Scene, program: StartProgram, script: str, given: str) -> None:
    scene.publish(*[{"do": "ok"}] * 50, {"do": "os_exit", "times": 1})

    pool = program(script, scene.url, given, "burst", **{LEDGER_VARIABLE: str(scene.ledger.directory)})

    pool.succeeds()
    assert pool.output().count("the pool returned 0") == 1, "a child returned into the script"
    scene.settle(extra_runs=1)


def test_a_script_is_stopped_by_signals_like_the_command(scene: Scene, program: StartProgram, script: str) -> None:
    pool = program(script, scene.url, "callable", **{LEDGER_VARIABLE: str(scene.ledger.directory)})
    message = scene.publish_one({"do": "ok"})
    scene.ledger.wait_handled(message, timeout_s=PATIENCE_S)

    pool.stop(signal.SIGTERM)

    assert pool.output().count("the pool returned 0") == 1
    eventually(lambda: not scene.registered(), what="the script's workers to be struck off")
    scene.settle()


def test_a_pool_from_python_creates_missing_queues_and_keeps_existing_ones(
    scene: Scene, program: StartProgram, script: str
) -> None:
    scene.redis.flushall()
    scene.mq.create_queue(QUEUE, QueueOptions(max_retries=0))
    scene.publish_one({"do": "raise"})

    program(script, scene.url, "name", "burst", **{LEDGER_VARIABLE: str(scene.ledger.directory)}).succeeds()

    stats = scene.mq.stats(QUEUE)
    assert (stats.discarded, stats.dead_lettered) == (1, 0)
