"""Compressed and encrypted bodies through real queues: clients, asyncio, a task, a dead letter, and a pool."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from bizzmq import App, AsyncBizzMQ, BizzMQ, ConfigurationError, QueueOptions
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, Scene
from tests.pool.command import OPERATOR, run
from tests.support.drained import drained

KEY, OTHER = b"k" * 32, b"o" * 32
LARGE = {"text": "again and again " * 1000, "card": "4111"}


def sealing(url: str, **others: Any) -> BizzMQ:
    return BizzMQ(url, compress_above_bytes=1000, encryption_keys={"k1": KEY}, **others)


def test_redis_has_few_bytes_and_no_text_of_a_body(url: str, redis: Redis) -> None:
    with sealing(url) as mq, BizzMQ(url) as other:
        mq.create_queue("q")
        message_id = mq.publish_message_to_queue("q", LARGE)
        assert redis.hstrlen(Keys("q").messages, message_id) < 1000
        assert other.messages("q").messages[0].as_dict()["body"].startswith("(encrypted with key 'k1', ")
        assert mq.messages("q").messages[0].body == LARGE
        found = mq.find(message_id)
        assert found is not None
        assert found.body == LARGE
        assert drained(mq) == [LARGE]


def test_many_messages_of_all_shards_come_back(url: str) -> None:
    with sealing(url, signing_keys=[OTHER]) as mq:
        mq.create_queue("q", QueueOptions(shards=3))
        mq.publish_messages_to_queue("q", [{"n": number, **LARGE} for number in range(300)])
        assert sorted(body["n"] for body in drained(mq)) == list(range(300))


def test_without_the_key_a_message_waits_and_is_handled_later(url: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []
    with sealing(url) as mq, BizzMQ(url, encryption_keys={"k2": OTHER}) as other:
        mq.create_queue("q", QueueOptions(max_retries=0, config_dead_letter_queue=True))
        mq.publish_message_to_queue("q", LARGE)
        stop = other.consume_message_from_queue("q", seen.append)
        eventually(lambda: "has its key" in caplog.text, PATIENCE_S)
        stop()

        assert seen == []
        stats = mq.stats("q")
        assert (stats.dead_lettered, stats.retried, stats.waiting + stats.delayed) == (0, 0, 1)
        assert drained(mq) == [LARGE]


def test_a_dead_letter_keeps_its_secret_and_is_replayed(url: str, redis: Redis) -> None:
    def fail(_body: Any) -> None:
        raise ValueError("no")

    with sealing(url) as mq:
        mq.create_queue("q", QueueOptions(max_retries=0, config_dead_letter_queue=True))
        message_id = mq.publish_message_to_queue("q", LARGE)
        mq.consume_until_empty("q", fail, timeout_s=PATIENCE_S)
        assert redis.hstrlen(Keys("q_dlq").messages, message_id) < 5000
        with BizzMQ(url) as other:
            (letter,) = other.dead_letters("q").messages
            assert letter.envelope
            assert b"4111" not in letter.envelope
        assert mq.replay("q") == 1
        assert drained(mq) == [LARGE]


def test_asyncio_and_tasks_seal_as_well(url: str) -> None:
    async def publish() -> None:
        async with AsyncBizzMQ(url, compress_above_bytes=0, encryption_keys={"k1": KEY}) as mq:
            await mq.create_queue("q")
            await mq.publish_message_to_queue("q", LARGE)
            assert (await mq.messages("q")).messages[0].body == LARGE

    asyncio.run(publish())
    with sealing(url) as mq:
        assert drained(mq) == [LARGE]

    app = App(url, compress_above_bytes=100, encryption_keys={"k1": KEY})
    seen: list[str] = []

    @app.task(name="read")
    def read(text: str) -> None:
        seen.append(text)

    read.publish("x" * 1000)
    assert len(app.run_until_idle(timeout_s=PATIENCE_S)) == 1
    assert seen == ["x" * 1000]
    app.close()


@pytest.mark.parametrize("source", ["variable", "file"])
def test_a_pool_and_the_command_take_the_keys_from_the_environment(scene: Scene, tmp_path: Path, source: str) -> None:
    keys = f"k1:{base64.b64encode(KEY).decode()},old:{base64.b64encode(OTHER).decode()}"
    file = tmp_path / "keys"
    file.write_text(keys)
    file.chmod(0o600)
    given: Any = {
        "variable": {"BIZZMQ_ENCRYPTION_KEYS": keys}, "file": {"BIZZMQ_ENCRYPTION_KEYS_FILE": str(file)},
    }[source]  # fmt: skip
    pool = scene.pool(concurrency=1, env=given)

    (published,) = run(OPERATOR, f"--redis-url={scene.url}", "publish", "q", '{"n": 1}', **given).lines()

    eventually(lambda: published in scene.ledger.handled(), PATIENCE_S, pool.log)
    assert keys[3:20] not in pool.log()
    scene.retire(pool)


@pytest.mark.parametrize("keys", ["", "k1", "k1:short", "k 1:x", f"k1:{base64.b64encode(b'x').decode()}"])
def test_a_bad_key_in_the_environment_is_one_line(url: str, keys: str) -> None:
    ended = run(OPERATOR, f"--redis-url={url}", "publish", "q", "1", BIZZMQ_ENCRYPTION_KEYS=keys)

    assert ended.code == 2, ended
    assert len(ended.err.strip().splitlines()) == 1
    assert "BIZZMQ_ENCRYPTION_KEYS" in ended.err


def test_an_edited_dead_letter_stays_encrypted_and_needs_the_key(url: str) -> None:
    def fail(_body: Any) -> None:
        raise ValueError("no")

    with sealing(url) as mq, BizzMQ(url) as other:
        mq.create_queue("q", QueueOptions(max_retries=0, config_dead_letter_queue=True))
        message_id = mq.publish_message_to_queue("q", LARGE)
        mq.consume_until_empty("q", fail, timeout_s=PATIENCE_S)
        with pytest.raises(ConfigurationError, match="encrypted with key 'k1'"):
            other.replay("q", message_id, options={"priority": 3})

        assert mq.replay("q", message_id, body={"card": "4222"}) == 1

        (waiting,) = other.messages("q").messages
        assert b"4222" not in waiting.envelope
        assert drained(mq) == [{"card": "4222"}]
