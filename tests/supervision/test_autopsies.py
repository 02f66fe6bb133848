"""Slow messages are sampled by the pool itself, and the samples are kept with them."""

from __future__ import annotations

import json
import os
import signal
import time
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import App, BizzMQ
from bizzmq.broker.broker import Broker
from bizzmq.metrics.columns import BOUNDS_S, RUN
from bizzmq.metrics.history import measured_bytes
from bizzmq.metrics.steps import Step
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.profile import Frame, KeptProfile
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.scoreboard import Scoreboard
from bizzmq.workers.ipc.slot_activity import Activity
from bizzmq.workers.janitor.slow_messages import SlowMessages
from bizzmq.workers.supervisor.requests import sampling
from bizzmq.workers.supervisor.requests.sampling import SlowSession
from tests.pool.command import OPERATOR, run
from tests.support.paths import ROOT

CODE = """
import time
from bizzmq import App

app = App()

def stand_still(path):
    while not path or not __import__("os").path.exists(path):
        time.sleep(0.05)

@app.task(queue="q", name="work", max_retries=0)
def work(until):
    stand_still(until)
    raise ValueError("after a long time")

@app.task(queue="q", name="grow", max_retries=0)
def grow(until):
    stand_still(until)
    grown = b"x" * 300_000_000
    stand_still("")

@app.task(queue="q", name="unsampled", max_retries=0)
def unsampled(until):
    import signal
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    stand_still(until)
"""
PATIENCE_S = 60.0
K = QueueKeys("q")


class Slow:
    """Pools whose messages are slow after 0.3 s, and what they keep."""

    def __init__(self, mq: BizzMQ, app: App, pool: Callable[..., Pool]) -> None:
        self.mq, self._app, self.pool = mq, app, pool

    def publish(self, task: str = "work", until: str = "", **options: Any) -> str:
        @self._app.task(name=task)
        def stands_for_that_of_the_pool(until: str) -> None: ...

        return stands_for_that_of_the_pool.using(**options).publish(until).id

    def kept(self, message_id: str) -> KeptProfile:
        found = eventually(lambda: self.mq.kept_profile(message_id), PATIENCE_S)
        assert isinstance(found, KeptProfile)
        return found


@pytest.fixture
def slow(mq: BizzMQ, url: str, start_pool: Callable[..., Pool], tmp_path: Path) -> Any:
    (tmp_path / "slow_tasks.py").write_text(CODE)
    app = App(url, queue="q")

    def pool(*options: str, concurrency: int = 1) -> Pool:
        path = f"{tmp_path}{os.pathsep}{ROOT}"
        started = start_pool(url, args=["--autopsy-after=0.3", *options], handler="slow_tasks:app", of_app=True,
                             concurrency=concurrency, cwd=tmp_path, env={"PYTHONPATH": path})  # fmt: skip
        started.wait_ready()
        return started

    yield Slow(mq, app, pool)
    app.close()


def test_a_slow_message_has_samples_while_it_runs_and_as_a_dead_letter(slow: Slow, url: str, tmp_path: Path) -> None:
    pool = slow.pool(concurrency=2)
    go_on = tmp_path / "go-on"
    changed = slow.publish("unsampled", str(go_on))  # it would die of a sample
    eventually(lambda: f"id={changed}" in pool.log(), PATIENCE_S)
    message = slow.publish(until=str(go_on))

    kept = slow.kept(message)
    assert (kept.delivery, kept.ran_s > 0.3) == (1, True)
    assert "stand_still" in [one.function for one in kept.profile.functions()]
    shown = run(OPERATOR, "profile", message, "--kept", BIZZMQ_REDIS_URL=url)
    assert (shown.code, "stand_still" in shown.out) == (0, True)

    go_on.touch()
    eventually(lambda: slow.mq.messages("q", "dead_lettered").messages, PATIENCE_S)
    out = tmp_path / "slow.json"
    later = run(OPERATOR, "profile", message, "-o", str(out), BIZZMQ_REDIS_URL=url)
    assert (later.code, later.err) == (0, "")
    assert "stand_still" in [frame["name"] for frame in json.loads(out.read_text())["shared"]["frames"]]
    details = slow.mq.show_message(message)
    assert details.profile is not None
    assert "stand_still" in [one["function"] for one in details.as_dict()["profile"]["functions"]]
    assert "stand_still" in run(OPERATOR, "show", message, BIZZMQ_REDIS_URL=url).out

    assert slow.mq.purge("q_dlq") == 1
    assert slow.mq.kept_profile(message) is None
    eventually(lambda: slow.mq.stats("q").acked == 1, PATIENCE_S)
    assert slow.mq.kept_profile(changed) is None


