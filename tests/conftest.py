"""Fixtures: a real server for every test, and factories for the servers, proxies and pools that a test can break."""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.consumer.handlers.handler import UserHandler
from bizzmq.consumer.in_process import InProcessConsumer
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.testing.ledger import LEDGER_VARIABLE, Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from tests.support.figures import Figures, repetitions
from tests.support.paths import ROOT
from tests.support.recording_handler import NO_BACKOFF

BY_BODY = "tests.handlers:by_body"
"""The default handler: the body names its action."""
SEED_VARIABLE = "BIZZMQ_TEST_SEED"
STALL_S = 60.0

# On a busy machine one example may take a second, and it is no failure.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore SIGINT. Tests press Ctrl+C, and their programs would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Escape surrogates in the output of a test: pytest cannot send them to its main process."""
    outcome: Any = yield
    report = outcome.get_result()
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep `count` cases of each test marked `usually(count, every=1)` in ordinary runs; mark the others `nightly`."""
    cases: Counter[str] = Counter()
    for item in items:
        usually = item.get_closest_marker("usually")
        if usually is not None:
            name = item.nodeid.partition("[")[0]
            turn, rest = divmod(cases[name], usually.kwargs.get("every", 1))
            cases[name] += 1
            if rest or turn >= usually.args[0]:
                item.add_marker(pytest.mark.nightly)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave what thousands of collected tests consist of out of each garbage collection, of which tests start many.

    Hypothesis looks for referrers of its random numbers when its first test begins, and warns if the collector knows
    none. The collector knows no frozen ones, so on CPython 3.8 the first such test of each process failed, and passed
    when Hypothesis repeated it. So a first one comes before.
    """
    given(none())(settings(max_examples=1, database=None)(lambda _: None))()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def garbage() -> Iterator[None]:
    """What the tests of a module leave unclosed is reported at its end, and not in the test of another module."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    """A server without persistence that all tests share. No test may stop or configure it."""
    running = RedisServer()
    yield running
    running.close()


@pytest.fixture
def redis(server: RedisServer) -> Iterator[Redis]:
    """A client on the shared server, which is empty when the test starts.

    It is patient: on a busy machine a server may be silent for some seconds, which is no failure of a promise.
    """
    with server.client(socket_timeout=STALL_S) as client:
        client.flushall()
        yield client


@pytest.fixture
def url(server: RedisServer, redis: Redis) -> str:
    """The shared server's address; empty when the test starts."""
    return server.url


@pytest.fixture
def private_server() -> Iterator[Callable[..., RedisServer]]:
    """Start a RedisServer for this test alone: private_server(persistence="aof", ...)."""
    with ExitStack() as stack:

        def start(**options: Any) -> RedisServer:
            running = RedisServer(**options)
            stack.callback(running.close)
            return running

        yield start


@pytest.fixture
def proxy_factory() -> Iterator[Callable[[str], Proxy]]:
    """Start a Proxy in front of the server of a URL."""
    with ExitStack() as stack:
        yield lambda upstream_url: stack.enter_context(Proxy(upstream_url))


@pytest.fixture
def proxy(url: str, proxy_factory: Callable[[str], Proxy]) -> Proxy:
    """A Proxy in front of the shared server."""
    return proxy_factory(url)


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """The figures that a test reports to the fault matrix."""
    return Figures(request.node.user_properties)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Figures) -> Iterator[Ledger]:
    """The ledger of this test's handlers and publishers, in this process and in its pools."""
    written = Ledger(tmp_path / "ledger")
    monkeypatch.setenv(LEDGER_VARIABLE, str(written.directory))
    yield written
    figures.repeated(*repetitions(written))


# Requests the other factories so that pools end before the servers and proxies that they use.
@pytest.fixture
def pool_factory(
    tmp_path: Path,
    ledger: Ledger,
    private_server: Callable[..., RedisServer],
    proxy_factory: Callable[[str], Proxy],
) -> Iterator[Callable[..., Pool]]:
    """Start a Pool: pool_factory(url, queue=..., handler=..., ...). Its log is shown on failure."""
    pools: list[Pool] = []

    def start(redis_url: str, **options: Any) -> Pool:
        pool = Pool(redis_url, tmp_path / f"pool-{len(pools)}.log", **{"cwd": ROOT, "handler": BY_BODY, **options})
        pools.append(pool)
        return pool

    yield start
    for pool in pools:
        pool.close()
    for pool in pools:
        print(f"--- {pool.log_path.name}, exit code {pool.exit_code}\n{pool.log()}")  # noqa: T201 - for pytest's report


@pytest.fixture
def rng() -> random.Random:
    """Seeded random numbers; the seed is shown on failure and replayed by BIZZMQ_TEST_SEED."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(2**32))
    print(f"replay with {SEED_VARIABLE}={seed}")  # noqa: T201 - for pytest's report
    return random.Random(seed)


@pytest.fixture
def mq(url: str) -> Iterator[BizzMQ]:
    """A client of the shared server."""
    with BizzMQ(url) as client:
        yield client


@pytest.fixture
def queue(mq: BizzMQ) -> str:
    """A queue with a dead-letter queue, two retries and no back-off."""
    mq.create_queue("q", NO_BACKOFF)
    return "q"


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    """A broker on the shared server."""
    made = Broker(Connection(url, timeout_s=STALL_S))
    yield made
    made.connection.drop()


@pytest.fixture
def consumer_factory() -> Iterator[Callable[..., InProcessConsumer]]:
    """Start an InProcessConsumer: consumer_factory(url, queue, handler, lease)."""
    started: list[InProcessConsumer] = []

    def start(url: str, queue: str, handler: UserHandler, lease: LeaseOptions) -> InProcessConsumer:
        consumer = InProcessConsumer(lambda: Broker(Connection(url)), queue, handler, lease)
        consumer.start()
        started.append(consumer)
        return consumer

    yield start
    for consumer in started:
        consumer.stop()
