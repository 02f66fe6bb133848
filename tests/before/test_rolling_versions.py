"""A rolling deploy of two versions: pools of both work on one queue, under kills, and nothing is lost.

The version before is taken from the history of the repository; without a history the test is skipped.
"""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bizzmq.audit.audit import audit
from bizzmq.audit.findings import Kind
from bizzmq.audit.repair import repair
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.protocol.keys import QueueKeys
from bizzmq.testing.wait import eventually
from tests.faults.scene import QUEUE, Scene
from tests.support.paths import ROOT

BEFORE = "b64feee"
"""The commit before messages had keys, checkpoints and schedules."""
BEFORE_PROFILES = "6e2de2e"
"""The commit before pools kept profiles of slow messages."""
HANDLER = "tests.handlers:by_body"
STARTS_S = 120.0
"""How long pools may take to start and to work on a busy machine."""


def unpacked(commit: str, directory: Path) -> Path:
    """A directory with an earlier version."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode != 0:
        pytest.skip(f"no commit {commit} here: {packed.stderr.decode(errors='replace').strip()}")
    place = directory / "before"
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(place)
    return place


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A directory with the version before."""
    return unpacked(BEFORE, tmp_path)


@pytest.mark.usually(1)
@pytest.mark.parametrize("order", ["new workers first", "new publishers first"])
def test_both_versions_share_a_queue_and_lose_nothing(
    scene: Scene, before: Path, rng: random.Random, order: str
) -> None:
    scene.publish({"do": "ok"})  # the queue exists
    old_env = {"PYTHONPATH": str(before)}
    old = scene.pool("--lease=2", handler=HANDLER, cwd=before, env=old_env)
    new = scene.pool("--lease=2", handler=HANDLER)

    def publish_by_old(count: int) -> None:
        code = (
            "import sys, bizzmq; assert 'before' in bizzmq.__file__, bizzmq.__file__\n"
            "mq = bizzmq.BizzMQ(sys.argv[1])\n"
            "print(*mq.publish_messages_to_queue(sys.argv[2], [{'do': 'ok'}] * int(sys.argv[3])), sep='\\n')"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, scene.url, QUEUE, str(count)], cwd=before, env={**os.environ, **old_env},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        scene.ledger.record_published(*ended.stdout.split())

    for number in range(4):
        publish_by_old(100)
        scene.publish(*[{"do": "ok"}] * 100, key="tenant-7")
        victim = old if number % 2 else new
        os.kill(rng.choice(eventually(victim.worker_pids)), signal.SIGKILL)
    first, last = (old, new) if order == "new workers first" else (new, old)
    first.signal(signal.SIGTERM)

    scene.settle(extra_runs=4)
    assert scene.totals()["acked"] == 801
    scene.gone(first)
    scene.retire(last)
    assert (
        0 < scene.mq.metrics(QUEUE, last_s=600).total.succeeded <= 801
    )  # those of the new pool: the old one has no history


def test_workers_from_before_profiles_go_on_with_messages_that_have_one(
    scene: Scene, broker: Broker, tmp_path: Path
) -> None:
    """They do not know profiles, so that of a message which they end stays. The audit names it and can remove it."""
    before = unpacked(BEFORE_PROFILES, tmp_path)
    (message_id,) = scene.publish({"do": "ok"})
    broker.register(QUEUE, "s1", "w1")
    broker.claim(QUEUE, "w1", 1, [])
    assert broker.record(QUEUE, "w1", message_id, profile=b"samples")
    broker.requeue(QUEUE, "w1", DeadWorker(DeathKind.STOPPED))
    broker.unregister(QUEUE, "s1")

    old = scene.pool("--lease=2", handler=HANDLER, concurrency=1, cwd=before, env={"PYTHONPATH": str(before)})
    eventually(lambda: scene.totals().get("acked") == 1, STARTS_S, old.log)
    new = scene.pool("--lease=2", "--autopsy-after=1", handler=HANDLER, concurrency=1)
    scene.publish(*[{"do": "ok"}] * 20)

    scene.settle(timeout_s=STARTS_S)
    assert scene.totals()["acked"] == 21
    scene.retire(old, new)
    (finding,) = audit(broker, QUEUE, 1.0).findings
    assert (finding.kind, finding.names) == (Kind.LEFTOVERS, (message_id.encode(),))
    assert repair(broker, QUEUE, 1.0)[1].findings == ()
    assert scene.redis.exists(*QueueKeys(QUEUE).beside) == 0
