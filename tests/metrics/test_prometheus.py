"""Prometheus: names and values of a pool's scrape, alert rules, the dashboard of Grafana, and a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest

from bizzmq import BizzMQ
from bizzmq.metrics.columns import BOUNDS_S, COLUMNS, RUN
from bizzmq.metrics.prometheus import (
    SHOWN_BOUNDS_S,
    MeasuredPool,
    MeasuredQueue,
    MeasuredRow,
    render_pool,
    render_queues,
)
from bizzmq.testing.pool import Pool
from bizzmq.testing.ports import free_port
from bizzmq.testing.wait import eventually
from bizzmq.workers.control import health
from tests.supervision.test_health import HEALTH, get, port_of
from tests.support.paths import ROOT

pytest.importorskip("prometheus_client", reason="prometheus_client is not installed: pip install '.[metrics]'")

StartPool = Callable[..., Pool]
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt install prometheus")
NAME = re.compile(r"\bbizzmq_[a-z_]+")


def pool_of(rows: int = 1) -> MeasuredPool:
    cells = [float(index) for index in range(COLUMNS)]
    return MeasuredPool(
        [MeasuredRow("q", f'task "{number}"\n', cells) for number in range(rows)],
        {"q": MeasuredQueue({"waiting": 3, "delayed": 0, "processing": 1, "dead_lettered": 2}, 4.5)},
        {"running": 1, "idle": 0}, 1, is_ready=True, is_redis_up=True, started_at_s=1.8e9, about={"version": "1"},
    )  # fmt: skip


def values(text: str) -> Dict[str, float]:
    """Each sample of a scrape."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_histograms_are_cumulative_and_labels_are_escaped() -> None:
    body, content_type = render_pool(pool_of())

    found = values(body.decode())
    buckets = [value for name, value in found.items() if name.startswith("bizzmq_message_run_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert len(buckets) == len(SHOWN_BOUNDS_S) + 1
    assert {*SHOWN_BOUNDS_S} <= {*BOUNDS_S}
    assert buckets[-1] == sum(range(RUN + 1, RUN + 2 + len(BOUNDS_S)))
    assert r'task="task \"0\"\n"' in body.decode()
    assert content_type.startswith("text/plain")


@needs_promtool
@pytest.mark.parametrize("body", [render_pool(pool_of(3))[0], render_queues(
    {"q": MeasuredQueue({"waiting": 3}, 1.0, {"published": 4})})[0]])  # fmt: skip
def test_promtool_finds_nothing_to_complain_about(body: bytes) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True, check=False)

    assert (done.returncode, done.stderr.decode(), done.stdout.decode()) == (0, "", "")


@needs_promtool
def test_the_alert_rules_pass_their_tests() -> None:
    folder = ROOT / "deploy" / "prometheus"

    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", [
    "deploy/prometheus/alerts.yml", "deploy/grafana/bizzmq.json", "docs/operations/metrics.md",
])  # fmt: skip
def test_rules_dashboard_and_document_name_metrics_that_exist(path: str) -> None:
    scrape = render_pool(pool_of())[0] + render_queues({"q": MeasuredQueue({}, 0.0, {"published": 1})})[0]
    known = {*NAME.findall(scrape.decode())}

    named = {*NAME.findall((ROOT / path).read_text(encoding="utf-8"))}

    assert named - known == set()
    assert len(named) >= 5
    if path.endswith(".json"):
        assert json.loads((ROOT / path).read_text(encoding="utf-8"))["panels"]


def test_a_pool_without_the_library_says_what_is_missing() -> None:
    def missing(_accept: str) -> tuple[bytes, str]:
        raise ImportError

    answer = health.answer_with("", lambda: None, missing)(b"GET /metrics HTTP/1.1\r\n\r\n")

    assert answer is not None
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"pip install prometheus_client" in answer


def test_a_pool_counts_and_a_death_takes_nothing_back(pool_factory: StartPool, url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("q")
        pool = pool_factory(url, queue="q", concurrency=1, args=HEALTH)
        mq.publish_messages_to_queue("q", [{"do": "ok"}] * 20)
        before = eventually(lambda: _scrape(pool, 'bizzmq_messages_total{outcome="succeeded",queue="q",task=""}', 20))

        mq.publish_message_to_queue("q", {"do": "kill_self"})
        name = 'bizzmq_worker_deaths_total{cause="sigkill"}'
        after = eventually(lambda: _scrape(pool, name, 3), 30.0)
        eventually(lambda: mq.stats("q").dead_lettered == 1)
        history = eventually(lambda: _history(mq, 3), 30.0)

    for sample, value in before.items():
        if "_total" in sample or "_bucket" in sample or sample.endswith(("_sum", "_count")):
            assert after[sample] >= value, sample
    assert after['bizzmq_messages_total{outcome="crashed",queue="q",task=""}'] == 3
    assert after["bizzmq_redis_up"] == 1
    assert history.outcomes == {"succeeded": 20, "crashed": 3}
    assert history.deaths == {"sigkill": 3}


def _scrape(pool: Pool, name: str, value: float) -> Dict[str, float] | None:
    """A scrape in which this sample has reached a value."""
    status, text = get(pool, "/metrics")
    assert status == 200, text
    found = values(text)
    return found if found.get(name, 0) >= value else None


def _history(mq: BizzMQ, deaths: int) -> Any:
    total = mq.metrics("q").total
    return total if sum(total.deaths.values()) >= deaths and total.succeeded else None


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[int], Callable[[str], list[Any]]]]:
    """Start a Prometheus that scrapes a port; returns what answers queries."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is missing: apt install prometheus")
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int) -> Callable[[str], list[Any]]:
        own = free_port()
        (tmp_path / "prometheus.yml").write_text(
            f"global: {{scrape_interval: 1s}}\nrule_files: [{ROOT}/deploy/prometheus/alerts.yml]\n"
            f"scrape_configs: [{{job_name: bizzmq, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n",
            encoding="utf-8",
        )
        log = (tmp_path / "prometheus.log").open("wb")
        started.append(subprocess.Popen([
            program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{own}",
        ], stdout=log, stderr=log))  # fmt: skip
        log.close()
        return lambda query: _query(own, query)

    yield start
    for process in started:
        process.kill()
        process.wait()


def _query(port: int, query: str) -> list[Any]:
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
    try:
        with urllib.request.urlopen(url, timeout=30.0) as reply:
            return json.load(reply)["data"]["result"]
    except OSError:
        return []  # it is starting


def test_a_real_prometheus_scrapes_a_pool(
    pool_factory: StartPool, url: str, prometheus: Callable[[int], Callable[[str], list[Any]]]
) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("q")
        pool = pool_factory(url, queue="q", concurrency=1, args=HEALTH)
        mq.publish_messages_to_queue("q", [{"do": "ok"}] * 7)
        query = prometheus(port_of(pool))

        found = eventually(lambda: [one for one in query("bizzmq_messages_total") if one["value"][1] == "7"], 60.0)

    assert found[0]["metric"]["outcome"] == "succeeded"
    assert query("up")[0]["value"][1] == "1"
    assert query("bizzmq_message_run_seconds_count")[0]["value"][1] == "7"
