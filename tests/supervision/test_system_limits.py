"""More workers than the system's limits of open files or processes allow: one line, and nothing is started."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import Iterator

import pytest
from redis import Redis

from bizzmq.errors import ConfigurationError
from bizzmq.testing.pool import Pool
from bizzmq.workers import WorkerConfig
from bizzmq.workers.process import system_limits
from bizzmq.workers.supervisor.supervisor import Supervisor
from tests.faults.scene import PATIENCE_S
from tests.faults.system_limits import _new_group
from tests.pool.command import WORKER, refused
from tests.support.unprivileged import as_unprivileged

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="control groups exist on Linux only")
HANDLER = "tests.handlers:by_body"


def files(limit: int) -> list[str]:
    return ["bash", "-c", f'ulimit -n {limit}; exec "$0" "$@"']


@pytest.mark.parametrize(
    "arguments",
    [
        ["--concurrency=100000"],
        ["--concurrency=1000000000000000"],
        ["--concurrency=100000", "--min-concurrency=1"],
        ["--concurrency=100000", "--min-concurrency=99999"],
    ],
)
@pytest.mark.parametrize("limit", [256, 4096])
def test_too_few_open_files_are_one_line_that_names_the_limit(
    url: str, redis: Redis, arguments: list[str], limit: int
) -> None:
    line = refused(WORKER, HANDLER, *arguments, via=files(limit), BIZZMQ_REDIS_URL=url)

    assert f"RLIMIT_NOFILE is {limit}: raise it (ulimit -n, LimitNOFILE=)" in line
    assert redis.keys("*") == []


def test_a_setting_in_the_environment_is_refused_too(url: str) -> None:
    line = refused(WORKER, HANDLER, via=files(256), BIZZMQ_REDIS_URL=url, BIZZMQ_WORKER_CONCURRENCY="5000")
    assert "5000 workers need" in line


def test_with_just_enough_open_files_the_whole_pool_works(url: str, pool_factory: object, tmp_path: Path) -> None:
    workers = 20
    config = WorkerConfig(handler=HANDLER, concurrency=workers)
    limit = system_limits.files_needed(config.worker_count, config.capacity)
    refused(WORKER, HANDLER, f"--concurrency={workers}", via=files(limit - 1), BIZZMQ_REDIS_URL=url)

    pool: Pool = pool_factory(url, concurrency=workers, via=files(limit))  # type: ignore[operator]
    pool.wait_ready()
    pool.signal(signal.SIGHUP)
    pool.signal(signal.SIGTERM)

    assert pool.wait(PATIENCE_S) == 0
    assert "could not be started" not in pool.log()


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group that allows ten processes."""
    try:
        folder = _new_group()
    except OSError as error:
        pytest.skip(f"no control group is available here: {error}")
    (folder / "pids.max").write_text("10")
    yield folder
    folder.rmdir()


def test_a_control_group_that_allows_fewer_processes_is_named(url: str, group: Path) -> None:
    into = ["bash", "-c", f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"']

    line = refused(WORKER, HANDLER, "--concurrency=10", via=into, BIZZMQ_REDIS_URL=url)

    assert "10 workers need 14 processes, but the control group's pids.max is 10: raise it" in line


def test_the_users_limit_of_processes_is_named(url: str) -> None:
    into = [*as_unprivileged(), "bash", "-c", 'ulimit -u 300; exec "$0" "$@"']
    line = refused(WORKER, HANDLER, "--concurrency=299", via=into, BIZZMQ_REDIS_URL=url, HOME="/")
    assert "RLIMIT_NPROC is 300: raise it (ulimit -u, LimitNPROC=)" in line


def test_a_supervisor_of_a_program_raises_it(url: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with pytest.raises(ConfigurationError, match="workers need"):
        Supervisor(WorkerConfig(handler=print, concurrency=hard if hard > 0 else 2**62, redis_url=url))
