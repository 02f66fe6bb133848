"""The `bizzmq` command, the library and a pool accept the addresses of several servers and show no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Callable

import pytest

from bizzmq import BizzMQ, MessageOptions, QueueInUseError, QueueOptions, Reject
from bizzmq.alerts.watcher import Watcher
from bizzmq.broker.broker import open_broker
from bizzmq.errors import BizzMQError
from bizzmq.testing import invariants
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.wait import eventually
from tests.alerts.recorder import Recorder, only
from tests.cluster.conftest import StartPool
from tests.faults.scene import PATIENCE_S, QUEUE
from tests.support.cluster import Cluster
from tests.support.paths import ROOT
from tests.support.sentinels import SentinelGroup

SECRET, SENTINEL_SECRET = "canary-secret", "canary-sentinel"


@pytest.fixture(params=["sentinel", "cluster"])
def url(
    request: pytest.FixtureRequest,
    start_sentinel_group: Callable[..., SentinelGroup],
    start_cluster: Callable[..., Cluster],
) -> str:
    if request.param == "sentinel":
        return start_sentinel_group(password=SECRET, sentinel_password=SENTINEL_SECRET).url
    return start_cluster(password=SECRET).url


def test_everything_accepts_the_address_and_shows_no_secret(url: str, ledger: Ledger, pool_factory: StartPool) -> None:
    output = [_bizzmq(url, "publish", "--create", QUEUE, '{"do": "reject"}')]
    output.append(_bizzmq(url, "publish", QUEUE, '{"do": "ok"}'))
    pool = pool_factory(url, url_in_env=True)
    with BizzMQ(url) as mq:
        eventually(lambda: mq.stats(QUEUE).acked and mq.stats(QUEUE).dead_lettered, PATIENCE_S)
        stats = mq.stats(QUEUE).as_dict()
        output.append(repr(mq))
        assert mq.create_queue("another")

    output += [_bizzmq(url, "stats", QUEUE, "--json"), _bizzmq(url, "queues", "--json")]
    shown = json.loads(output[-2])
    assert {name: shown[name] for name in stats} == stats
    assert [row["queue"] for row in json.loads(output[-1])] == ["another", QUEUE, f"{QUEUE}_dlq"]
    output.append(_bizzmq(url, "dlq", "list", QUEUE))
    assert "asked to reject" in output[-1]
    assert _bizzmq(url, "dlq", "replay", QUEUE).strip() == "1 message replayed"
    with BizzMQ(url) as mq:
        eventually(lambda: mq.stats(QUEUE).dead_lettered, PATIENCE_S)
    assert _bizzmq(url, "dlq", "purge", QUEUE, "--yes").strip() == "1 message deleted"
    output += [_bizzmq(_wrong(url), "stats", QUEUE, fails=True)]
    assert "invalid username-password pair" in output[-1]
    assert len(output[-1].splitlines()) == 1
    invariants.check_log(pool.log() + "".join(output), secrets=[SECRET, SENTINEL_SECRET], tracebacks=2)


def test_queues_and_messages_are_managed_on_several_servers(url: str) -> None:
    with BizzMQ(url) as mq:
        assert mq.create_queue("wide", QueueOptions(config_dead_letter_queue=True, shards=4))
        assert mq.create_queue("one")
        published = mq.publish_messages_to_queue("wide", range(1000))
        later = mq.publish_message_to_queue("one", "later", MessageOptions(delay_s=60))

        assert mq.update_queue("wide", {"max_retries": 7}).changed == {"max_retries": (3, 7)}
        assert [mq.show_queue(shard).options.max_retries for shard in mq.show_queue("wide").shards] == [7] * 4
        listed: list[str] = []
        page = mq.messages("wide", limit=300)
        while True:
            listed += [message.id for message in page.messages]
            if page.next is None:
                break
            page = mq.messages("wide", limit=300, after=page.next)
        assert sorted(listed) == published
        found = [mq.find(one) for one in (published[0], published[-1], later)]
        assert [one.body if one else None for one in found] == [0, 999, "later"]
        eventually(lambda: _alerts(url) == [("no-worker", "begin", "wide")], PATIENCE_S, ignoring=(BizzMQError,))
        assert _alerts(url) == [], "it is noted on the servers"
        assert mq.delete("wide", published[5])
        with pytest.raises(QueueInUseError, match="999 messages"):
            mq.delete_queue("wide")
        mq.consume_until_empty("wide", _fail_some, 60)
        assert len(mq.dead_letters("wide").messages) == mq.stats("wide").dead_lettered == 3
        assert [(one.error_type, one.count) for one in mq.dead_letter_groups("wide")] == [("Reject", 3)]
        assert mq.replay("wide", mq.dead_letters("wide").messages[0].id, body="edited") == 1
        assert mq.replay("wide", error_type="Reject", rate="100/s") == 2
        assert mq.purge("wide") == 3
        assert mq.delete_queue("wide") == 0
        assert mq.delete_queue("one", with_messages=True) == 1
        assert mq.queues() == []


def _fail_some(number: int) -> None:
    if number % 400 == 0:
        raise Reject("not this one")


def _alerts(url: str) -> list[tuple[str, str, str]]:
    """What a watcher that looks once sends."""
    recorder = Recorder()
    with open_broker(url) as broker:
        Watcher(broker, only(no_worker=0), recorder).look()
    return recorder.sent


def _wrong(url: str) -> str:
    return url.replace(f":{SECRET}@", ":canary-secret-wrong@")


def _bizzmq(url: str, *arguments: str, fails: bool = False) -> str:
    """The output of the command; it must succeed or exit with 2."""
    done = subprocess.run(
        [sys.executable, "-m", "bizzmq", "--redis-url", url, *arguments],
        cwd=str(ROOT), capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == (2 if fails else 0), done.stderr
    return done.stdout + done.stderr if fails else done.stdout
