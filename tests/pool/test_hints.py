"""Mistakes whose message suggests the correction: variables, options without effect, queues, commands."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.cli.main import command as operator
from bizzmq.connection.base import Connection
from bizzmq.errors import ConfigurationError, QueueNotFoundError
from bizzmq.queue import QueueOptions
from bizzmq.utils import environment
from bizzmq.workers import WorkerConfig
from bizzmq.workers.cli import command as worker
from bizzmq.workers.cli import hints
from tests.pool.command import OPERATOR, WORKER, refused, run
from tests.support.forked_command import bizzmq
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
def test_an_unknown_variable_is_reported_with_the_most_similar_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "x")

    reported = [sentence for sentence in environment.misspelt(lambda: [operator, worker]) if f" {name} " in sentence]

    assert reported == ([f"the environment variable {name} is not a setting; do you mean {meant}?"] if meant else [])


@pytest.mark.parametrize(
    ("arguments", "reported"),
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
def test_an_option_without_effect_is_reported(arguments: list[str], reported: list[str]) -> None:
    with worker.make_context("bizzmq-worker", [NOOP, *arguments]) as context:
        assert hints(context) == reported


def test_both_commands_warn_and_continue(url: str) -> None:
    ended = bizzmq("queues", "--json", REDIS_URL=url, BIZZMQ_URL="x", BIZZMQ_VERSION="1")  # as in a container image
    assert (ended.code, ended.out) == (0, "[]\n")
    assert ended.err == (
        "bizzmq: warning: the environment variable BIZZMQ_URL is not a setting; do you mean BIZZMQ_REDIS_URL?\n"
    )
    others = {"BIZZMQ_WORKER_CONCURENCY": "2", "BIZZMQ_WORKER_VERSION": "1", "BIZZMQ_WORKER_DEBUG": "1"}
    pool = run(WORKER, NOOP, "--burst", "-c1", "--scale-idle=3", BIZZMQ_REDIS_URL=url, **others)
    assert (pool.code, pool.out) == (0, "")
    assert all(f"BIZZMQ_WORKER_{name} is not a setting" in pool.err for name in ("VERSION", "DEBUG"))
    assert "BIZZMQ_WORKER_CONCURENCY is not a setting; do you mean BIZZMQ_WORKER_CONCURRENCY?" in pool.err
    assert "--scale-idle has no effect without --min-concurrency" in pool.err


def test_a_grace_that_outlasts_the_drain_is_refused(redis: Redis, url: str) -> None:
    line = refused(WORKER, NOOP, "--timeout-grace=40", "--drain-timeout=10", BIZZMQ_REDIS_URL=url)

    assert "--timeout-grace must not be more than --drain-timeout" in line
    assert redis.keys("*") == []
    with pytest.raises(ConfigurationError):
        WorkerConfig(NOOP, timeout_grace_s=5, drain_timeout_s=4)
    with pytest.raises(ConfigurationError, match="timeout_grace_s must not be more than"):
        WorkerConfig(NOOP, timeout_grace_s=2, drain_timeout_s=1)  # the default, but given explicitly
    assert WorkerConfig(NOOP, drain_timeout_s=1).grace_s == 2


@pytest.mark.parametrize("arguments", [["publish", "nowhere", "1"], ["publish", "nowhere"], ["stats", "nowhere"]])
def test_a_missing_queue_is_reported_with_the_command_that_creates_it(
    redis: Redis, url: str, arguments: list[str]
) -> None:
    ended = bizzmq(*arguments, stdin=b"1\n", REDIS_URL=url)

    assert (ended.code, ended.out) == (1, "")
    assert "queue 'nowhere' does not exist" in ended.err
    assert "bizzmq queue create nowhere" in ended.err
    assert "--create" in ended.err
    assert "create_queue" not in ended.err
    assert "call create_queue first" in str(QueueNotFoundError("nowhere")), "the Python call"


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


def test_an_existing_queue_keeps_other_options_and_both_are_reported(redis: Redis, url: str) -> None:
    bizzmq("queue", "create", "q", REDIS_URL=url)

    ended = bizzmq("queue", "create", "q", "--max-retries=9", "--timeout=5", "--no-dead-letter", REDIS_URL=url)

    assert (ended.code, ended.out) == (0, "q exists\n")
    assert ended.err == (
        "bizzmq: warning: queue 'q' exists with other options and keeps them: --dead-letter is on, not off; "
        "--max-retries is 3, not 9; --timeout is no limit, not 5; bizzmq queue update changes them\n"
    )


@pytest.mark.parametrize(
    ("asked", "warning"),
    [
        ([f"--max-retries={10**18}"], ""),  # more than is stored
        (["--retry-backoff=0.12345678"], "--retry-backoff is 0.5, not 0.12345678"),
    ],
)
def test_a_new_queue_is_not_reported_as_existing_and_different_numbers_are_shown(
    redis: Redis, url: str, asked: list[str], warning: str
) -> None:
    if warning:
        bizzmq("queue", "create", "q", REDIS_URL=url)
    assert warning in bizzmq("queue", "create", "q", *asked, REDIS_URL=url).err
    assert bool(bizzmq("queue", "create", "q", *asked, REDIS_URL=url).err) == bool(warning)


@pytest.mark.parametrize(("group", "shard"), [("stats", "q:1"), ("dlq list", "q:7")])
def test_a_missing_shard_is_not_reported_as_its_queue(redis: Redis, url: str, group: str, shard: str) -> None:
    bizzmq("queue", "create", "q", REDIS_URL=url)

    ended = bizzmq(*group.split(), shard, REDIS_URL=url)

    assert (ended.code, ended.out) == (1, "")
    assert f"there is no shard '{shard}" in ended.err
    assert "does not exist" not in ended.err


@pytest.mark.parametrize(
    "wrong", [["two words"], ["q", "--shards=0"], ["q", "--max-retries=-1"], ["q", "--timeout=nan"]]
)
def test_a_queue_with_wrong_options_is_not_created(redis: Redis, url: str, wrong: list[str]) -> None:
    ended = bizzmq("queue", "create", *wrong, REDIS_URL=url)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert redis.keys("*") == []


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["queue", "create", "q", "--retry-backoff=1e300"], "--retry-backoff must be between 0 and 100 years"),
        (["publish", "q", "1", "--delay=1e300"], "--delay must be between 0 and 100 years"),
        (["queues", "--redis-url=redis://localhost"], "It goes before the command: bizzmq --redis-url ... COMMAND"),
    ],
)
def test_errors_name_an_option_as_written_and_its_source(arguments: list[str], reported: str) -> None:
    assert reported in refused(OPERATOR, *arguments)


@pytest.mark.parametrize("group", [[], ["dlq"], ["queue"]])
def test_a_group_of_commands_alone_shows_its_help(group: list[str]) -> None:
    ended = bizzmq(*group)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(" ".join(["Usage: bizzmq", *group, "[OPTIONS] COMMAND"]))
    assert "\nCommands:\n" in ended.err
    assert max(map(len, ended.err.splitlines())) <= 80


def test_the_worker_alone_shows_an_example() -> None:
    assert "bizzmq-worker tasks:handler" in refused(WORKER)


def test_the_shortest_accepted_time_limit_can_be_read_back(redis: Redis, url: str) -> None:
    for number, limit in enumerate(("1e-10", "1e-300")):
        name = f"q{number}"
        assert run(OPERATOR, "queue", "create", name, "--timeout", limit, REDIS_URL=url).code == 0
        assert run(OPERATOR, "queue", "create", name, "--timeout", limit, REDIS_URL=url).code == 0
        assert run(OPERATOR, "stats", name, REDIS_URL=url).code == 0


@pytest.mark.parametrize(("words", "wanted"), [("bizzmq ", "stats"), ("bizzmq dlq ", "replay"), ("bizzmq st", "stats")])
def test_a_shell_completes_commands(words: str, wanted: str) -> None:
    asked = {"_BIZZMQ_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    script = "import sys; sys.argv[0] = 'bizzmq'; from bizzmq.cli.main import main; main()"
    how: dict[str, Any] = {"env": {**os.environ, **asked}, "cwd": ROOT, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", script], check=False, **how)

    assert f"plain,{wanted}" in done.stdout.splitlines(), done
    assert done.stderr == ""
