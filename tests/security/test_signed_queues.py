"""Signed messages from publisher to handler: real consumers and pools with their own keys."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from bizzmq.admin.dead_letters import dead_letters
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S, Scene, log_says
from tests.pool.command import OPERATOR, WORKER, refused, run

OLD, NEW = b"o" * 32, b"n" * 32
NEW_TEXT, OLD_TEXT = base64.b64encode(NEW).decode(), base64.b64encode(OLD).decode()
QUEUES = ("q", "r")
AT_ONCE = QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0.0)


class Seen:
    """Records bodies and errors; fails if the body asks for it."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.errors: list[Any] = []

    def __call__(self, body: Any, context: Any) -> None:
        self.bodies.append(body)
        self.errors.append(context.error)
        if body == "bad" and context.error is None:
            raise ValueError("a bad one")

    def wait(self, *bodies: Any) -> None:
        eventually(lambda: self.bodies == list(bodies), PATIENCE_S, lambda: f"{bodies}, got {self.bodies}")


@pytest.fixture
def client(url: str) -> Iterator[Callable[..., BizzMQ]]:
    """client(key, ...): a client with these keys, or without keys."""
    made: list[BizzMQ] = []

    def make(*keys: bytes) -> BizzMQ:
        made.append(BizzMQ(url, signing_keys=keys or None))
        for queue in QUEUES:
            made[-1].create_queue(queue, AT_ONCE)
        return made[-1]

    yield make
    for mq in made:
        mq.close()


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    made = Broker(Connection(url))
    yield made
    made.connection.drop()


def consume(mq: BizzMQ, queue: str = "q") -> Seen:
    seen = Seen()
    mq.consume_message_from_queue(queue, seen)
    return seen


def refusals(broker: Broker, count: int, queue: str = "q") -> list[Any]:
    """Wait for `count` dead letters and return their error records."""
    return [letter.error for letter in eventually(lambda: _letters(broker, queue, count), PATIENCE_S, "dead letters")]


def _letters(broker: Broker, queue: str, count: int) -> Any:
    found = dead_letters(broker, queue, 0, 10)
    return found if len(found) == count else None


def test_signed_messages_are_handled_and_others_kept_with_the_reason(client: Any, broker: Broker) -> None:
    signer = client(NEW)
    client().publish_message_to_queue("q", "unsigned")
    client(OLD).publish_message_to_queue("q", "by another key")
    signer.publish_messages_to_queue("q", ["one", "two"])

    consume(signer).wait("one", "two")

    records = refusals(broker, 2)
    assert [record["error_type"] for record in records] == ["UnsignedError", "SignatureError"]
    assert "not signed" in records[0]["error"]
    assert "the signature is wrong" in records[1]["error"]


def test_without_keys_signed_messages_are_read_as_before(client: Any) -> None:
    client(NEW).publish_message_to_queue("q", "signed")
    client().publish_message_to_queue("q", "unsigned")

    consume(client()).wait("signed", "unsigned")


def test_keys_are_rotated_without_a_gap(client: Any, broker: Broker) -> None:
    publisher = client(OLD)
    publisher.publish_message_to_queue("q", 1)
    client(NEW, OLD).publish_message_to_queue("q", 2)  # consumers and publishers can be changed in any order

    consume(client(NEW, OLD)).wait(1, 2)

    publisher.publish_message_to_queue("r", "late")
    consume(client(NEW), "r")
    assert "another key" in refusals(broker, 1, "r")[0]["error"]


def test_messages_of_all_shards_of_a_queue_are_signed(client: Any) -> None:
    mq = client(NEW)
    mq.create_queue("sharded", QueueOptions(shards=3))
    for number in range(9):
        mq.publish_message_to_queue("sharded", number)

    seen = consume(mq, "sharded")

    eventually(lambda: sorted(seen.bodies) == list(range(9)), PATIENCE_S, lambda: str(seen.bodies))


