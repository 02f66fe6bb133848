"""The operator's command, the library and a pool take the addresses of several servers, and tell no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Callable

import pytest

from bizzmq import BizzMQ
from bizzmq.testing import invariants
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.wait import eventually
from tests.cluster.conftest import StartPool
from tests.faults.scene import PATIENCE_S, QUEUE
from tests.support.cluster import Cluster
from tests.support.paths import ROOT
from tests.support.sentinels import Watched

SECRET, SENTINEL_SECRET = "canary-secret", "canary-sentinel"


@pytest.fixture(params=["sentinel", "cluster"])
def url(
    request: pytest.FixtureRequest,
    start_watched: Callable[..., Watched],
    start_cluster: Callable[..., Cluster],
) -> str:
    if request.param == "sentinel":
        return start_watched(password=SECRET, sentinel_password=SENTINEL_SECRET).url
    return start_cluster(password=SECRET).url


def test_everything_takes_the_address_and_tells_no_secret(url: str, ledger: Ledger, pool_factory: StartPool) -> None:
    told = [_bizzmq(url, "publish", "--create", QUEUE, '{"do": "reject"}')]
    told.append(_bizzmq(url, "publish", QUEUE, '{"do": "ok"}'))
    pool = pool_factory(url, url_in_env=True)
    with BizzMQ(url) as mq:
        eventually(lambda: mq.stats(QUEUE).acked and mq.stats(QUEUE).dead_lettered, PATIENCE_S)
        stats = mq.stats(QUEUE).as_dict()
        told.append(repr(mq))
        assert mq.create_queue("another")

    told += [_bizzmq(url, "stats", QUEUE, "--json"), _bizzmq(url, "queues", "--json")]
    assert json.loads(told[-2]) == stats
    assert [row["queue"] for row in json.loads(told[-1])] == ["another", QUEUE, f"{QUEUE}_dlq"]
    told.append(_bizzmq(url, "dlq", "list", QUEUE))
    assert "asked to reject" in told[-1]
    assert _bizzmq(url, "dlq", "replay", QUEUE).strip() == "1 messages put back"
    with BizzMQ(url) as mq:
        eventually(lambda: mq.stats(QUEUE).dead_lettered, PATIENCE_S)
    assert _bizzmq(url, "dlq", "purge", QUEUE, "--yes").strip() == "1 messages deleted"
    told += [_bizzmq(_wrong(url), "stats", QUEUE, fails=True)]
    assert "invalid username-password pair" in told[-1]
    assert len(told[-1].splitlines()) == 1
    invariants.check_log(pool.log() + "".join(told), secrets=[SECRET, SENTINEL_SECRET], tracebacks=2)


def _wrong(url: str) -> str:
    return url.replace(f":{SECRET}@", ":canary-secret-wrong@")


def _bizzmq(url: str, *arguments: str, fails: bool = False) -> str:
    """What the command says; it must succeed, or else be refused with 2."""
    done = subprocess.run(
        [sys.executable, "-m", "bizzmq", "--redis-url", url, *arguments],
        cwd=str(ROOT), capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == (2 if fails else 0), done.stderr
    return done.stdout + done.stderr if fails else done.stdout
