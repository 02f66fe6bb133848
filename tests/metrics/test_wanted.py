"""How many workers queues need: the formula, the command, and what a pool answers at /wanted."""

from __future__ import annotations

import json
import time
from typing import Any, Callable

import pytest
import yaml

from bizzmq import BizzMQ, MessageOptions
from bizzmq.broker.broker import Broker
from bizzmq.metrics.columns import BOUNDS_S, RUN
from bizzmq.metrics.history import measured_bytes
from bizzmq.metrics.steps import Step
from bizzmq.metrics.wanted import RunTimes, need_of, wanted
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers.control import health
from tests.pool.command import OPERATOR, refused, run
from tests.supervision.test_health import HEALTH, get
from tests.support.paths import ROOT

StartPool = Callable[..., Pool]
KEDA_FIELDS = {"url", "format", "valueLocation", "targetValue", "activationTargetValue", "unsafeSsl", "authMode"}
"""What KEDA's documentation of its scaler `metrics-api` names for authMode bearer."""
TABLE = {
    "nothing to do": ((0, 0, 0, RunTimes()), 0),
    "short messages": ((1000, 0, 0, RunTimes(0.0, 0.001)), 1),
    "a backlog of a second each": ((300, 0, 0, RunTimes(0.0, 1.0)), 10),
    "what takes longer than the goal needs a worker each": ((7, 0, 0, RunTimes(0.0, 3600.0)), 7),
    "what runs counts": ((3, 0, 4, RunTimes(0.0, 60.0)), 7),
    "claims of short messages do not add up": ((0, 0, 640, RunTimes(1.5, 0.001)), 2),
    "the load stays": ((0, 0, 10, RunTimes(9.5, 0.5)), 10),
    "the load and a backlog": ((30, 0, 0, RunTimes(2.0, 1.0)), 3),
    "what is delayed needs one": ((0, 5, 0, RunTimes()), 1),
    "without a history the assumed run time counts": ((60, 0, 0, RunTimes()), 4),
}


@pytest.mark.parametrize(("given", "workers"), TABLE.values(), ids=[name.replace(" ", "-") for name in TABLE])
def test_the_formula(given: Any, workers: int) -> None:
    need = need_of("q", *given, goal_s=30.0, assumed_run_s=2.0)

    found = wanted([need], 4)

    assert found["wanted_workers"] == workers
    assert found["wanted_pools"] == -(-workers // 4)


def test_fractions_of_several_queues_share_a_worker() -> None:
    needs = [need_of(queue, 10, 0, 0, RunTimes(0.0, 1.0), goal_s=30.0) for queue in ("a", "b", "c")]

    assert wanted(needs)["wanted_workers"] == 1


def ran(broker: Broker, count: int, each_s: float) -> None:
    """A pool reports that messages have run for a time."""
    step = Step()
    step.rows[""] = step.total = {0: count, RUN: round(count * each_s * 1e6), RUN + 1 + len(BOUNDS_S): count}
    assert broker.add_metrics("q", "s1", int(time.time() * 1000), measured_bytes(step)) is not None


def test_the_command_reads_what_was_measured(mq: BizzMQ, broker: Broker, url: str) -> None:
    mq.create_queue("q")
    mq.publish_messages_to_queue("q", [1] * 90)
    base = ["--redis-url", url, "wanted-workers", "q"]
    assert run(OPERATOR, *base).out == "3\n", "a second each, since nothing is measured"
    ran(broker, 3, 10.0)

    found = json.loads(run(OPERATOR, *base, "--json", "--workers-per-pool", "10").out)

    (queue,) = found["queues"]
    assert {name: queue[name] for name in ("queue", "waiting", "processing", "run_s", "is_measured")} == {
        "queue": "q", "waiting": 90, "processing": 0, "run_s": 10.0, "is_measured": True,
    }  # fmt: skip
    assert (found["wanted_workers"], found["wanted_pools"]) == (31, 4), "30 for what waits, and 30 s of 300 s were load"
    assert run(OPERATOR, *base, "--goal", "5m").out == "4\n"


@pytest.mark.parametrize("arguments", [[], ["q", "--goal", "0"], ["q", "--workers-per-pool", "0"], ["bad name"]])
def test_bad_input_is_refused(url: str, arguments: list[str]) -> None:
    refused(OPERATOR, "--redis-url", url, "wanted-workers", *arguments)


def test_a_missing_queue_is_an_error(url: str) -> None:
    refused(OPERATOR, "--redis-url", url, "wanted-workers", "missing", code=1)


def test_a_pool_answers_for_its_queues(pool_factory: StartPool, mq: BizzMQ, broker: Broker, url: str) -> None:
    mq.create_queue("q")
    ran(broker, 1, 60.0)
    mq.publish_messages_to_queue("q", [1, 2], MessageOptions(delay_s=3600))
    pool = pool_factory(url, queue="q", args=HEALTH, concurrency=2)

    def answer() -> Any:
        status, text = get(pool, "/wanted?goal=30&run-time=2")
        return json.loads(text) if status == 200 else None

    found = eventually(answer, 30.0)

    assert found["queues"][0]["run_s"] == 60.0
    assert (found["wanted_workers"], found["wanted_pools"], found["workers_per_pool"]) == (1, 1, 2)
    for query in ("goal=0", "goal=x", "goal=nan", "goal=-1", "goal=", "other=1", "goal=1e99"):
        assert get(pool, f"/wanted?{query}")[0] == 400, query


def test_a_pool_that_knows_nothing_yet_says_so() -> None:
    answer = health.answer_with("", lambda: None, None, lambda _goal_s, _run_s: None)

    assert (answer(b"GET /wanted HTTP/1.1\r\n\r\n") or b"").startswith(b"HTTP/1.1 503 ")


def test_keda_reads_a_number_that_the_answer_has() -> None:
    text = (ROOT / "deploy" / "kubernetes" / "keda-wanted.yaml").read_text(encoding="utf-8")
    service, scaled, authentication = yaml.safe_load_all(text)
    deployment = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "worker.yaml").read_text(encoding="utf-8"))
    (trigger,) = scaled["spec"]["triggers"]
    metadata = trigger["metadata"]

    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert (trigger["type"], metadata["authMode"], metadata["targetValue"]) == ("metrics-api", "bearer", "1")
    assert all(isinstance(value, str) for value in metadata.values()), "KEDA takes strings only"
    assert set(metadata) <= KEDA_FIELDS, "fields of the scaler's documentation"
    assert [one["parameter"] for one in authentication["spec"]["secretTargetRef"]] == ["token"], "of authMode bearer"
    port = service["spec"]["ports"][0]["port"]
    assert metadata["url"].startswith(f"http://{service['metadata']['name']}:{port}/wanted?")
    path = metadata["url"].partition(f":{port}")[2]
    answer = health.answer_with("t", lambda: None, None, lambda _goal_s, _run_s: wanted([]))
    reply = answer(f"GET {path} HTTP/1.1\r\nAuthorization: Bearer t\r\n\r\n".encode()) or b""
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert metadata["valueLocation"].isidentifier(), "no path of GJSON, in which dots and stars have a meaning"
    value = json.loads(reply.partition(b"\r\n\r\n")[2])[metadata["valueLocation"]]
    assert type(value) is int