def test_a_message_moved_to_another_queue_is_refused(
    client: Any, redis: Redis, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    mq = client(NEW)
    message_id = mq.publish_message_to_queue("q", "for q")
    envelope = redis.hget(Keys("q").messages, message_id)
    assert isinstance(envelope, str)
    redis.hset(Keys("r").messages, message_id, envelope)
    redis.lpush(Keys("r").waiting, message_id)

    seen = consume(mq, "r")

    (record,) = refusals(broker, 1, "r")
    assert record["error_type"] == "SignatureError"
    assert "the signature is wrong" in record["error"]
    eventually(lambda: "wrong signature" in caplog.text, PATIENCE_S, lambda: caplog.text)  # logged once it is stored
    assert seen.bodies == []
    consume(mq).wait("for q")


def test_failures_dead_letters_and_replays_keep_the_signature(client: Any, broker: Broker, url: str) -> None:
    mq = client(NEW)
    mq.publish_message_to_queue("q", "bad")
    consume(mq).wait("bad", "bad")
    (letter,) = eventually(lambda: _letters(broker, "q", 1), PATIENCE_S)
    assert letter.error["error"] == "a bad one"

    assert run(OPERATOR, f"--redis-url={url}", "dlq", "replay", "q").lines() == ["1 message replayed"]
    eventually(lambda: mq.stats("q").retried == 2 and mq.stats("q").dead_lettered == 1, PATIENCE_S)
    seen = consume(mq, "q_dlq")

    seen.wait("bad")
    assert seen.errors[0]["error_type"] == "ValueError"


def test_a_refused_message_stays_refused_when_it_is_replayed(client: Any, broker: Broker, url: str) -> None:
    mq = client(NEW)
    client().publish_message_to_queue("q", "unsigned")
    seen = consume(mq)
    refusals(broker, 1)

    assert run(OPERATOR, f"--redis-url={url}", "dlq", "replay", "q").lines() == ["1 message replayed"]

    eventually(lambda: mq.stats("q").waiting + mq.stats("q").processing == 0, PATIENCE_S)
    refusals(broker, 1)
    assert seen.bodies == []


@pytest.mark.parametrize("source", ["variable", "file"])
def test_a_pool_and_the_command_take_the_keys_from_the_environment(
    scene: Scene, broker: Broker, tmp_path: Path, source: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{NEW_TEXT}\n{OLD_TEXT}\n")
    file.chmod(0o600)
    keys: Any = {
        "variable": {"BIZZMQ_SIGNING_KEYS": f"{NEW_TEXT}, {OLD_TEXT}"},
        "file": {"BIZZMQ_SIGNING_KEYS_FILE": str(file)},
    }[source]
    pool = scene.pool(concurrency=1, env=keys)

    scene.mq.publish_message_to_queue("q", {"n": 0})
    (published,) = run(OPERATOR, f"--redis-url={scene.url}", "publish", "q", "{}", **keys).lines()

    eventually(lambda: published in scene.ledger.handled(), PATIENCE_S, pool.log)
    assert refusals(broker, 1)[0]["error_type"] == "UnsignedError"
    log_says(pool, "message is unsigned, kept as a dead letter")  # logged once it is stored
    assert "undecodable" not in pool.log()
    (row,) = run(OPERATOR, f"--redis-url={scene.url}", "dlq", "list", "q").lines()[1:]
    assert "UnsignedError" in row
    assert "the message is not signed" in row
    assert NEW_TEXT not in pool.log()
    scene.retire(pool)


@pytest.mark.usually(2)
@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"BIZZMQ_SIGNING_KEYS": ""}, "BIZZMQ_SIGNING_KEYS contains no key"),
        ({"BIZZMQ_SIGNING_KEYS": "c2VjcmV0"}, "BIZZMQ_SIGNING_KEYS: signing key 1 has 6 bytes"),
        ({"BIZZMQ_SIGNING_KEYS": f"{NEW_TEXT},secret!"}, "BIZZMQ_SIGNING_KEYS: signing key 2 is not base64"),
        ({"BIZZMQ_SIGNING_KEYS_FILE": "/nowhere/keys"}, "'/nowhere/keys' cannot be read: No such file"),
        ({"BIZZMQ_SIGNING_KEYS": NEW_TEXT, "BIZZMQ_SIGNING_KEYS_FILE": os.devnull}, "both BIZZMQ_SIGNING_KEYS and"),
    ],
)
def test_bad_keys_are_one_line_and_nothing_runs_unsigned(url: str, variables: Any, complaint: str) -> None:
    line = refused(WORKER, f"--redis-url={url}", "tests.handlers:ok", **variables)
    other = refused(OPERATOR, f"--redis-url={url}", "publish", "q", "{}", **variables)

    assert complaint in line
    assert complaint in other
    assert "secret" not in line + other
    assert "c2VjcmV0" not in line + other
