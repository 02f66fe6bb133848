"""Mistakes whose message says what to write instead: names of variables, options without effect, queues, commands."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from redis import Redis

from bizzmq import environment
from bizzmq.broker import Broker
from bizzmq.cli import command as operator
from bizzmq.connection import Connection
from bizzmq.errors import ConfigurationError, QueueNotFoundError
from bizzmq.queue import QueueOptions
from bizzmq.workers import WorkerConfig, options_together
from bizzmq.workers.cli import command as worker
from tests.pool.command import OPERATOR, WORKER, refused, run
from tests.support.forked import bizzmq
from tests.support.paths import ROOT

NOOP = "tests.handlers:noop"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BIZZMQ_WORKER_CONCURENCY", "BIZZMQ_WORKER_CONCURRENCY"),
        ("BIZZMQ_WORKER_DRAIN_TIMOUT", "BIZZMQ_WORKER_DRAIN_TIMEOUT"),
        ("BIZZMQ_URL", "BIZZMQ_REDIS_URL"),
        ("BIZZMQ_REDIS_URI", "BIZZMQ_REDIS_URL"),
        ("BIZZMQ_SIGNING_KEY", "BIZZMQ_SIGNING_KEYS"),
        ("BIZZMQ_PUBLISH_PRIORTY", "BIZZMQ_PUBLISH_PRIORITY"),
        ("BIZZMQ_WORKER_HEALTH_TOKEN", ""),
        ("BIZZMQ_WORKER_QUEU", "BIZZMQ_WORKER_QUEUE"),
        ("BIZZMQ_WORKER_LOG_LEVEL", ""),
        ("BIZZMQ_DLQ_LIST_LIMIT", ""),
        ("BIZZMQ_OUR_SHOP", ""),
        ("BIZZMQ_TEST_SERVER", ""),
    ],
)
def test_a_variable_that_is_no_setting_is_told_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "x")

    said = [sentence for sentence in environment.misspelt([operator, worker]) if f" {name} " in sentence]

    assert said == ([f"the environment variable {name} is no setting; do you mean {meant}?"] if meant else [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scale-latency=2"], ["--scale-latency has no effect without --min-concurrency"]),
        (["--scale-idle=2"], ["--scale-idle has no effect without --min-concurrency"]),
        (["--scale-idle=2", "--min-concurrency=1", "-c2"], []),
        (["--burst-patience=9"], ["--burst-patience has no effect without --burst"]),
        (["--burst-patience=9", "--burst"], []),
        (["--health-host=::1"], ["--health-host has no effect without --health-port"]),
        (["--health-host=::1", "--health-port=0"], []),
        (["--memory-metric=pss"], ["--memory-metric has no effect without --max-memory or --kill-memory"]),
        (["--memory-metric=pss", "--kill-memory=9"], []),
        (["--min-concurrency=2", "-c2"], ["--min-concurrency has no effect, since it is --concurrency"]),
        ([], []),
    ],
)
def test_an_option_without_effect_is_told(arguments: list[str], said: list[str]) -> None:
    with worker.make_context("bizzmq-worker", [NOOP, *arguments]) as context:
        assert options_together.without_effect(context) == said


def test_both_commands_warn_and_go_on(url: str) -> None:
    ended = bizzmq("queues", "--json", REDIS_URL=url, BIZZMQ_URL="x")
    assert (ended.code, ended.out) == (0, "[]\n")
    assert ended.err == (
        "bizzmq: warning: the environment variable BIZZMQ_URL is no setting; do you mean BIZZMQ_REDIS_URL?\n"
    )
    pool = run(WORKER, NOOP, "--burst", "-c1", "--scale-idle=3", BIZZMQ_REDIS_URL=url, BIZZMQ_WORKER_CONCURENCY="2")
    assert pool.code == 0
    assert "BIZZMQ_WORKER_CONCURENCY is no setting; do you mean BIZZMQ_WORKER_CONCURRENCY?" in pool.err
    assert "--scale-idle has no effect without --min-concurrency" in pool.err


def test_a_grace_that_outlasts_the_drain_is_refused(redis: Redis, url: str) -> None:
    line = refused(WORKER, NOOP, "--timeout-grace=40", "--drain-timeout=10", BIZZMQ_REDIS_URL=url)

    assert "--timeout-grace must not be more than --drain-timeout" in line
    assert redis.keys("*") == []
    with pytest.raises(ConfigurationError):
        WorkerConfig(NOOP, timeout_grace_s=5, drain_timeout_s=4)
    with pytest.raises(ConfigurationError, match="timeout_grace_s must not be more than"):
        WorkerConfig(NOOP, timeout_grace_s=2, drain_timeout_s=1)  # the default, but it was asked for
    assert WorkerConfig(NOOP, drain_timeout_s=1).grace_s == 2


@pytest.mark.parametrize("arguments", [["publish", "nowhere", "1"], ["publish", "nowhere"], ["stats", "nowhere"]])
def test_a_missing_queue_is_told_with_how_to_create_it(redis: Redis, url: str, arguments: list[str]) -> None:
    ended = bizzmq(*arguments, stdin=b"1\n", REDIS_URL=url)

    assert (ended.code, ended.out) == (1, "")
    assert "queue 'nowhere' does not exist" in ended.err
    assert "bizzmq queue create nowhere" in ended.err
    assert "--create" in ended.err
    assert "create_queue" not in ended.err
    assert "call create_queue first" in str(QueueNotFoundError("nowhere")), "which is what there is in Python"


def test_a_queue_is_created_with_all_options(redis: Redis, url: str) -> None:
    options = ["--no-dead-letter", "--max-retries=7", "--shards=2", "--first-retry-count=1",
               "--retry-backoff=2", "--retry-backoff-max=9", "--timeout=30"]  # fmt: skip

    assert bizzmq("queue", "create", "plain", REDIS_URL=url).lines() == ["plain created"]
    assert bizzmq("queue", "create", "special", *options, REDIS_URL=url).lines() == ["special created"]

    broker = Broker(Connection(url))
    assert broker.options("plain") == QueueOptions(config_dead_letter_queue=True)
    assert broker.options("special") == QueueOptions(
        max_retries=7, retry=1, retry_backoff_s=2.0, retry_backoff_max_s=9.0, timeout_s=30.0, shards=2
    )
    broker.connection.drop()
    again = bizzmq("queue", "create", "special", *options, REDIS_URL=url)
    assert (again.code, again.out, again.err) == (0, "special exists\n", "")


def test_a_queue_that_exists_with_other_options_keeps_them_and_both_are_told(redis: Redis, url: str) -> None:
    bizzmq("queue", "create", "q", REDIS_URL=url)

    ended = bizzmq("queue", "create", "q", "--max-retries=9", "--timeout=5", "--no-dead-letter", REDIS_URL=url)

    assert (ended.code, ended.out) == (0, "q exists\n")
    assert ended.err == (
        "bizzmq: warning: queue 'q' exists with other options and keeps them: --dead-letter is on, not off; "
        "--max-retries is 3, not 9; --timeout is no limit, not 5\n"
    )


@pytest.mark.parametrize(
    "wrong", [["two words"], ["q", "--shards=0"], ["q", "--max-retries=-1"], ["q", "--timeout=nan"]]
)
def test_a_queue_with_wrong_options_is_not_created(redis: Redis, url: str, wrong: list[str]) -> None:
    ended = bizzmq("queue", "create", *wrong, REDIS_URL=url)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert redis.keys("*") == []


@pytest.mark.parametrize("group", [[], ["dlq"], ["queue"]])
def test_a_group_of_commands_alone_shows_its_help(group: list[str]) -> None:
    ended = bizzmq(*group)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(" ".join(["Usage: bizzmq", *group, "[OPTIONS] COMMAND"]))
    assert "\nCommands:\n" in ended.err
    assert max(map(len, ended.err.splitlines())) <= 80


def test_the_worker_alone_shows_an_example() -> None:
    assert "bizzmq-worker tasks:handler" in refused(WORKER)


def test_the_shortest_time_limit_that_is_accepted_can_be_read_again(redis: Redis, url: str) -> None:
    for number, limit in enumerate(("1e-10", "1e-300")):
        name = f"q{number}"
        assert run(OPERATOR, "queue", "create", name, "--timeout", limit, REDIS_URL=url).code == 0
        assert run(OPERATOR, "queue", "create", name, "--timeout", limit, REDIS_URL=url).code == 0
        assert run(OPERATOR, "stats", name, REDIS_URL=url).code == 0


@pytest.mark.parametrize(("words", "wanted"), [("bizzmq ", "stats"), ("bizzmq dlq ", "replay"), ("bizzmq st", "stats")])
def test_a_shell_completes_commands(words: str, wanted: str) -> None:
    asked = {"_BIZZMQ_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    script = "import sys; sys.argv[0] = 'bizzmq'; from bizzmq.cli import main; main()"
    how: dict[str, Any] = {"env": {**os.environ, **asked}, "cwd": ROOT, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", script], check=False, **how)

    assert f"plain,{wanted}" in done.stdout.splitlines(), done
    assert done.stderr == ""
