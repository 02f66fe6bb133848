"""Reports to Redis: each count arrives once, whichever process of the pool dies, and however often a reply is lost."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ, Measures
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.metrics import reporter as reporter_module
from bizzmq.metrics.reporter import LEDGER_BYTES, Ledger, Reporter
from bizzmq.metrics.rolling import roll_up_queue
from bizzmq.metrics.table import MetricsTable, size_of
from bizzmq.testing.proxy import Proxy

KEY = "bizzmq:{q}:metrics"


class Death(BaseException):
    """The process ends here."""


class Pool:
    """The memory of a pool, which outlives its janitors."""

    def __init__(self, url: str, supervisor: str) -> None:
        self._url, self._supervisor = url, supervisor
        self.tables = [MetricsTable(bytearray(size_of())) for _ in range(2)]
        self._ledger = bytearray(LEDGER_BYTES)
        self.counted = 0

    def work(self, count: int, task: str = "t") -> None:
        table = self.tables[self.counted % 2]
        table.cells[table.row(0, task)] += count
        self.counted += count

    def janitor(self) -> Reporter:
        """A new one, on the same memory."""
        broker = Broker(Connection(self._url))
        return Reporter(
            broker, self._supervisor, ["q"], self.tables, Ledger.in_buffer(self._ledger), start=b'{"code":"1"}',
            shards_of=lambda queue: [queue],
        )  # fmt: skip


@pytest.fixture
def mq(url: str) -> Any:
    with BizzMQ(url) as client:
        client.create_queue("q")
        yield client


def succeeded(mq: BizzMQ) -> int:
    metrics = mq.metrics("q", last_s=600)
    assert sum(mq_sum.succeeded for mq_sum in _all(metrics.tasks)) == metrics.total.succeeded
    return metrics.total.succeeded


def _all(tasks: Any) -> list[Measures]:
    return [*itertools.chain.from_iterable(tasks.values())]


def test_reports_of_several_pools_add_up_before_and_after_the_roll_up(url: str, mq: BizzMQ, redis: Redis) -> None:
    pools = [Pool(url, f"s{number}") for number in range(3)]
    for _ in range(3):
        for pool in pools:
            pool.work(5)
            pool.janitor().report()
    assert succeeded(mq) == 45

    age(url)

    assert roll_up_queue(Broker(Connection(url)), "q")
    assert not roll_up_queue(Broker(Connection(url)), "q")
    assert not [name for name in redis.hkeys(KEY) if name.startswith("r:")]
    assert succeeded(mq) == 45


def age(url: str) -> None:
    """Make all reports old enough to be rolled up."""
    with Redis.from_url(url, protocol=2) as redis:
        for name, value in redis.hgetall(KEY).items():
            if name.startswith(b"r:"):
                stamp, _, rest = value.partition(b" ")
                redis.hset(KEY, name, b"%d %s" % (int(stamp) - 60_000, rest))


@pytest.mark.parametrize("step", ["_prepare", "_growth", "_send", "_copy"])
def test_a_janitor_that_dies_while_it_reports_loses_and_doubles_nothing(
    url: str, mq: BizzMQ, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    pool = Pool(url, "s1")
    pool.work(3)
    pool.janitor().report()
    pool.work(4)
    _dies_after(monkeypatch, step)

    with pytest.raises(Death):
        pool.janitor().report()
    monkeypatch.undo()
    pool.work(5)
    pool.janitor().report()
    pool.janitor().report()

    assert succeeded(mq) == 12


def _dies_after(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    owner: Any = reporter_module if step == "_copy" else Reporter
    real = getattr(owner, step)

    def dying(*arguments: Any) -> Any:
        real(*arguments)
        raise Death

    monkeypatch.setattr(owner, step, dying)


def test_a_report_whose_reply_was_lost_is_added_once(mq: BizzMQ, proxy: Proxy) -> None:
    pool = Pool(proxy.url, "s1")
    reporter = pool.janitor()
    reporter.report()
    pool.work(7)
    fault = proxy.swallow_next_reply()

    reporter.report()
    fault.wait()
    pool.work(1)
    reporter.report()

    assert succeeded(mq) == 8


def test_a_user_without_permission_costs_one_line(url: str, mq: BizzMQ, redis: Redis, caplog: Any) -> None:
    if not hasattr(redis, "acl_setuser") or int(redis.info("server")["redis_version"].split(".")[0]) < 6:
        pytest.skip("this server has no users")
    redis.acl_setuser("old", enabled=True, passwords=["+old"], keys=["bizzmq:{q}:meta"], commands=["+@all"])
    pool = Pool(url.replace("redis://", "redis://old:old@"), "s1")
    reporter = pool.janitor()
    try:
        for _ in range(3):
            reporter.report()
    finally:
        redis.acl_deluser("old")

    assert len([record for record in caplog.records if "metrics" in record.getMessage()]) == 1
    assert succeeded(mq) == 0
