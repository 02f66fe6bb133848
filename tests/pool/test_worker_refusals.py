"""`bizzmq-worker` refuses bad input with one clear line and exit code 2, and starts nothing."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq.testing.server import RedisServer
from tests.pool.command import OPERATOR, WORKER, refused

HANDLER = "tests.handlers:noop"


@pytest.mark.usually(10)
@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        ([], "Missing argument"),
        ([HANDLER, HANDLER], "unexpected extra argument"),
        ([HANDLER, "--no-such-option"], "--no-such-option"),
        ([HANDLER, "--concurrency=0"], "--concurrency"),
        ([HANDLER, "--prefetch=0"], "--prefetch"),
        ([HANDLER, "--prefetch=101"], "--prefetch"),
        ([HANDLER, "--drain-timeout=0"], "--drain-timeout"),
        ([HANDLER, "--drain-timeout=nan"], "--drain-timeout"),
        ([HANDLER, "--max-messages=-1"], "--max-messages"),
        ([HANDLER, "--lease=0.5"], "--lease"),
        ([HANDLER, "--lease=inf"], ""),
        ([HANDLER, "--max-crashes=0"], "--max-crashes"),
        ([HANDLER, "--journal="], "--journal"),
        ([HANDLER, "--journal", " "], "--journal"),
        ([HANDLER, "--redis-url=redis://localhost?canary"], "an option has no value"),
        ([HANDLER, "--log-level=loud"], "loud"),
        ([HANDLER, "--log-format=xml"], "xml"),
        ([HANDLER, "--queue=two words"], "bad queue name 'two words'"),
        ([HANDLER, "--queue=a\nb"], "bad queue name"),
        ([HANDLER, "--queue=" + "n" * 129], "bad queue name"),
        ([HANDLER, "--queue=q_dlq_dlq"], "bad queue name 'q_dlq_dlq'"),
        ([HANDLER, "--queue=q", "--queue=q"], "a queue is named twice"),
        (["tasks"], "write MODULE:CALLABLE"),
        (["tasks:"], "write MODULE:CALLABLE"),
        (["../tasks:handler"], "write MODULE:CALLABLE"),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(
    redis: Redis, server: RedisServer, arguments: list[str], reported: str
) -> None:
    line = refused(WORKER, *arguments, BIZZMQ_REDIS_URL=server.url)

    assert reported in line
    assert redis.keys("*") == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CONCURRENCY", "many"), ("PREFETCH", "0"), ("LOG_FORMAT", "xml"), ("QUEUE", "fine not/fine"), ("BURST", "maybe")],
)
def test_a_bad_setting_in_the_environment_is_refused_like_an_option(
    redis: Redis, server: RedisServer, variable: str, value: str
) -> None:
    line = refused(WORKER, HANDLER, BIZZMQ_REDIS_URL=server.url, **{f"BIZZMQ_WORKER_{variable}": value})

    assert value.rsplit(maxsplit=1)[-1] in line
    assert redis.keys("*") == []


@pytest.mark.usually(5)
@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://:SECRET@localhost:6379",
        "redis://:SECRET@localhost:port",
        "redis://:SECRET@localhost:99999",
        "redis://:SECRET@localhost/first",
        "unix://",
        "embedded://relative/path",
        "redis://:SEC/RET@localhost:6379",
        "redis://:SEC?RET@localhost:6379",
        "redis://:SEC#RET@localhost:6379",
        "redis://me:SEC/RE?T#@localhost:6379",
        "redis://me:S@EC/RET@localhost:6379",
        "rediss://me:SEC[RET@localhost:6379",
        "unix://:SEC/RET@/run/redis.sock",
        "redis://:7/SECRET@localhost:6379",  # the first part could be a port
        "redis://me:7?SECRET@localhost:6379",
        "redis://:7#SECRET@localhost:6379",
        "redis://SECRET@localhost:port",
        "redis://:SECRET",
        "redis://localhost?SECRET",
        "redis://localhost?pasword=SECRET",
        "redis+cluster://localhost?password=SECRET",
        "embedded://:SECRET@localhost",
    ],
)
def test_a_bad_address_is_refused_and_no_part_of_its_password_shown(url: str) -> None:
    _check(refused(WORKER, HANDLER, BIZZMQ_REDIS_URL=url))


@pytest.mark.parametrize("command", [["queues"], ["publish", "q", "{}"], ["dlq", "show", "q"]])
def test_the_bizzmq_command_refuses_it_in_the_same_way(command: list[str]) -> None:
    _check(refused(OPERATOR, *command, BIZZMQ_REDIS_URL="redis://me:SEC/RE?T#@localhost:6379"))


def _check(line: str) -> None:
    assert "embedded://" in line or "bad Redis URL" in line
    assert not [part for part in ("SEC", "RET", "RE?T") if part in line]
