"""A queue with several shards: one queue to all its users, with each message in one place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, QueueNotFoundError, QueueOptions
from bizzmq.protocol.keys import QueueKeys, logical_queue, shard_of
from bizzmq.testing import invariants
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.cluster.conftest import StartPool
from tests.faults.gated_handler import HANDLER, Gate
from tests.faults.scene import PATIENCE_S
from tests.support.cluster import Cluster
from tests.support.paths import ROOT

SHARDS = 6
QUEUE = "wide"
NAMES = [QUEUE, *(f"{QUEUE}:{index}" for index in range(1, SHARDS))]


@pytest.fixture
def mq(url: str) -> Iterator[BizzMQ]:
    """A client of the shared server, on which there is a queue with shards."""
    with BizzMQ(url) as client:
        client.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True, shards=SHARDS, retry_backoff_s=0.0))
        yield client


def test_shard_names_are_derived_from_their_queue_and_back() -> None:
    assert [shard_of(QUEUE, index) for index in range(SHARDS)] == NAMES
    assert shard_of("q_dlq", 0) == "q_dlq"
    assert shard_of("q_dlq", 3) == "q:3_dlq" == QueueKeys("q:3").dead_letters().queue
    assert [logical_queue(name) for name in ("q", "q_dlq", "q:3", "q:3_dlq")] == ["q", "q_dlq", "q", "q_dlq"]


@pytest.mark.parametrize("shards", [0, -1, 257])
def test_a_number_of_shards_that_cannot_work_is_refused(shards: int) -> None:
    with pytest.raises(ConfigurationError, match="shards must be between 1 and 256"):
        QueueOptions(shards=shards)


def test_a_shard_is_not_created_by_its_name(mq: BizzMQ) -> None:
    with pytest.raises(ConfigurationError, match="the name of a shard: create 'wide' with shards"):
        mq.create_queue("wide:7")
    assert not mq.create_queue(QUEUE, QueueOptions(shards=9))
    with pytest.raises(QueueNotFoundError):
        mq.stats("wide:7")


def test_publishing_rotates_over_shards_and_stats_add_up(mq: BizzMQ) -> None:
    for number in range(3 * SHARDS):
        mq.publish_message_to_queue(QUEUE, number)
    mq.publish_messages_to_queue(QUEUE, range(100 * SHARDS))

    shares = [mq.stats(name) for name in NAMES[1:]]  # the name of the first shard is the name of the queue
    assert {share.published for share in shares} == {103}
    whole = mq.stats(QUEUE)
    assert whole.waiting == whole.published == 103 * SHARDS


def test_a_publisher_finds_the_shards_of_a_queue_created_later(url: str) -> None:
    with BizzMQ(url) as publisher, BizzMQ(url) as other:
        with pytest.raises(QueueNotFoundError):
            publisher.publish_message_to_queue("late", 1)
        other.create_queue("late", QueueOptions(shards=2))
        for number in range(4):
            publisher.publish_message_to_queue("late", number)

        assert other.stats("late").published == 4
        assert other.stats("late:1").published == 2


@pytest.mark.parametrize("again", [1, 2, 9])
def test_a_publisher_finds_the_shards_of_a_recreated_queue(mq: BizzMQ, redis: Redis, url: str, again: int) -> None:
    mq.publish_messages_to_queue(QUEUE, range(2 * SHARDS))
    redis.flushall()
    with BizzMQ(url) as other:
        other.create_queue(QUEUE, QueueOptions(shards=again))

    published = mq.publish_messages_to_queue(QUEUE, range(1000))
    published += [mq.publish_message_to_queue(QUEUE, number) for number in range(SHARDS)]

    whole = mq.stats(QUEUE)
    assert whole.waiting == whole.published == len(set(published)) == 1000 + SHARDS


def test_an_error_names_the_missing_queue_and_not_its_shard(mq: BizzMQ, redis: Redis) -> None:
    mq.publish_messages_to_queue(QUEUE, range(SHARDS))
    redis.flushall()

    for _ in range(SHARDS):
        with pytest.raises(QueueNotFoundError, match=r"^queue 'wide' does not exist") as raised:
            mq.publish_message_to_queue(QUEUE, 1)
        assert raised.value.queue == QUEUE
    assert redis.keys("*:messages") == []


def test_the_in_process_consumer_serves_all_shards_under_one_name(mq: BizzMQ) -> None:
    seen: list[tuple[int, str]] = []
    stop = mq.consume_message_from_queue(QUEUE, lambda body, context: seen.append((body, context.queue)))

    for number in range(50):
        mq.publish_message_to_queue(QUEUE, number)

    eventually(lambda: mq.stats(QUEUE).acked == 50, PATIENCE_S)
    stop()
    assert sorted(seen) == [(number, QUEUE) for number in range(50)]


def test_each_shard_keeps_its_order(mq: BizzMQ) -> None:
    seen: list[int] = []
    mq.publish_messages_to_queue(QUEUE, range(300 * SHARDS))

    stop = mq.consume_message_from_queue(QUEUE, seen.append)
    eventually(lambda: len(seen) == 300 * SHARDS, PATIENCE_S)
    stop()

    by_hundred = [number // 100 for number in seen]  # a hundred are published to a shard at once
    for hundred in range(3 * SHARDS):
        own = [number for number, of in zip(seen, by_hundred) if of == hundred]
        assert own == sorted(own)


@pytest.mark.parametrize("where", ["one server", "cluster"])
def test_a_pool_serves_all_shards_through_kills_and_failures(
    where: str, request: pytest.FixtureRequest, ledger: Ledger, tmp_path: Path
) -> None:
    cluster: Cluster | None = request.getfixturevalue("cluster") if where == "cluster" else None
    url = cluster.url if cluster else request.getfixturevalue("url")
    pool_factory: StartPool = request.getfixturevalue("pool_factory")
    with BizzMQ(url) as mq:
        mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True, shards=SHARDS, retry_backoff_s=0.0))
        pool = pool_factory(url, queue=QUEUE, handler=HANDLER)
        pool.wait_ready()
        gates = [Gate(tmp_path / f"gate-{number}") for number in range(2)]
        held = [mq.publish_message_to_queue(QUEUE, gate.body()) for gate in gates]
        ledger.record_published(*held)
        for message in held:
            ledger.wait_started(message, timeout_s=PATIENCE_S)
        opened = Gate(tmp_path / "open")
        opened.open()
        bodies = [opened.body()] * 8 + [opened.body("raise", "ok"), opened.body("reject")]
        for body in bodies * 12:
            ledger.record_published(mq.publish_message_to_queue(QUEUE, body))

        _kill_the_one_that_runs(pool, ledger, held[0])
        ledger.wait_started(held[0], runs=2, timeout_s=PATIENCE_S)
        for gate in gates:
            gate.open()

        eventually(lambda: mq.stats(QUEUE).acked == 2 + 12 * 9, PATIENCE_S, lambda: str(mq.stats(QUEUE)))
        stats = mq.stats(QUEUE)
        assert (stats.published, stats.dead_lettered, stats.retried, stats.requeued) == (122, 12, 12, 1)
        assert (stats.waiting, stats.processing) == (0, 0)
        looks = {name: cluster.at(name) if cluster else request.getfixturevalue("redis") for name in NAMES}
        for name, look in looks.items():
            invariants.check_one_place(look, name)
            invariants.check_nothing_stranded(look, name)
        invariants.check_duplicates(ledger, 12 + 1)
        assert len(ledger.handled()) == 122 - 12
        assert {event.fields["queue"] for event in ledger.starts()} == {QUEUE}
        if cluster:
            assert len({cluster.master_of(name).port for name in NAMES}) == 3
        pool.signal(signal.SIGTERM)
        assert pool.wait(PATIENCE_S) == 0, pool.log()
        for name, look in looks.items():
            assert not look.execute_command("HLEN", f"bizzmq:{{{name}}}:supervisors")
            assert not look.execute_command("HLEN", f"bizzmq:{{{name}}}:workers")


def test_a_message_that_kills_its_workers_is_quarantined_in_its_shard(
    mq: BizzMQ, url: str, ledger: Ledger, pool_factory: StartPool
) -> None:
    pool = pool_factory(url, queue=QUEUE)
    pool.wait_ready()
    for _ in range(SHARDS):
        mq.publish_message_to_queue(QUEUE, {"do": "ok"})
    poison = mq.publish_message_to_queue(QUEUE, {"do": "kill_self"})

    eventually(lambda: mq.stats(QUEUE).dead_lettered == 1, PATIENCE_S, pool.log)
    letter = json.loads(_bizzmq(url, "dlq", "show", QUEUE, poison, "--json"))
    assert letter["error"]["crash_count"] == 3
    eventually(lambda: mq.stats(QUEUE).acked == SHARDS, PATIENCE_S)


def test_the_operator_sees_the_dead_letters_of_all_shards(
    mq: BizzMQ, url: str, redis: Redis, ledger: Ledger, pool_factory: StartPool
) -> None:
    pool = pool_factory(url, queue=QUEUE, args=["--burst"])
    for number in range(2 * SHARDS):
        mq.publish_message_to_queue(QUEUE, {"do": "reject", "reason": f"number {number}"})
    assert pool.wait(PATIENCE_S) == 0, pool.log()

    listed = json.loads(_bizzmq(url, "dlq", "list", QUEUE, "--json"))
    pages = [_bizzmq(url, "dlq", "list", QUEUE, "--json", f"--offset={offset}", "--limit=5") for offset in (0, 5, 10)]
    assert [row for page in pages for row in json.loads(page)] == listed
    assert sorted(row["error"] for row in listed) == sorted(f"number {number}" for number in range(2 * SHARDS))
    assert len(Counter(row["queue"] for row in listed)) == SHARDS
    one = listed[-1]["id"]
    assert json.loads(_bizzmq(url, "dlq", "show", QUEUE, one, "--json"))["id"] == one
    assert _bizzmq(url, "dlq", "replay", QUEUE, one).strip() == "1 message replayed"
    assert mq.stats(QUEUE).waiting == 1
    assert _bizzmq(url, "dlq", "replay", QUEUE).strip() == f"{2 * SHARDS - 1} messages replayed"
    assert _bizzmq(url, "purge", QUEUE, "--yes").strip() == f"{2 * SHARDS} messages deleted"
    queues = json.loads(_bizzmq(url, "queues", "--json"))
    assert [row["queue"] for row in queues] == [QUEUE, f"{QUEUE}_dlq"]
    for name in NAMES:
        invariants.check_at_rest(redis, name)


def test_a_server_that_has_lost_its_data_has_the_shards_again(
    mq: BizzMQ, url: str, redis: Redis, ledger: Ledger, pool_factory: StartPool
) -> None:
    pool = pool_factory(url, queue=QUEUE, args=["--lease=1"])
    pool.wait_ready()

    redis.flushall()

    eventually(lambda: redis.hlen(QueueKeys(NAMES[-1]).workers) == 2, PATIENCE_S, pool.log)  # type: ignore[no-any-return]
    assert redis.hget(QueueKeys(QUEUE).meta, "shards") == str(SHARDS)
    ids = eventually(
        lambda: mq.publish_messages_to_queue(QUEUE, [{"do": "ok"}] * SHARDS),
        PATIENCE_S,
        ignoring=(QueueNotFoundError,),
    )
    ledger.wait_handled(*ids, timeout_s=PATIENCE_S)


def _kill_the_one_that_runs(pool: Pool, ledger: Ledger, message: str) -> None:

    os.kill(ledger.runs_of(message)[-1].pid, signal.SIGKILL)


def _bizzmq(url: str, *arguments: str) -> str:
    """The output of the command, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "bizzmq", "--redis-url", url, *arguments],
        cwd=str(ROOT), capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