def test_one_that_is_killed_at_its_limit_or_loses_its_worker_janitor_or_host(
    slow: Slow, redis: Redis, tmp_path: Path
) -> None:
    pool = slow.pool("--kill-memory=250", "--max-crashes=1")
    go_on = tmp_path / "go-on"
    grown = slow.publish("grow", str(go_on))
    slow.kept(grown)
    go_on.touch()
    eventually(lambda: slow.mq.messages("q", "dead_lettered").messages, PATIENCE_S)
    assert "MemoryLimitExceeded" in str(slow.mq.show_message(grown).sections["error"])
    assert "stand_still" in [one.function for one in slow.kept(grown).profile.functions()]

    os.kill(pool.janitor_pid(), signal.SIGKILL)
    crashed = slow.publish()
    slow.kept(crashed)
    os.kill(pool.worker_pids()[0], signal.SIGKILL)
    eventually(lambda: len(slow.mq.messages("q", "dead_lettered").messages) == 2, PATIENCE_S)
    assert slow.kept(crashed).ran_s > 0.3

    with_host = slow.publish()
    slow.kept(with_host)
    pool.kill_group()
    assert slow.kept(with_host).delivery == 1

    assert slow.mq.purge("q_dlq") == 2
    assert redis.hkeys(K.profiles) == redis.hkeys(K.extras) == [with_host]


@pytest.mark.parametrize(("ran_s", "task", "is_slow"), [(0.1, "new", False), (2, "new", True), (2, "known", False),
                                                        (30, "known", True), (2, "rare", True)])  # fmt: skip
def test_what_takes_as_long_as_usual_is_not_slow(
    mq: BizzMQ, broker: Broker, url: str, ran_s: float, task: str, is_slow: bool
) -> None:
    mq.create_queue("q")
    step = Step()
    took_10_to_20_s = RUN + 1 + bisect_left(BOUNDS_S, 20)
    step.rows = {"known": {took_10_to_20_s: 100}, "rare": {took_10_to_20_s: 99}}
    broker.add_metrics("q", "s", 1, measured_bytes(step))
    scoreboard, reported = Scoreboard(1), []
    scoreboard.slot(0).begin_task(b"m1", 0, time.monotonic() - ran_s, 0, 3, 0, task)

    SlowMessages(
        broker, WorkerConfig("a:b", queues=("q",), autopsy_after_s=1), scoreboard, lambda: {"w1": 0}, lambda _: ["q"],
        lambda *found: reported.append(found),
    ).tick()  # fmt: skip

    assert reported == ([("w1", "m1", 3)] if is_slow else [])


def test_samples_become_rarer_and_count_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, delivered = 100.0, []
    monkeypatch.setattr(sampling.clock, "monotonic", lambda: now_s)
    snapshot = Scoreboard(1).slot(0).read()
    running = replace(snapshot, activity=Activity.RUNNING, running="m1")
    session, taken = SlowSession("w1", running, delivered.append), 0
    while now_s < 100 + 86_400:
        now_s = max(now_s + 0.05, session.due_s())
        session.took_sample(now_s)
        session.add((Frame("work", "work.py", 1),))
        taken += 1
        assert not session.is_over([("w1", running)], now_s)

    assert session.is_over([("w2", running)], now_s)
    assert taken < 6_000
    assert len(delivered) < 300
    assert abs(delivered[-1].count * delivered[-1].interval_s / 86_400 - 1) < 0.1
