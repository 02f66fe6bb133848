"""Settings from the environment, and version and help of both commands."""

from __future__ import annotations

import re
import signal

import pytest
from redis import Redis

import bizzmq
from bizzmq.testing.layout import Keys
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.pool.command import NAMES, OPERATOR, WORKER, run
from tests.support.program import StartProgram

NOOP = "tests.handlers:noop"


@pytest.mark.parametrize("module", [WORKER, OPERATOR])
def test_the_version_is_one_line(module: str) -> None:
    assert run(module, "--version").lines() == [f"{NAMES[module]} {bizzmq.__version__}"]


@pytest.mark.parametrize("arguments", [[WORKER], [OPERATOR], [OPERATOR, "dlq", "replay"]])
def test_help_names_the_command_and_its_options(arguments: list[str]) -> None:
    module, *names = arguments
    lines = run(module, *names, "-h").lines()

    assert lines[0].startswith(" ".join(["Usage:", NAMES[module], *names]))
    assert any("--help" in line for line in lines)


def test_every_setting_of_the_pool_can_come_from_the_environment(program: StartProgram, redis: Redis, url: str) -> None:
    pool = program(
        "-m", "bizzmq.workers", NOOP, BIZZMQ_WORKER_CONCURRENCY="3", BIZZMQ_WORKER_QUEUE="one two",
        BIZZMQ_WORKER_REDIS_URL=url, BIZZMQ_WORKER_LOG_FORMAT="json", BIZZMQ_WORKER_LOG_LEVEL="debug",
        BIZZMQ_WORKER_DRAIN_TIMEOUT="7", BIZZMQ_WORKER_MAX_MESSAGES="5", BIZZMQ_WORKER_PREFETCH="2",
        BIZZMQ_WORKER_LEASE="9", BIZZMQ_WORKER_MAX_CRASHES="1",
    )  # fmt: skip
    pool.wait_for('"event": "worker ready"', times=3)

    assert [_registered(redis, queue) for queue in ("one", "two")] == [3, 3]
    pool.stop(signal.SIGTERM)
    assert '"timeout_s": 7.0' in pool.output()


@pytest.mark.parametrize("variables", [["REDIS_URL"], ["BIZZMQ_REDIS_URL", "REDIS_URL"]])
def test_the_address_is_taken_from_the_first_variable_that_is_set(
    program: StartProgram, redis: Redis, url: str, variables: list[str]
) -> None:
    nowhere = f"redis://{LOOPBACK}:{free_port()}/0"
    settings = {**dict.fromkeys(variables, nowhere), variables[0]: url}

    pool = program("-m", "bizzmq.workers", NOOP, **settings)

    eventually(lambda: _registered(redis, "default") >= 1, 20.0, pool.output)
    pool.stop(signal.SIGTERM)
    assert run(OPERATOR, "queues", "--json", **settings).json()[0]["queue"] == "default"


def test_an_option_overrides_the_environment(url: str, redis: Redis, server: RedisServer) -> None:
    nowhere = f"redis://{LOOPBACK}:{free_port()}/0"

    ended = run(
        WORKER, NOOP, "--burst", "-c1", f"--redis-url={url}", BIZZMQ_REDIS_URL=nowhere, BIZZMQ_WORKER_CONCURRENCY="9"
    )

    assert ended.code == 0, ended
    assert len(re.findall("worker started", ended.err)) == 1


def _registered(redis: Redis, queue: str) -> int:
    return int(redis.hlen(Keys(queue).workers))
